"""NVIL: the score function with a learned baseline and a normalised signal.

A. Mnih, K. Gregor: Neural Variational Inference and Learning in Belief Networks. ICML 2014, arXiv 1402.0030.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import nn

from discrete_vae.strategies.base import Claim, NetworkFactory
from discrete_vae.strategies.score_function import ScoreFunction, ScoreFunctionOptions


@dataclass(frozen=True)
class NvilOptions(ScoreFunctionOptions):
    """Hyper-parameters of NVIL."""

    normalise: bool = True
    """Whether the gradient is divided by the signal's moving standard deviation, where that is above 1."""


class Nvil(ScoreFunction):
    """The score function with a learned baseline, a moving mean and variance normalisation (Mnih and Gregor 2014)."""

    claim = Claim("Mnih and Gregor 2014", unbiased=False, relaxed=False, evaluations=1)
    Options = NvilOptions
    ignores = frozenset()

    def __init__(
        self, baseline: nn.Module, decay: float = 0.8, normalise: bool = True, members: int | None = None
    ) -> None:
        super().__init__(decay, normalise, baseline, members)

    @classmethod
    def build(cls, options: ScoreFunctionOptions, networks: NetworkFactory) -> Self:
        return cls(networks.baseline(), options.decay, options.normalise, networks.members)
