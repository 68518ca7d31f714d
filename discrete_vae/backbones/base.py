"""What a backbone is to a task: networks for images of any shape, of P members at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Protocol

import torch
from torch import nn

from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError

CAPABILITIES = {
    "layered": "layers one by one, which layerwise feedback and layer-local training look at",
    "joins": "inputs side by side, an image and its class, which semi-supervised training has",
}
"""What a backbone may be asked for beside forward and backward, and why."""


class Widths(Protocol):
    """Sizes of the networks; ``Backbone.idle`` says which of them a backbone makes no use of."""

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
        """Fields of the widths that have no effect, and beside what; by default they all have one."""
        return {}

    def least_weights(self, image: Shape, code: int, widths: Widths) -> int:
        """Weights that an encoder to, or a decoder from, so many numbers has at least."""
        return 0

    def least_adversarial(self, code: int, image: Shape, widths: Widths) -> int:
        """Weights that a ``generator`` of images and a ``critic`` of them have together at least."""
        return self.least_weights(image, code, widths) + self.least_weights(image, 1, widths)

    def encoder(
        self, image: Shape, outputs: int, widths: Widths, generators: Sequence[torch.Generator], beside: int = 0
    ) -> nn.Module:
        """Images ``[P, B, D] -> [P, B, outputs]``, each member with weights from its own generator.

        A backbone that ``joins`` takes, by ``Stack.beside``, so many more numbers beside the image.
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
        """Noise ``[P, B, noise]`` -> what is made, ``[P, B, D numbers]``, a pixel's or symbol's side by side.

        A string is an image of one row. By default a decoder makes it, normalised as the widths say.
        """
        return self.decoder(noise, image, numbers, widths, generators)

    def critic(self, image: Shape, numbers: int, widths: Widths, generators: Sequence[torch.Generator]) -> nn.Module:
        """What a generator makes ``[..., P, B, D numbers]`` -> one value of each, ``[..., P, B, 1]``.

        By default an encoder judges it, which takes the numbers of a pixel or symbol for its channels, normalised as
        the widths say.
        """
        return self.encoder(replace(image, channels=image.channels * numbers), 1, widths, generators)


def require(backbone: Backbone, name: str, needs: Collection[str], whose: str) -> None:
    """Raise ``InputError`` where ``whose`` needs a capability that the backbone ``name`` has not."""
    for need in needs:
        if not getattr(backbone, need):
            raise InputError(
                f"backbone {name} does not offer {CAPABILITIES[need]}; for {whose} take backbone mlp or conv"
            )
