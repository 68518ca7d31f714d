"""ZGR: the mean of straight-through and DARN.

A. Shekhovtsov: Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax Gradient Estimator. ICML 2023.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.darn import linearised
from discrete_vae.strategies.pathwise import OneHotPathwise


class Zgr(OneHotPathwise):
    """The zero-temperature limit of Gumbel-Rao, the mean of straight-through and DARN (Shekhovtsov 2023)."""

    claim = Claim("Shekhovtsov 2023", unbiased=False, relaxed=False, evaluations=1)

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        probabilities = softmax(logits)
        return (probabilities + linearised(logits, sample, probabilities)) / 2
