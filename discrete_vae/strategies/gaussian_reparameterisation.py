"""The reparameterisation trick for Gaussian latents, the continuous reference (thesis, section 4.2).

D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes. ICLR 2014, arXiv 1312.6114.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.gaussian import Gaussian
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy


class GaussianReparameterisation(Strategy):
    """z = mean + sigma * epsilon (section 2.4). The latents are Gaussian; ``categories`` plays no part."""

    claim = Claim("Kingma and Welling 2014", unbiased=True, relaxed=False, evaluations=1)
    ignores = Strategy.ignores | {"categories"}

    @staticmethod
    def latent_family(latents: int, categories: int) -> Gaussian:
        return Gaussian(latents)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = Gaussian(logits.shape[-2]).sample(logits, noise).squeeze(-4)
        loss = objective(sample)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), sample)
