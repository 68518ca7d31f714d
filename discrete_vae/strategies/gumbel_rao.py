"""Gumbel-Rao: straight-through Gumbel-Softmax averaged over the noise that leads to the same sample.

M. B. Paulus, C. J. Maddison, A. Krause: Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator.
ICLR 2021, arXiv 2010.04838.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from discrete_vae.errors import check_range
from discrete_vae.latents.categorical import softmax, softmax_through
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import TemperatureOptions, Tempered


def perturbed_given(logits: Tensor, sample: Tensor, gumbel: Tensor) -> Tensor:
    """Logits with Gumbel noise, given that ``sample`` is their argmax: ``[..., N, K]``, differentiable in the logits.

    With E standard exponential, ``E = exp(-gumbel)``, and ``Z = sum exp(l)``, the taken category i has
    ``log Z - log E_i`` and every other ``-log(E_j exp(-l_j) + E_i / Z)`` (Paulus et al. 2021, section 3; Maddison et
    al. 2014), here without leaving the logarithm.
    """
    top = (gumbel * sample).sum(-1, keepdim=True) + logits.logsumexp(-1, keepdim=True)
    return torch.where(sample > 0, top, -torch.logaddexp(-gumbel - logits, -top))


def relaxed_given(
    logits: Tensor, given: Tensor, sample: Tensor, temperature: Tensor, draws: int, noise: Noise
) -> Tensor:
    """Relaxed samples from the perturbed logits ``given``, whose argmax is ``sample``: ``[draws, ..., N, K]``.

    They are differentiated as ``softmax((logits + constant) / temperature)``, in a learned temperature as well.
    """
    perturbed = [perturbed_given(given, sample, noise.gumbel(given.shape, given.dtype)) for _ in range(draws)]
    relaxed = torch.stack([softmax(each / temperature) for each in perturbed])
    if temperature.requires_grad:
        logits = logits + torch.stack(perturbed) - logits.detach()
    return softmax_through((logits / temperature).expand_as(relaxed), relaxed)


def check_draws(draws: int) -> None:
    """Raise ``InputError`` for a number of draws that is not at least 1."""
    check_range("draws", draws)


@dataclass(frozen=True)
class GumbelRaoOptions(TemperatureOptions):
    """Hyper-parameters of Gumbel-Rao."""

    temperature: Schedule = Schedule(0.5)
    """Temperature of the softmax in the backward pass."""
    draws: int = 10
    """K, how many draws of the noise the backward pass averages over."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_draws(self.draws)


class GumbelRao(Tempered):
    """Forward a one-hot sample, backward the mean of ``J(p) g / tau`` over perturbed logits that lead to the sample.

    Raises ``InputError`` where the temperature is not above 0 or there is no draw.
    """

    claim = Claim("Paulus et al. 2021", unbiased=False, relaxed=False, evaluations=1)
    Options = GumbelRaoOptions
    checks: ClassVar = {"draws": check_draws}

    def __init__(self, temperature: float | Tensor = 0.5, draws: int = 10) -> None:
        super().__init__(temperature)
        self.draws = draws

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        temperature = per_member(self.temperature, logits)
        return relaxed_given(logits, logits.detach(), sample, temperature, self.draws, noise).mean(0)
