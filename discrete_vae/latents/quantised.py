"""Discrete codes without noise: the encoder's vector is rounded to one of K values. In nats.

The posterior has all its mass on that value, so that its KL to the uniform prior is log K of each variable, whatever
the encoder does: the ELBO of the yardstick is the reconstruction less N log K. Nothing in the KL has a gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import one_hot
from discrete_vae.latents.noise import Noise


@dataclass
class Quantised:
    """N variables of K values with a uniform prior; subclasses say what the decoder sees of a value."""

    latents: int
    categories: int

    @property
    def parameter_shape(self) -> tuple[int, int]:
        """Shape of one observation's parameters, which the encoder puts out: ``[N, D]``."""
        raise NotImplementedError

    @property
    def sample_shape(self) -> tuple[int, int]:
        """Shape of one sample, which the decoder takes in; the parameters' own."""
        return self.parameter_shape

    def index(self, parameters: Tensor) -> Tensor:
        """Which value each variable takes: ``[..., B, N, D] -> [..., B, N]``, from 0 to K - 1."""
        raise NotImplementedError

    def code(self, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """The decoder's input for values: ``[..., B, N] -> [..., B, N, D]``."""
        raise NotImplementedError

    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor:
        """The code, as often as samples are asked for: ``[..., B, N, D] -> [..., S, B, N, D]``."""
        code = self.code(self.index(parameters), parameters.dtype).unsqueeze(-4)
        return code.expand(*code.shape[:-4], samples, *code.shape[-3:])

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """``[count, N, D]`` drawn from the uniform prior, for one member."""
        values = (noise.uniform((1, count, self.latents)) * self.categories).long()
        return self.code(values).squeeze(0)

    def kl(self, parameters: Tensor) -> Tensor:
        """log K of each variable: ``[..., N]``."""
        return torch.full_like(parameters[..., 0], math.log(self.categories))

    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor:
        """log p(z) - log q(z | x) of the code itself, ``-N log K``: ``[...]``."""
        return torch.full_like(sample[..., 0, 0], -self.latents * math.log(self.categories))

    def mean(self, parameters: Tensor) -> Tensor:
        """The posterior's probabilities, one-hot: ``[..., N, K]``."""
        return one_hot(self.index(parameters), self.categories, parameters.dtype)

    def code_entropy(self, mean: Tensor) -> Tensor:
        """Entropy of the variables under the averaged posterior ``[..., N, K]``, summed over N: ``[...]``."""
        return -torch.xlogy(mean, mean).sum((-1, -2))


@dataclass
class Codebook(Quantised):
    """A value is the nearest of K vectors, of K dimensions: networks are as large as those of categorical variables.

    All variables share the vectors. They belong to the strategy, which trains them and puts them here.
    """

    vectors: Tensor | None = None
    """``[..., K, K]``, one vector a row."""

    @property
    def parameter_shape(self) -> tuple[int, int]:
        return self.latents, self.categories

    def index(self, parameters: Tensor) -> Tensor:
        return nearest(self._vectors, parameters)

    def code(self, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return look_up(self._vectors, index).to(dtype)

    @property
    def _vectors(self) -> Tensor:
        if self.vectors is None:
            raise InputError("the codebook has no vectors; build a strategy for it first")
        return self.vectors


def nearest(vectors: Tensor, points: Tensor) -> Tensor:
    """Index of the nearest of the vectors ``[..., K, D]`` to each point ``[..., B, N, D]``: ``[..., B, N]``."""
    differences = points.unsqueeze(-2) - vectors.unsqueeze(-3).unsqueeze(-3)  # [..., B, N, K, D]
    return differences.square().sum(-1).argmin(-1)


def look_up(vectors: Tensor, index: Tensor) -> Tensor:
    """Vectors ``[..., K, D]`` by their index ``[..., B, N]``: ``[..., B, N, D]``, differentiable in the vectors."""
    table = vectors.unsqueeze(-3).expand(*index.shape[:-1], *vectors.shape[-2:])
    return table.gather(-2, index.unsqueeze(-1).expand(*index.shape, vectors.shape[-1]))


@dataclass
class Grid(Quantised):
    """A value is one of K equally spaced numbers (Mentzer et al. 2023): for odd K from -1 to 1, for even K to 1 - 2/K.

    A variable is one channel of the paper's, with K levels.
    """

    MARGIN = 1e-3
    """Relative distance between the bound and half a step beyond the outermost level."""

    @property
    def parameter_shape(self) -> tuple[int, int]:
        return self.latents, 1

    def bounded(self, parameters: Tensor) -> Tensor:
        """The parameters squeezed to where they round to K integers (Mentzer et al. 2023, appendix A.1)."""
        half = (self.categories - 1) * (1 - self.MARGIN) / 2
        offset = 0.0 if self.categories % 2 else 0.5
        return (parameters + math.tan(offset / half)).tanh() * half - offset

    def index(self, parameters: Tensor) -> Tensor:
        return (self.bounded(parameters).round().long() + self.categories // 2).squeeze(-1)

    def code(self, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return (index.unsqueeze(-1).to(dtype) - self.categories // 2) / (self.categories // 2)
