"""ZGR: the mean of straight-through and DARN.

A. Shekhovtsov: Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax Gradient Estimator. ICML 2023.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.categorical import jacobian_product, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.darn import score_pull
from discrete_vae.strategies.pathwise import Pathwise, Pull


class Zgr(Pathwise):
    """The zero-temperature limit of Gumbel-Rao, the mean of straight-through and DARN (Shekhovtsov 2023)."""

    claim = Claim("Shekhovtsov 2023", unbiased=False, relaxed=False, evaluations=1)

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        probabilities = softmax(logits)
        return lambda gradient: (
            (jacobian_product(probabilities, gradient) + score_pull(probabilities, sample, gradient, probabilities)) / 2
        )
