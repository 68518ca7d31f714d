"""The reparameterisation trick for Gaussian latents, the continuous reference (thesis, section 4.2).

D. P. Kingma, M. Welling: Auto-Encoding Variational Bayes. ICLR 2014, arXiv 1312.6114.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.gaussian import Gaussian
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim, Strategy
from discrete_vae.strategies.pathwise import Pathwise


class GaussianReparameterisation(Pathwise):
    """z = mean + sigma * epsilon (section 2.4). The latents are Gaussian; ``categories`` has no effect.

    Raises ``InputError`` for logits that are not mean and log-variance, ``[..., N, 2]``.
    """

    claim = Claim("Kingma and Welling 2014", unbiased=True, relaxed=False, evaluations=1)
    ignores = Strategy.ignores | {"categories"}

    @staticmethod
    def latent_family(latents: int, categories: int) -> Gaussian:
        return Gaussian(latents)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        if logits.shape[-1] != 2:
            raise InputError(
                f"a normal variable has {logits.shape[-1]} parameters; give two, mean and log-variance: [..., N, 2]"
            )
        return Gaussian(logits.shape[-2]).sample(logits, noise).squeeze(-4)
