"""DARN: the score function of an objective that is linearised about the sample.

K. Gregor, I. Danihelka, A. Mnih, C. Blundell, D. Wierstra: Deep AutoRegressive Networks. ICML 2014, arXiv 1310.8499.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.categorical import softmax
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
