"""Convolutional networks: strided convolutions inwards, transposed ones outwards, dense layers between (DCGAN's kind).

A. Radford, L. Metz, S. Chintala: Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks. ICLR 2016, arXiv 1511.06434; without its batch normalisation, under which images would depend on each other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from discrete_vae.backbones.base import Backbone, Widths
from discrete_vae.backbones.layers import Convolution, Linear, TransposedConvolution, Window
from discrete_vae.backbones.stack import ACTIVATIONS, Stack
from discrete_vae.data.domain import Shape

Generators = Sequence[torch.Generator]


class ConvBackbone(Backbone):
    """A convolution of kernel 4 and stride 2 for each of ``channels``, then dense layers of ``hidden`` units.

    The decoder has them in reverse, with transposed convolutions. Everything is affine, with an activation between, so
    layerwise feedback can be learned.
    """

    layered = joins = True

    def idle(self, widths: Widths) -> Mapping[str, str]:
        return {} if widths.hidden or widths.channels else {"activation": "a network without hidden layers"}

    def least_weights(self, image: Shape, code: int, widths: Widths) -> int:
        down = windows(image, widths.channels)
        sizes = ((down[-1].small if down else image).size, *widths.hidden, code)
        dense = sum(inputs * outputs for inputs, outputs in itertools.pairwise(sizes))
        return dense + sum(math.prod(window.shape) for window in down)

    def encoder(self, image: Shape, outputs: int, widths: Widths, generators: Generators, beside: int = 0) -> Stack:
        down = windows(image, widths.channels)
        layers: list[nn.Module] = [Convolution(window, generators, widths.initialisation) for window in down]
        sizes = ((down[-1].small if down else image).size + beside, *widths.hidden, outputs)
        return Stack([*layers, *_dense(sizes, widths, generators)], ACTIVATIONS[widths.activation])

    def decoder(self, code: int, image: Shape, numbers: int, widths: Widths, generators: Generators) -> Stack:
        output = Shape(image.rows, image.columns, image.channels * numbers)
        up = list(reversed(windows(output, widths.channels)))
        sizes = (code, *reversed(widths.hidden), (up[0].small if up else output).size)
        layers = _dense(sizes, widths, generators)
        layers += [TransposedConvolution(window, generators, widths.initialisation) for window in up]
        return Stack(layers, ACTIVATIONS[widths.activation])


def windows(image: Shape, channels: Sequence[int]) -> list[Window]:
    """From the image inwards. Raises ``InputError`` for an image that is too small for so many."""
    found: list[Window] = []
    for each in channels:
        found.append(Window.of(found[-1].small if found else image, each))
    return found


def _dense(sizes: Sequence[int], widths: Widths, generators: Generators) -> list[nn.Module]:
    return [Linear(inputs, outputs, generators, widths.initialisation) for inputs, outputs in itertools.pairwise(sizes)]
