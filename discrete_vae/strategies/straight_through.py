"""Straight-through: the sample is differentiated as if it were its probabilities.

Y. Bengio, N. Leonard, A. Courville: Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
Computation. 2013, arXiv 1308.3432. For categories as in Jang et al. 2017, with the softmax' slope.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import Tempered


class StraightThrough(Tempered):
    """Forward a one-hot sample, backward ``softmax(l / tau)``: ``J(p_tau) g / tau``."""

    claim = Claim("Bengio et al. 2013", unbiased=False, relaxed=False, evaluations=1)

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        return softmax(logits / per_member(self.temperature, logits))
