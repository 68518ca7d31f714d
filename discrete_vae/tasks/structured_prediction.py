"""Structured output prediction: the lower half of an image from its upper half, by stochastic layers in a row.

T. Raiko, M. Berglund, G. Alain, L. Dinh: Techniques for Learning Binary Stochastic Feedforward Neural Networks. ICLR
2015, arXiv 1406.2989; as a benchmark for categorical layers Jang et al. 2017, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from discrete_vae.backbones.mlp import MLP
from discrete_vae.backbones.stack import layered
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.settings import Architecture, Settings
from discrete_vae.strategies.base import NetworkFactory
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.tasks.base import Blueprint, Generators, Task
from discrete_vae.tasks.nesting import Layer


class StructuredPrediction(Task):
    """``p(y | x) = E[p(y | z_L)]`` over ``p(z_1 | x) p(z_2 | z_1) ... p(z_L | z_{L-1})``: x upper half, y lower half.

    The loss is a bound of one sample, ``-E log p(y | z_L)``; with m samples evaluation gives the bound
    ``log mean_m p(y | z_L)``. There is no posterior, and so no KL. ``check`` raises ``InputError`` for images of
    one row.
    """

    posterior = False
    reads = Task.reads | {"objective"}

    def __init__(self, blueprint: Blueprint, generators: Sequence[torch.Generator]) -> None:
        super().__init__(blueprint, generators)
        self.between = self._maps(math.prod(self.family.parameter_shape), generators)

    @classmethod
    def shapes(cls, architecture: Architecture, image: Shape) -> tuple[Shape, Shape]:
        upper = replace(image, rows=image.rows // 2)
        return upper, replace(image, rows=image.rows - upper.rows)

    @classmethod
    def check(cls, settings: Settings) -> None:
        super().check(settings)
        if settings.data.image_shape.rows < 2:
            raise InputError("the images have one row; structured prediction needs an upper and a lower half")

    def encode(self, images: Tensor) -> Tensor:
        parameters: Tensor = self.encoder(images[..., : self.seen.size])
        return parameters

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        return self._objective(0, images)

    def layers(self, images: Tensor, beta: Tensor | float = 1.0) -> list[Layer]:
        def layer(index: int) -> Layer:
            return Layer(
                lambda sample, output: self._variables(output),
                lambda sample: self._objective(index, images.repeat(1, sample.shape[-3] // images.shape[-2], 1)),
            )

        return [layer(index) for index in range(1, self.architecture.layers)]

    def _objective(self, index: int, images: Tensor) -> Objective:
        if index < len(self.between):
            return self._passing_on(self.between[index], images)  # type: ignore[arg-type]
        target = images[..., self.seen.size :]
        return Objective(
            decode=self.decode,
            loss=lambda output: self.likelihood.nll(output, target),
            curvature=lambda output: self.likelihood.curvature(output, target),
            model=Model(
                self.likelihood.mean, target, decoder=layered(self.decoder), canonical=self.likelihood.canonical
            ),
            context=images,
        )

    def _passing_on(self, network: MLP, images: Tensor) -> Objective:
        """The objective of a sample that is decoded to the next layer's logits; only the layers behind have a cost."""
        return Objective(
            decode=lambda sample: network(sample.flatten(-2)).float(),
            loss=lambda output: 0 * output.sum(-1),  # of the output, so that it may be asked for a gradient
            curvature=torch.zeros_like,
            model=Model(lambda output: softmax(self._variables(output)).flatten(-2), decoder=network),
            context=images,
        )

    def log_weights(self, images: Tensor, parameters: Tensor, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        sample = self.family.sample(parameters, noise, samples).flatten(1, 2)  # [P, S B, N, K]
        for network in self.between:
            sample = self.family.sample(self._variables(network(sample.flatten(-2))), noise).squeeze(1)
        output = torch.unflatten(self.decode(sample), 1, (samples, -1))  # [P, S, B, D]
        log_prob = -self.likelihood.nll(output, images[..., self.seen.size :].unsqueeze(1))
        return log_prob, torch.zeros_like(log_prob)

    def networks(self, layer: int, generators: Generators) -> NetworkFactory:
        last = layer == self.architecture.layers - 1
        outputs = self.explained if last else Shape(1, math.prod(self.family.sample_shape))
        return self._factory(layer, generators, outputs, self.blueprint.image, pixels=last)
