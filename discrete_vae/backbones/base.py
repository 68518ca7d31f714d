"""The interface of backbones: networks for images of any shape, of P members at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

import torch
from torch import nn

from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError

CAPABILITIES = {
    "layered": "access to single layers, which layerwise feedback, layer-local training and a bias of the data need",
    "joins": "a class as an input beside the image, which semi-supervised training needs",
}
"""Capabilities beyond forward and backward that a task or strategy may need, and what needs them."""


class Widths(Protocol):
    """Sizes of the networks; ``Backbone.idle`` names those that a backbone does not use."""

    @property
    def backbone(self) -> str: ...
    @property
    def hidden(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def initialisation(self) -> str: ...
    @property
    def normalisation(self) -> str: ...


class Backbone:
    """A row of ``BACKBONES``. Images are flat, ``[P, B, D]``, row by row with the channels of a pixel side by side."""

    layered: ClassVar[bool] = False
    joins: ClassVar[bool] = False

    def idle(self, widths: Widths) -> Mapping[str, str]:
        """Fields of the widths that have no effect, each with the reason; by default there are none."""
        return {}

    def least_weights(self, image: Shape, code: int, widths: Widths) -> int:
        """Lower bound on the number of weights of an encoder to, or a decoder from, ``code`` numbers."""
        return 0

    def least_adversarial(self, code: int, image: Shape, widths: Widths) -> int:
        """Lower bound on the number of weights of a ``generator`` and a ``critic`` of images together."""
        return self.least_weights(image, code, widths) + self.least_weights(image, 1, widths)

    def encoder(
        self, image: Shape, outputs: int, widths: Widths, generators: Sequence[torch.Generator], beside: int = 0
    ) -> nn.Module:
        """Images ``[P, B, D] -> [P, B, outputs]``, each member with weights from its own generator.

        If the backbone ``joins``, the encoder takes ``beside`` more numbers with the image, by ``Stack.beside``.
        """
        raise NotImplementedError

    def decoder(
        self, code: int, image: Shape, numbers: int, widths: Widths, generators: Sequence[torch.Generator]
    ) -> nn.Module:
        """Samples ``[..., P, B, code] -> [..., P, B, D numbers]``, the numbers of a pixel or channel side by side."""
        raise NotImplementedError

    def generator(
        self, noise: int, image: Shape, numbers: int, widths: Widths, generators: Sequence[torch.Generator]
    ) -> nn.Module:
        """Noise ``[P, B, noise]`` -> observations ``[P, B, D numbers]``, the numbers of a pixel or symbol side by side.

        A string is an image of one row. By default this is a decoder, normalised as the widths say.
        """
        return self.decoder(noise, image, numbers, widths, generators)

    def critic(self, image: Shape, numbers: int, widths: Widths, generators: Sequence[torch.Generator]) -> nn.Module:
        """Observations ``[..., P, B, D numbers]``, as a generator makes them -> one value each, ``[..., P, B, 1]``.

        By default this is an encoder that takes the numbers of a pixel or symbol as its channels, normalised as the
        widths say.
        """
        return self.encoder(replace(image, channels=image.channels * numbers), 1, widths, generators)


def require(backbone: Backbone, name: str, needs: Collection[str], whose: str) -> None:
    """Raise ``InputError`` if ``whose`` needs a capability that the backbone ``name`` does not have."""
    for need in needs:
        if not getattr(backbone, need):
            raise InputError(
                f"backbone {name} does not offer {CAPABILITIES[need]}; for {whose} take backbone mlp or conv"
            )
