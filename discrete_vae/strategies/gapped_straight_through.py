"""Gapped straight-through: the logits are moved until the sample is their argmax by a margin.

T.-H. Fan, T.-C. Chi, A. I. Rudnicky, P. J. Ramadge: Training Discrete Deep Generative Models via Gapped
Straight-Through Estimator. ICML 2022, arXiv 2206.07235.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.categorical import jacobian_product, softmax
from discrete_vae.errors import InputError
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, per_member
from discrete_vae.strategies.pathwise import Pull, TemperatureOptions, Tempered


@dataclass(frozen=True)
class GappedStraightThroughOptions(TemperatureOptions):
    """Hyper-parameters of gapped straight-through."""

    gap: float = 1.0
    """Margin between the sample's logit and the others'; 0 stands for ``-log(1 - p) / p``, p that of the sample."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gap < 0:
            raise InputError(f"gap is {self.gap}; give a margin above 0, or 0 for one that follows the probability")


class GappedStraightThrough(Tempered):
    """Forward a one-hot sample, backward ``softmax((l + m) / tau)`` with the move m as a constant (eq. 8 to 10).

    m lifts the sample's logit to the largest, and lowers those within the gap of it. Raises ``InputError`` for a
    negative gap.
    """

    claim = Claim("Fan et al. 2022", unbiased=False, relaxed=False, evaluations=1)
    Options = GappedStraightThroughOptions

    def __init__(self, temperature: float | Tensor = 1.0, gap: float = 1.0) -> None:
        super().__init__(temperature)
        self.gap = GappedStraightThroughOptions(gap=gap).gap

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        temperature = per_member(self.temperature, logits)
        gap: Tensor | float = self.gap
        if not self.gap:
            taken = (softmax(logits) * sample).sum(-1, keepdim=True)
            tiny = torch.finfo(logits.dtype).eps
            gap = -torch.log1p(-taken.clamp_max(1 - tiny)) / taken.clamp_min(tiny)
        largest = logits.amax(-1, keepdim=True)
        moved = torch.where(sample > 0, largest, torch.minimum(logits, largest - gap))
        probabilities = softmax(moved / temperature)
        return lambda gradient: jacobian_product(probabilities, gradient) / temperature
