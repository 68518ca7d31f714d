"""The VAE whose averaged posterior a critic pulls to the prior, in place of the KL term.

A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow, B. Frey: Adversarial Autoencoders. 2016, arXiv 1511.05644, with the
critic of Gulrajani et al. 2017; with the prior's distance to the averaged posterior as penalty it is a Wasserstein
auto-encoder (I. Tolstikhin, O. Bousquet, S. Gelly, B. Schoelkopf, ICLR 2018, arXiv 1711.01558).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from discrete_vae.latents.noise import Noise
from discrete_vae.settings import Settings
from discrete_vae.strategies.base import Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.tasks.base import Blueprint
from discrete_vae.tasks.critic import AdversarialTask
from discrete_vae.tasks.vae import VAE


class AdversarialVAE(AdversarialTask, VAE):
    """``E[-log p(x | z)] - beta E[D(z)]``, D the critic that tells samples of the prior from those of the posteriors.

    The yardstick stays the VAE's: its ELBO includes the exact KL, which this objective does not have.
    """

    reads = (VAE.reads | AdversarialTask.reads) - {"layers", "objective"}

    def __init__(self, blueprint: Blueprint, generators: Sequence[torch.Generator]) -> None:
        super().__init__(blueprint, generators)
        sizes = (math.prod(self.family.sample_shape), *reversed(self.architecture.hidden), 1)
        self.opponent = blueprint.mlp(sizes, generators)

    @classmethod
    def check(cls, settings: Settings) -> None:
        super().check(settings)
        cls.check_categorical(settings)  # a code without noise has no prior
        cls.check_images(settings)

    @property
    def critic(self) -> nn.Module:
        return self.opponent

    def pairs(self, strategy: Strategy, observation: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        parameters = self.encode(observation)
        prior = torch.zeros_like(parameters)  # whose softmax is uniform
        return self._draw(strategy, prior, noise).flatten(-2), self._draw(strategy, parameters, noise).flatten(-2)

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        weight = torch.as_tensor(beta, device=images.device).unsqueeze(-1)
        return replace(
            super().objective(images, beta),
            kl_term=None,
            sample_kl=None,
            deeper_loss=lambda sample, output: -weight * self.value(sample.flatten(-2)),
        )

    def kl(self, parameters: Tensor) -> Tensor:
        """Zeros ``[P, B]``: the loss has none."""
        return parameters.new_zeros(parameters.shape[:-2])
