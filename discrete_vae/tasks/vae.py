"""The variational auto-encoder: the thesis' 784-500-(30x10)-500-784 and any other size, network and likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from discrete_vae.backbones.mlp import MLP
from discrete_vae.backbones.stack import layered
from discrete_vae.data.domain import Shape
from discrete_vae.latents.categorical import log_prob, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.likelihoods import bernoulli_variance
from discrete_vae.settings import Settings
from discrete_vae.strategies.base import NetworkFactory
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.tasks.base import Blueprint, Generators, Task
from discrete_vae.tasks.nesting import Layer


class VAE(Task):
    """``p(x | z_1) p(z_1 | z_2) ... p(z_L)`` and ``q(z_1 | x) q(z_2 | z_1) ...``, with a uniform prior at the top."""

    posterior = True
    reads = Task.reads | {"beta", "objective"}

    def __init__(self, blueprint: Blueprint, generators: Sequence[torch.Generator]) -> None:
        super().__init__(blueprint, generators)
        size = math.prod(self.family.parameter_shape)
        self.up, self.down = self._maps(size, generators), self._maps(size, generators)

    @classmethod
    def check(cls, settings: Settings) -> None:
        if settings.architecture.layers > 1:
            super().check(settings)
        cls.check_images(settings)

    def encode(self, images: Tensor) -> Tensor:
        parameters: Tensor = self.encoder(images)
        return parameters

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        weight = torch.as_tensor(beta, device=images.device).unsqueeze(-1)
        return Objective(
            decode=self.decode,
            loss=lambda output: self.likelihood.nll(output, images),
            curvature=lambda output: self.likelihood.curvature(output, images),
            model=Model(
                self.likelihood.mean,
                images,
                self.encode,
                layered(self.decoder),
                layered(self.encoder.network),
                canonical=self.likelihood.canonical,
            ),
            kl_term=lambda logits: weight * self.kl(logits),
            sample_kl=lambda logits, sample: -weight * self.family.log_ratio(logits, sample),
            context=images,
        )

    def layers(self, images: Tensor, beta: Tensor | float = 1.0) -> list[Layer]:
        weight = torch.as_tensor(beta, device=images.device).unsqueeze(-1)
        return [self._layer(up, down, weight) for up, down in self._pairs()]

    def _pairs(self) -> list[tuple[MLP, MLP]]:
        """The maps up to each layer and down from it."""
        return list(zip(self.up, self.down, strict=True))  # type: ignore[arg-type]

    def _layer(self, up: MLP, down: MLP, weight: Tensor) -> Layer:
        """A layer whose sample costs ``-log p(z_below | z)`` less that of the uniform prior."""

        def objective(below: Tensor) -> Objective:
            uniform = self.family.latents * math.log(self.architecture.categories)

            def probabilities(output: Tensor) -> Tensor:
                return softmax(self._variables(output)).flatten(-2)

            return Objective(
                decode=lambda sample: down(sample.flatten(-2)).float(),
                loss=lambda output: (
                    -weight * ((below * self._variables(output).log_softmax(-1)).sum((-1, -2)) + uniform)
                ),
                curvature=lambda output: weight.unsqueeze(-1) * bernoulli_variance(probabilities(output)),
                model=Model(
                    probabilities,
                    encode=lambda code: self._variables(up(code)),
                    decoder=down,
                    encoder=up,
                    canonical=True,
                ),
                kl_term=lambda logits: weight * self.kl(logits),
                sample_kl=lambda logits, sample: -weight * self.family.log_ratio(logits, sample),
                context=below.flatten(-2).detach(),
            )

        return Layer(lambda sample, output: self._variables(up(sample.flatten(-2))), objective)

    def log_weights(self, images: Tensor, parameters: Tensor, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        sample = self.family.sample(parameters, noise, samples)  # [P, S, B, N, K]
        output = torch.unflatten(self.decode(sample.flatten(1, 2)), 1, (samples, -1))  # [P, S, B, D]
        log_ratio = self.family.log_ratio(parameters.unsqueeze(1), sample)
        below = sample.flatten(1, 2)
        for up, down in self._pairs():
            given = self._variables(up(below.flatten(-2)))
            above = self.family.sample(given, noise).squeeze(1)
            prior = log_prob(self._variables(down(above.flatten(-2))), below)
            uniform = -self.family.latents * math.log(self.architecture.categories)
            more = prior - uniform + self.family.log_ratio(given, above)
            log_ratio, below = log_ratio + torch.unflatten(more, 1, (samples, -1)), above
        return -self.likelihood.nll(output, images.unsqueeze(1)), log_ratio

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        sample = self.family.prior_sample(count, noise).unsqueeze(0)
        for _, down in reversed(self._pairs()):
            sample = self.family.sample(self._variables(down(sample.flatten(-2))), noise).squeeze(1)
        return sample

    def networks(self, layer: int, generators: Generators) -> NetworkFactory:
        below = Shape(1, math.prod(self.family.sample_shape)) if layer else self.explained
        return self._factory(layer, generators, below, below, pixels=not layer, observed=not layer)
