"""Multilayer perceptrons: images and samples are flat vectors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch

from discrete_vae.backbones.base import Backbone, Widths
from discrete_vae.backbones.layers import Linear
from discrete_vae.backbones.stack import ACTIVATIONS, Stack
from discrete_vae.data.domain import Shape
from discrete_vae.errors import nearest

Generators = Sequence[torch.Generator]


class MLP(Stack):
    """P networks with layers of the given sizes: ``[P, B, sizes[0]] -> [P, B, sizes[-1]]``.

    Raises ``InputError`` for an unknown activation.
    """

    def __init__(
        self, sizes: Sequence[int], activation: str, generators: Generators, initialisation: str = "glorot"
    ) -> None:
        if activation not in ACTIVATIONS:
            raise nearest(activation, ACTIVATIONS, "activation")
        layers = [Linear(inputs, outputs, generators, initialisation) for inputs, outputs in itertools.pairwise(sizes)]
        super().__init__(layers, ACTIVATIONS[activation])


class MlpBackbone(Backbone):
    """Hidden layers of ``hidden`` units, from the image inwards; the decoder has them in reverse."""

    layered = joins = True

    def idle(self, widths: Widths) -> Mapping[str, str]:
        without = dict.fromkeys(("activation", "normalisation"), "a network without hidden layers")
        no_activation = {} if widths.hidden else without
        return {"channels": "backbone mlp"} | no_activation

    def least_weights(self, image: Shape, code: int, widths: Widths) -> int:
        return sum(inputs * outputs for inputs, outputs in itertools.pairwise((image.size, *widths.hidden, code)))

    def least_adversarial(self, code: int, image: Shape, widths: Widths) -> int:
        return self.least_weights(Shape(1, code), image.size, widths) + self.least_weights(image, 1, widths)

    def encoder(self, image: Shape, outputs: int, widths: Widths, generators: Generators, beside: int = 0) -> Stack:
        sizes = (image.size + beside, *widths.hidden, outputs)
        return MLP(sizes, widths.activation, generators, widths.initialisation)

    def generator(self, noise: int, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        """``hidden`` has the widths from the noise onwards; the critic takes them in reverse, from its input."""
        made = self.encoder(Shape(1, noise), image.size * numbers, widths, generators)
        return made.normalised(widths.normalisation)

    def critic(self, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        made = self.decoder(image.size * numbers, Shape(1, 1), 1, widths, generators)
        return made.normalised(widths.normalisation)

    def decoder(self, code: int, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        sizes = (code, *reversed(widths.hidden), image.size * numbers)
        return MLP(sizes, widths.activation, generators, widths.initialisation)
