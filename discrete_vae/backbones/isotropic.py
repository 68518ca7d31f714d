"""Residual networks that keep the resolution: the convolutional networks of Gulrajani et al. (2017) for language.

I. Gulrajani, F. Ahmed, M. Arjovsky, V. Dumoulin, A. Courville: Improved Training of Wasserstein GANs. NeurIPS 2017,
arXiv 1704.00028. The paper has one-dimensional convolutions; numbers and widths are those of the authors' published
settings (github.com/igul222/improved_wgan_training): five blocks of 512 channels, kernels of 5, ReLU, and a block's
output times 0.3. They are ``channels = (512,) * 5``, ``hidden = ()`` and ``activation = "relu"`` here. Weights start as
torch's own do, which is our choice.

A string is an image of one row, along which the kernels lie; an image of several rows has kernels of 5 x 5.
"""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from discrete_vae.backbones.base import Widths
from discrete_vae.backbones.residual import Activation
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError

KERNEL, SCALE = 5, 0.3


class Block(nn.Module):
    """``x + 0.3 conv(act(conv(act(x))))``: ``[B, inputs, H, W] -> [B, outputs, H, W]``.

    Where the numbers of channels differ, ``x`` goes through a convolution of kernel 1.
    """

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], activation: str) -> None:
        super().__init__()
        around = kernel[0] // 2, kernel[1] // 2
        self.layers = nn.Sequential(
            Activation(activation),
            nn.Conv2d(inputs, outputs, kernel, padding=around),
            Activation(activation),
            nn.Conv2d(outputs, outputs, kernel, padding=around),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.skip(inputs) + SCALE * self.layers(inputs)
        return outputs


def networks(image: Shape, code: int, numbers: int, widths: Widths) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder, as ``PlainBackbone`` takes them: a block for each of ``channels``, at full resolution.

    Dense layers of ``hidden`` units, of which the paper has none, stand between the blocks and the code. Raises
    ``InputError`` where there are no channels.
    """
    if not widths.channels:
        raise InputError("channels is (); this network needs at least one block: give the width of each")
    kernel = KERNEL if image.rows > 1 else 1, KERNEL if image.columns > 1 else 1
    first, last = widths.channels[0], widths.channels[-1]
    size = image.rows * image.columns
    name = widths.activation
    inwards = [nn.Conv2d(image.channels, first, 1), *_blocks((first, *widths.channels), kernel, name), nn.Flatten()]
    encoder = nn.Sequential(*inwards, *_dense((last * size, *widths.hidden, code), name))
    outwards = _blocks((last, *reversed(widths.channels)), kernel, name)
    decoder = nn.Sequential(
        *_dense((code, *reversed(widths.hidden), last * size), name),
        nn.Unflatten(1, (last, image.rows, image.columns)),
        *outwards,
        nn.Conv2d(first, image.channels * numbers, 1),
    )
    return encoder, decoder


def _blocks(channels: tuple[int, ...], kernel: tuple[int, int], activation: str) -> list[Block]:
    return [Block(*pair, kernel, activation) for pair in itertools.pairwise(channels)]


def _dense(sizes: tuple[int, ...], activation: str) -> list[nn.Module]:
    """Layers of the given sizes with an activation between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [Activation(activation), nn.Linear(inputs, outputs)]
    return layers[1:]
