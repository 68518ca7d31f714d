"""DARN: the score function of a linearised objective, and the score function with that linearisation as baseline.

K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra: Deep AutoRegressive Networks. ICML 2014, arXiv 1310.8499.
Theirs is for binary variables. ``Darn`` is for categories as in A. Shekhovtsov: Cold Analysis of Rao-Blackwellized
Straight-Through Gumbel-Softmax Gradient Estimator. ICML 2023; ``DarnBaseline`` is what E. Jang, S. Gu, B. Poole:
Categorical Reparameterization with Gumbel-Softmax. ICLR 2017, call DARN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, get_args

import torch
from torch import Tensor, nn

from discrete_vae.errors import nearest
from discrete_vae.latents.categorical import log_taken, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim, NetworkFactory
from discrete_vae.strategies.muprop import MuProp
from discrete_vae.strategies.pathwise import OneHotPathwise
from discrete_vae.strategies.score_function import ScoreFunctionOptions

Centre = Literal["mean", "uniform"]


@dataclass(frozen=True)
class DarnOptions:
    """Hyper-parameters of DARN."""

    centre: Centre = "mean"
    """Where the linearised objective is zero: the mean pi, or 1 / K, which for binary variables is the paper's 1/2."""

    def __post_init__(self) -> None:
        check_centre(self.centre)


def check_centre(name: str) -> None:
    """Raise ``InputError`` for a centre that is not known."""
    if name not in get_args(Centre):
        raise nearest(str(name), get_args(Centre), "centre")


def centre_at(name: Centre, probabilities: Tensor) -> Tensor:
    """The centre's point ``[..., N, K]``."""
    return probabilities if name == "mean" else torch.full_like(probabilities, 1 / probabilities.shape[-1])


def linearised(logits: Tensor, sample: Tensor, centre: Tensor) -> Tensor:
    """``(z - c) log q(z)``, c a constant: the score function of the objective, linearised about the sample."""
    return (sample - centre.detach()) * log_taken(logits, sample)


class Darn(OneHotPathwise):
    """Backward ``<g, z - c> (z - pi)`` with c = pi (Shekhovtsov 2023), or 1 / K: for K = 2 Gregor et al.'s, and ZGR.

    Raises ``InputError`` for a centre that is not known.
    """

    claim = Claim("Gregor et al. 2014", unbiased=False, relaxed=False, evaluations=1)
    Options = DarnOptions
    checks: ClassVar = {"centre": check_centre}

    def __init__(self, centre: Centre = "mean") -> None:
        super().__init__()
        self.centre = centre

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        return linearised(logits, sample, centre_at(self.centre, softmax(logits.detach())))


@dataclass(frozen=True)
class DarnBaselineOptions(ScoreFunctionOptions):
    """Hyper-parameters of the score function with DARN's baseline."""

    centre: Centre = "mean"
    """z_0, where the objective is expanded: the mean pi, or 1 / K, which for binary variables is the paper's 1/2."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_centre(self.centre)


class DarnBaseline(MuProp):
    """``(f(z) - b) grad log q(z)`` with ``b = f(z_0) + f'(z_0)(z - z_0)`` (Jang et al. 2017, section 4).

    ``b`` depends on the sample, and its own gradient ``J f'(z_0)`` is not put back, as MuProp does it: what is left is
    the exact gradient less its first order. A moving mean is taken off as well. Layers behind are passed by their mean
    field. Raises ``InputError`` for a centre that is not known.
    """

    claim = Claim("Gregor et al. 2014; Jang et al. 2017", unbiased=False, relaxed=False, evaluations=2)
    Options = DarnBaselineOptions

    def __init__(
        self,
        centre: Centre = "mean",
        decay: float = 0.8,
        normalise: bool = False,
        baseline: nn.Module | None = None,
        members: int | None = None,
    ) -> None:
        super().__init__(decay, normalise, baseline, members)
        self.claim = type(self).claim
        self.around = DarnBaselineOptions(centre=centre).centre

    @classmethod
    def build(cls, options: ScoreFunctionOptions, networks: NetworkFactory) -> Self:
        assert isinstance(options, DarnBaselineOptions)
        return cls(options.centre, options.decay, options.normalise, members=networks.members)

    def centre_of(self, probabilities: Tensor) -> Tensor:
        return centre_at(self.around, probabilities)

    def correction(self, logits: Tensor, probabilities: Tensor, gradient: Tensor) -> Tensor:
        return logits.new_zeros(logits.shape[:-2])
