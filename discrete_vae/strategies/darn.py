"""DARN: the score function of a linearised objective.

K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra: Deep AutoRegressive Networks. ICML 2014, arXiv 1310.8499.
Theirs is for binary variables; for categories as in A. Shekhovtsov: Cold Analysis of Rao-Blackwellized Straight-Through
Gumbel-Softmax Gradient Estimator. ICML 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from discrete_vae.categorical import softmax
from discrete_vae.errors import nearest
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.pathwise import Pathwise, Pull

Centre = Literal["mean", "uniform"]


@dataclass(frozen=True)
class DarnOptions:
    """Hyper-parameters of DARN."""

    centre: Centre = "mean"
    """Where the linearised objective is zero: the mean pi, or 1 / K, which for binary variables is the paper's 1/2."""

    def __post_init__(self) -> None:
        if self.centre not in get_args(Centre):
            raise nearest(str(self.centre), get_args(Centre), "centre")


def score_pull(probabilities: Tensor, sample: Tensor, gradient: Tensor, centre: Tensor) -> Tensor:
    """``<g, z - c> (z - pi)``: the score function of the objective, linearised about the sample."""
    return (gradient * (sample - centre)).sum(-1, keepdim=True) * (sample - probabilities)


class Darn(Pathwise):
    """Backward ``<g, z - c> (z - pi)`` with c = pi (Shekhovtsov 2023), or 1 / K: for K = 2 Gregor et al.'s, and ZGR.

    Raises ``InputError`` for a centre that is not known.
    """

    claim = Claim("Gregor et al. 2014", unbiased=False, relaxed=False, evaluations=1)
    Options = DarnOptions

    def __init__(self, centre: Centre = "mean") -> None:
        super().__init__()
        self.centre = DarnOptions(centre).centre

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        probabilities = softmax(logits)
        centre = probabilities if self.centre == "mean" else torch.full_like(probabilities, 1 / logits.shape[-1])
        return lambda gradient: score_pull(probabilities, sample, gradient, centre)
