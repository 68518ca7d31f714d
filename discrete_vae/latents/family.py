"""The interface of latent variables to strategies and tasks."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from discrete_vae.latents.noise import Noise


class Family(Protocol):
    """A kind of latent variable, such as ``Categorical``, ``Gaussian`` or ``Deterministic``, in modules of these names.

    Parameters are ``[..., *parameter_shape]`` and samples ``[..., *sample_shape]``, with N variables first in either
    shape. ``kl`` gives ``[..., N]``, ``log_ratio`` and ``code_entropy`` ``[...]``, in nats. ``Categorical`` says more.
    """

    @property
    def latents(self) -> int: ...
    @property
    def parameter_shape(self) -> tuple[int, int]: ...
    @property
    def sample_shape(self) -> tuple[int, int]: ...
    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor: ...
    def prior_sample(self, count: int, noise: Noise) -> Tensor: ...
    def kl(self, parameters: Tensor) -> Tensor: ...
    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor: ...
    def mean(self, parameters: Tensor) -> Tensor: ...
    def code_entropy(self, mean: Tensor) -> Tensor: ...
