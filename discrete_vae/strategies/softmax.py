"""The softmax itself in place of a sample: what generators of discrete data were first trained with.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville: Improved Training of Wasserstein GANs. NeurIPS 2017,
arXiv 1704.00028 (section 5.3).
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.categorical import softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy


class Softmax(Strategy):
    """z = softmax(logits), without noise, as if it were a sample: exact where the objective is linear in z."""

    claim = Claim("Gulrajani et al. 2017", unbiased=False, relaxed=True, evaluations=1)
    ignores = Strategy.ignores | {"samples"}  # they would all be the same

    def sample(self, logits: Tensor, noise: Noise | None = None) -> Tensor:
        """The probabilities ``[..., N, K]``."""
        return softmax(logits)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = self.sample(logits)
        loss = objective(sample)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), sample)
