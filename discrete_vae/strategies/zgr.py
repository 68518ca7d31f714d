"""ZGR and DARN: straight-through and score function, each of a linearised objective, and their mean.

K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra: Deep AutoRegressive Networks. ICML 2014, arXiv 1310.8499.
A. Shekhovtsov: Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax Gradient Estimator. ICML 2023.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.categorical import jacobian_product, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.pathwise import Pathwise, Pull


def score_pull(probabilities: Tensor, sample: Tensor, gradient: Tensor) -> Tensor:
    """``<g, z - pi> (z - pi)``: the score function of the objective, linearised about the sample."""
    away = sample - probabilities
    return (gradient * away).sum(-1, keepdim=True) * away


class Darn(Pathwise):
    """Backward ``<g, z - pi> (z - pi)`` (Gregor et al. 2014; for categories Jang et al. 2017, appendix)."""

    claim = Claim("Gregor et al. 2014", unbiased=False, relaxed=False, evaluations=1)

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        probabilities = softmax(logits)
        return lambda gradient: score_pull(probabilities, sample, gradient)


class Zgr(Pathwise):
    """The zero-temperature limit of Gumbel-Rao, the mean of straight-through and DARN (Shekhovtsov 2023)."""

    claim = Claim("Shekhovtsov 2023", unbiased=False, relaxed=False, evaluations=1)

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        probabilities = softmax(logits)
        return lambda gradient: (
            (jacobian_product(probabilities, gradient) + score_pull(probabilities, sample, gradient)) / 2
        )
