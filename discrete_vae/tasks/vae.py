"""The variational auto-encoder with a Bernoulli decoder: the thesis' 784-500-(30x10)-500-784 and any other size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from discrete_vae.errors import InputError, check_types, nearest
from discrete_vae.networks import ACTIVATIONS, MLP
from discrete_vae.strategies.base import Family, Objective


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network; the decoder mirrors the encoder. Defaults: the thesis."""

    latents: int = 30
    """Number N of latent variables."""
    categories: int = 10
    """Number K of categories of each."""
    hidden: tuple[int, ...] = (500,)
    """Widths of the encoder's hidden layers, from the image inwards."""
    activation: str = "softplus"
    """Activation of the hidden layers."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.latents < 1:
            raise InputError(f"latents is {self.latents}; give at least 1")
        if self.categories < 1:
            raise InputError(f"categories is {self.categories}; give at least 1")
        if any(type(width) is not int or width < 1 for width in self.hidden):
            raise InputError(f"hidden is {self.hidden}; every width must be a whole number of at least 1")
        if self.activation not in ACTIVATIONS:
            raise nearest(self.activation, ACTIVATIONS, "activation")


class Encoder(nn.Module):
    """Observation ``[P, B, D]`` -> parameters of the latents ``[P, B, N, K]``, in float32."""

    def __init__(
        self,
        architecture: Architecture,
        family: Family,
        pixels: int,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        self.parameter_shape = family.parameter_shape
        sizes = (pixels, *architecture.hidden, math.prod(family.parameter_shape))
        self.network = MLP(sizes, architecture.activation, generators)

    def forward(self, observation: Tensor) -> Tensor:
        parameters: Tensor = self.network(observation)
        return torch.unflatten(parameters.float(), -1, self.parameter_shape)


def decoder(architecture: Architecture, family: Family, pixels: int, generators: Sequence[torch.Generator]) -> MLP:
    """Flattened sample ``[P, B, N K]`` -> logits of the pixels ``[P, B, D]``: the encoder's mirror image."""
    sizes = (math.prod(family.sample_shape), *reversed(architecture.hidden), pixels)
    return MLP(sizes, architecture.activation, generators)


class VAE(nn.Module):
    """P variational auto-encoders side by side, one for each generator of initial weights."""

    def __init__(
        self,
        architecture: Architecture,
        family: Family,
        pixels: int,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        self.family, self.pixels = family, pixels
        self.encoder = Encoder(architecture, family, pixels, generators)
        self.decoder = decoder(architecture, family, pixels, generators)

    def cut(self) -> None:
        """Let no gradient pass from one layer to another, for strategies that give each a loss of its own."""
        self.encoder.network.cut = self.decoder.cut = True

    def encode(self, observation: Tensor) -> Tensor:
        """``[P, B, D] -> [P, B, N, K]``."""
        parameters: Tensor = self.encoder(observation)
        return parameters

    def decode(self, sample: Tensor) -> Tensor:
        """``[P, B, N, K] ->`` logits of the pixels ``[P, B, D]``, in float32."""
        logits: Tensor = self.decoder(sample.flatten(-2))
        return logits.float()

    def objective(self, observation: Tensor, beta: Tensor | float = 1.0) -> Objective:
        """The negative Bernoulli log-likelihood of the observation as a function of the sample; beta is ``[P]``."""
        weight = torch.as_tensor(beta).unsqueeze(-1)
        return Objective(
            decode=self.decode,
            loss=lambda output: bernoulli_nll(output, observation),
            observation=observation,
            predict=torch.sigmoid,
            encode=self.encode,
            decoder=self.decoder,
            encoder=self.encoder.network,
            penalty=lambda logits: weight * self.kl(logits),
            cost=lambda logits, sample: -weight * self.family.log_ratio(logits, sample),
        )

    def kl(self, parameters: Tensor) -> Tensor:
        """Exact KL(q(z | x) || p(z)): ``[P, B]`` nats."""
        return self.family.kl(parameters).sum(-1)


def bernoulli_nll(logits: Tensor, observation: Tensor) -> Tensor:
    """-log p(x) of pixels in [0, 1] under independent Bernoullis, summed over D: ``[..., B]`` nats."""
    return _BernoulliNLL.apply(logits, observation)  # type: ignore[no-any-return, no-untyped-call]


class _BernoulliNLL(torch.autograd.Function):
    """``softplus(l) - l x``, whose gradient is ``sigmoid(l) - x``: fewer passes than through its two terms."""

    @staticmethod
    def forward(logits: Tensor, observation: Tensor) -> Tensor:  # type: ignore[override]
        return F.softplus(logits).sum(-1) - (logits * observation).sum(-1)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # type: ignore[override]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        logits, observation = ctx.saved_tensors
        return (torch.sigmoid(logits) - observation) * gradient.unsqueeze(-1), None
