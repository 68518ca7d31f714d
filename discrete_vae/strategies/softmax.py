"""The softmax itself in place of a sample: what generators of discrete data were first trained with.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville: Improved Training of Wasserstein GANs. NeurIPS 2017,
arXiv 1704.00028 ("Modeling discrete data with a continuous generator").
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim, Strategy
from discrete_vae.strategies.pathwise import Pathwise


class Softmax(Pathwise):
    """z = softmax(logits), without noise, as if it were a sample: exact where the objective is linear in z."""

    claim = Claim("Gulrajani et al. 2017", unbiased=False, relaxed=True, evaluations=1)
    ignores = Strategy.ignores | {"samples", "objective"}  # they would all be the same

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return softmax(logits)
