"""Convolutional networks: strided convolutions inwards, transposed ones outwards, dense layers between (DCGAN's kind).

A. Radford, L. Metz, S. Chintala: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks. ICLR 2016, arXiv 1511.06434; without its batch normalisation, under which images would depend on each other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from discrete_vae.backbones.base import Backbone, Widths
from discrete_vae.backbones.layers import Convolution, Linear, TransposedConvolution, Window
from discrete_vae.backbones.stack import ACTIVATIONS, Stack
from discrete_vae.data.domain import Shape

Generators = Sequence[torch.Generator]


class ConvBackbone(Backbone):
    """A convolution of kernel 4 and stride 2 for each of ``channels``, then dense layers of ``hidden`` units.

    The decoder has them in reverse, with transposed convolutions. All layers are affine with an activation between
    them, so layerwise feedback can be learned. ``channels`` and ``hidden``, if given, replace those of the widths.
    """

    layered = joins = True

    def __init__(self, channels: tuple[int, ...] | None = None, hidden: tuple[int, ...] | None = None) -> None:
        self.channels, self.hidden = channels, hidden

    def idle(self, widths: Widths) -> Mapping[str, str]:
        fixed = {
            name: "a backbone of fixed sizes" for name in ("channels", "hidden") if getattr(self, name) is not None
        }
        channels, hidden = self._sizes(widths)
        without = dict.fromkeys(("activation", "normalisation"), "a network without hidden layers")
        return fixed if channels or hidden else without

    def _sizes(self, widths: Widths) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and hidden units."""
        return (
            widths.channels if self.channels is None else self.channels,
            widths.hidden if self.hidden is None else self.hidden,
        )

    def least_weights(self, image: Shape, code: int, widths: Widths) -> int:
        channels, hidden = self._sizes(widths)
        down = windows(image, channels)
        sizes = ((down[-1].small if down else image).size, *hidden, code)
        dense = sum(inputs * outputs for inputs, outputs in itertools.pairwise(sizes))
        return dense + sum(math.prod(window.shape) for window in down)

    def encoder(self, image: Shape, outputs: int, widths: Widths, generators: Generators, beside: int = 0) -> Stack:
        channels, hidden = self._sizes(widths)
        down = windows(image, channels)
        layers: list[nn.Module] = [Convolution(window, generators, widths.initialisation) for window in down]
        sizes = ((down[-1].small if down else image).size + beside, *hidden, outputs)
        return Stack([*layers, *_dense(sizes, widths, generators)], ACTIVATIONS[widths.activation])

    def decoder(self, code: int, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        channels, hidden = self._sizes(widths)
        output = Shape(image.rows, image.columns, image.channels * numbers)
        up = list(reversed(windows(output, channels)))
        sizes = (code, *reversed(hidden), (up[0].small if up else output).size)
        layers = _dense(sizes, widths, generators)
        layers += [TransposedConvolution(window, generators, widths.initialisation) for window in up]
        return Stack(layers, ACTIVATIONS[widths.activation])

    def generator(self, noise: int, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        return self.decoder(noise, image, numbers, widths, generators).normalised(widths.normalisation)

    def critic(self, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        sample = replace(image, channels=image.channels * numbers)
        return self.encoder(sample, 1, widths, generators).normalised(widths.normalisation)


JANG = ConvBackbone((32, 64, 64), (256, 128))
"""Six layers for semi-supervised images: three convolutions, two dense layers and the output. The text of Jang et al.
(2017, section 4.3) names fewer, three convolutional layers for each encoder and four transposed ones for the decoder:
``conv`` of three channels without hidden units. It does not say their widths."""


def windows(image: Shape, channels: Sequence[int]) -> list[Window]:
    """The convolutions' windows, from the image inwards. Raises ``InputError`` if the image is too small for them."""
    found: list[Window] = []
    for each in channels:
        found.append(Window.of(found[-1].small if found else image, each))
    return found


def _dense(sizes: Sequence[int], widths: Widths, generators: Generators) -> list[nn.Module]:
    return [Linear(inputs, outputs, generators, widths.initialisation) for inputs, outputs in itertools.pairwise(sizes)]
