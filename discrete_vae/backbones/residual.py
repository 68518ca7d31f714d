"""Residual networks of plain torch modules: a strided convolution and a residual block for each of ``channels``, then
dense layers of ``hidden`` units. Weights start as torch's own do.

K. He, X. Zhang, S. Ren, J. Sun: Identity Mappings in Deep Residual Networks. ECCV 2016, arXiv 1603.05027, with group
normalisation (Wu and He 2018), which looks at each image by itself, in place of batch normalisation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from discrete_vae.backbones.base import Widths
from discrete_vae.backbones.stack import ACTIVATIONS
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError


class Activation(nn.Module):
    """One of ``ACTIVATIONS`` as a module."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = ACTIVATIONS[name]

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Block(nn.Module):
    """``x + conv(act(norm(conv(act(norm(x))))))``, of as many channels: ``[B, C, H, W] -> [B, C, H, W]``."""

    def __init__(self, channels: int, activation: str) -> None:
        super().__init__()
        groups, layers = math.gcd(channels, 8), list[nn.Module]()
        for _ in range(2):
            layers += [nn.GroupNorm(groups, channels), Activation(activation)]
            layers += [nn.Conv2d(channels, channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return inputs + outputs


def networks(image: Shape, code: int, numbers: int, widths: Widths) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder, as ``PlainBackbone`` takes them. Raises ``InputError`` where there are no channels."""
    if not widths.channels:
        raise InputError("channels is (); a residual network needs at least one convolution: give its channels")
    sizes = [(image.rows, image.columns)]
    for _ in widths.channels:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    small = (widths.channels[-1], *sizes[-1])
    name = widths.activation
    down: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise((image.channels, *widths.channels)):
        down += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), Block(outputs, name)]
    encoder = nn.Sequential(*down, nn.Flatten(), *_dense((math.prod(small), *widths.hidden, code), name))
    up: list[nn.Module] = []
    ends = (*reversed(widths.channels), widths.channels[0])
    for size, (inputs, outputs) in zip(reversed(sizes[:-1]), itertools.pairwise(ends), strict=True):
        up += [Block(inputs, name), nn.Upsample(size), nn.Conv2d(inputs, outputs, 3, padding=1)]
    last = nn.Conv2d(widths.channels[0], image.channels * numbers, 3, padding=1)
    dense = _dense((code, *reversed(widths.hidden), math.prod(small)), name)
    decoder = nn.Sequential(*dense[1:], nn.Unflatten(1, small), *up, Activation(name), last)
    return encoder, decoder


def _dense(sizes: Sequence[int], activation: str) -> list[nn.Module]:
    """Layers of the given sizes, each behind an activation."""
    return [
        layer
        for inputs, outputs in itertools.pairwise(sizes)
        for layer in (Activation(activation), nn.Linear(inputs, outputs))
    ]
