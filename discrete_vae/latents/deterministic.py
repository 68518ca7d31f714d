"""A code without noise: the deterministic auto-encoder (thesis, section 3.3) on the same network.

A latent variable is one number in (0, 1), the sigmoid of its parameter; parameters and sample are ``[..., N, 1]``.
There is no posterior and so no KL: the ELBO of the yardstick is the reconstruction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise


@dataclass(frozen=True)
class Deterministic:
    """The family of N deterministic numbers."""

    latents: int

    @property
    def parameter_shape(self) -> tuple[int, int]:
        """Shape of one observation's parameters, which the encoder puts out."""
        return self.latents, 1

    sample_shape = parameter_shape

    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor:
        """The code, as often as samples are asked for: ``[..., B, N, 1] -> [..., S, B, N, 1]``, differentiable."""
        code = self.mean(parameters).unsqueeze(-4)
        return code.expand(*code.shape[:-4], samples, *code.shape[-3:])

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """``[count, N, 1]``, uniform: an auto-encoder has no prior, and these are codes to inspect."""
        return noise.uniform((count, *self.sample_shape))

    def kl(self, parameters: Tensor) -> Tensor:
        """Zeros ``[..., N]``."""
        return torch.zeros_like(parameters[..., 0])

    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor:
        """Zeros ``[...]``."""
        return torch.zeros_like(parameters[..., 0, 0])

    def mean(self, parameters: Tensor) -> Tensor:
        """The code: ``[..., N, 1]``."""
        return parameters.sigmoid()

    def code_entropy(self, mean: Tensor) -> Tensor:
        """Not defined for a code of real numbers: NaN of shape ``[...]``."""
        return torch.full(mean.shape[:-2], math.nan, device=mean.device)


@dataclass(frozen=True)
class Real(Deterministic):
    """The family of N real numbers, which are their parameters."""

    def mean(self, parameters: Tensor) -> Tensor:
        return parameters
