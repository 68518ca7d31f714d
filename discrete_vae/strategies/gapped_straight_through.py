"""Gapped straight-through: the logits are moved until the sample is their argmax by a margin.

T.-H. Fan, T.-C. Chi, A. I. Rudnicky, P. J. Ramadge: Training Discrete Deep Generative Models via Gapped
Straight-Through Estimator. ICML 2022, arXiv 2206.07235.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import softmax, softmax_through
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import TemperatureOptions, Tempered


def check_gap(gap: float) -> None:
    """Raise ``InputError`` for a gap that is no finite number of at least 0."""
    if not isinstance(gap, int | float) or not 0 <= gap < math.inf:
        raise InputError(f"gap is {gap!r}; give a margin above 0, or 0 for one that follows the probability")


@dataclass(frozen=True)
class GappedStraightThroughOptions(TemperatureOptions):
    """Hyper-parameters of gapped straight-through."""

    gap: float = 1.0
    """Margin between the sample's logit and the others'; 0 stands for ``-log(1 - p) / p``, p that of the sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_gap(self.gap)


class GappedStraightThrough(Tempered):
    """Forward a one-hot sample, backward ``softmax((l + m) / tau)`` with the move m as a constant (eq. 8 to 10).

    m lifts the sample's logit to the largest, and lowers those within the gap of it. Raises ``InputError`` for a
    negative gap.
    """

    claim = Claim("Fan et al. 2022", unbiased=False, relaxed=False, evaluations=1)
    Options = GappedStraightThroughOptions
    checks: ClassVar = {"gap": check_gap}

    def __init__(self, temperature: float | Tensor = 1.0, gap: float = 1.0) -> None:
        super().__init__(temperature)
        self.gap = gap

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        temperature, own = per_member(self.temperature, logits), logits.detach()
        gap: Tensor | float = self.gap
        if not self.gap:
            taken = (softmax(own) * sample).sum(-1, keepdim=True)
            tiny = torch.finfo(own.dtype).eps
            gap = -torch.log1p(-taken.clamp_max(1 - tiny)) / taken.clamp_min(tiny)
        largest = own.amax(-1, keepdim=True)
        moved = torch.where(sample > 0, largest, torch.minimum(own, largest - gap))
        lifted = logits + (moved - own)  # a learned temperature divides the moved logits
        return softmax_through(lifted / temperature, softmax(moved / temperature))
