"""Gaussian latent variables (thesis, section 4.2): the continuous reference on the same network. In nats.

The parameters of one variable are its mean and log-variance, so an encoder puts out ``[..., N, 2]``; a sample is
``[..., N, 1]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise


@dataclass(frozen=True)
class Gaussian:
    """The family of N independent normal variables with a standard normal prior."""

    latents: int

    @property
    def parameter_shape(self) -> tuple[int, int]:
        """Shape of one observation's parameters, which the encoder puts out."""
        return self.latents, 2

    @property
    def sample_shape(self) -> tuple[int, int]:
        """Shape of one sample, which the decoder takes in."""
        return self.latents, 1

    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor:
        """Reparameterised samples, mean + sigma * epsilon: ``[..., B, N, 2] -> [..., S, B, N, 1]``, differentiable."""
        mean, log_variance = parameters.unsqueeze(-4).chunk(2, -1)
        *population, _, observations, latents, _ = mean.shape
        epsilon = noise.on(mean.device).normal((*population, samples, observations, latents, 1), mean.dtype)
        return mean + (log_variance / 2).exp() * epsilon

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """``[count, N, 1]`` drawn from the standard normal prior."""
        return noise.normal((count, *self.sample_shape))

    def kl(self, parameters: Tensor) -> Tensor:
        """Exact KL(q || prior) of each variable (Kingma and Welling 2014, appendix B): ``[..., N]``."""
        mean, log_variance = parameters.unbind(-1)
        return (mean.square() + log_variance.exp() - 1 - log_variance) / 2

    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor:
        """log p(z) - log q(z | x), the latent part of an importance weight: ``[...]``."""
        mean, log_variance = parameters.unbind(-1)
        sample = sample.squeeze(-1)
        standardised = (sample - mean).square() / log_variance.exp() + log_variance
        return ((standardised - sample.square()) / 2).sum(-1)

    def mean(self, parameters: Tensor) -> Tensor:
        """E_q[z]: ``[..., N, 1]``."""
        return parameters[..., :1]

    def code_entropy(self, mean: Tensor) -> Tensor:
        """Not defined by the averaged mean of a continuous variable: NaN of shape ``[...]``."""
        return torch.full(mean.shape[:-2], math.nan, device=mean.device)
