"""Layers whose parameters carry a leading population dimension: P affine maps as one.

A layer maps flat inputs ``[..., P, B, in]`` to flat outputs ``[..., P, B, out]``. One run is P = 1. Images are flat,
too, row by row, with the channels of a pixel side by side, which is torch's ``channels_last``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError

INITIALISATIONS: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "glorot": lambda inputs, outputs: (math.sqrt(6 / (inputs + outputs)), 0.0),
    "fan-in": lambda inputs, outputs: (1 / math.sqrt(inputs), 1 / math.sqrt(inputs)),
}
"""Bounds of the uniform distributions of initial weights and biases: Glorot and Bengio (2010), ``torch.nn.Linear``."""


class Products:
    """The linear part of an affine layer, with any weights of its own weights' shape, for layerwise feedback.

    Inputs and outputs are flat. Layers of other code may derive from it; one that does not is taken for ``MATRICES``.
    """

    @property
    def uses(self) -> int:
        """How often each weight is used for an example."""
        return 1

    def fan_in(self, weight: Tensor) -> int:
        """How many weights an output depends on."""
        raise NotImplementedError

    def linear(self, inputs: Tensor, weight: Tensor) -> Tensor:
        """Its outputs ``[..., P, B, out]`` for inputs ``[..., P, B, in]``, with other weights and without a bias."""
        raise NotImplementedError

    def responses(self, weight: Tensor, first: int, last: int) -> Tensor:
        """Its outputs for the unit inputs from ``first`` to before ``last``: ``[..., P, last - first, out]``."""
        units = torch.eye(self.inputs, dtype=weight.dtype, device=weight.device)[first:last]
        return self.linear(units.expand(len(weight), -1, -1), weight)

    @property
    def inputs(self) -> int:
        """Number of inputs of an example."""
        raise NotImplementedError

    def transposed(self, outputs: Tensor, weight: Tensor) -> Tensor:
        """The transpose of ``linear``: ``[..., P, B, out] -> [..., P, B, in]``."""
        raise NotImplementedError

    def outer(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        """The gradient of ``<linear(inputs, weight), outputs>`` in the weights, summed over B: ``[..., P, weight]``."""
        raise NotImplementedError


class MatrixProducts(Products):
    """Products with matrices ``[..., P, in, out]`` of members or, without P, of one layer."""

    def fan_in(self, weight: Tensor) -> int:
        return weight.shape[-2]

    def linear(self, inputs: Tensor, weight: Tensor) -> Tensor:
        return inputs @ weight

    def responses(self, weight: Tensor, first: int, last: int) -> Tensor:
        return weight[..., first:last, :]

    def transposed(self, outputs: Tensor, weight: Tensor) -> Tensor:
        return outputs @ weight.mT

    def outer(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        return inputs.mT @ outputs


MATRICES = MatrixProducts()


def products(layer: nn.Module) -> Products:
    """How a layer multiplies: as it says, or by a matrix."""
    return layer if isinstance(layer, Products) else MATRICES


class Linear(MatrixProducts, nn.Module):
    """P affine maps by matrices ``[P, in, out]``.

    Weights and biases start as ``INITIALISATIONS`` says, each member's from its own generator. ``forward`` raises
    ``ValueError`` for another number of inputs.
    """

    def __init__(
        self, inputs: int, outputs: int, generators: Sequence[torch.Generator], initialisation: str = "glorot"
    ) -> None:
        super().__init__()
        bounds = INITIALISATIONS[initialisation](inputs, outputs)
        self.weight, self.bias = (
            nn.Parameter(_uniform((rows, outputs), bound, generators))
            for rows, bound in zip((inputs, 1), bounds, strict=True)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[-1] != self.weight.shape[1]:
            raise ValueError(f"{inputs.shape[-1]} inputs for a layer of {self.weight.shape[1]}")
        if inputs.dim() == 3:
            return torch.baddbmm(self.bias, inputs, self.weight)
        return self.product(inputs) + self.bias

    def product(self, inputs: Tensor, first: int = 0) -> Tensor:
        """``[..., P, B, n] -> [..., P, B, out]``: with the weights of n inputs from ``first`` on, no bias."""
        weight = self.weight.narrow(1, first, inputs.shape[-1])
        return by_member(lambda members: torch.bmm(members, weight), inputs, len(weight))


@dataclass(frozen=True)
class Window:
    """Geometry of a convolution from a large to a small image, kernel ``[small channels, large channels, k, k]``."""

    large: Shape
    small: Shape
    kernel: int
    stride: int

    PADDING: ClassVar[int] = 1

    @classmethod
    def of(cls, large: Shape, channels: int, kernel: int = 4, stride: int = 2) -> Window:
        """The window whose small image has ``channels`` channels. Raises ``InputError`` if it would be too small."""
        rows, columns = ((size + 2 * cls.PADDING - kernel) // stride + 1 for size in (large.rows, large.columns))
        if min(rows, columns) < 1:
            raise InputError(
                f"images of {large.rows} x {large.columns} are too small for another convolution of {kernel} x "
                f"{kernel}; give fewer numbers to --channels, one a convolution"
            )
        return cls(large, Shape(rows, columns, channels), kernel, stride)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the kernel."""
        return self.small.channels, self.large.channels, self.kernel, self.kernel

    @property
    def uses(self) -> int:
        """How often each weight is used for an image."""
        return self.small.rows * self.small.columns

    def shrink(self, large: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolution: flat images ``[B, large]`` -> ``[B, small]``."""
        return as_flat(F.conv2d(as_image(large, self.large), kernel, bias, self.stride, self.PADDING))

    def grow(self, small: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        """Its transpose: ``[B, small]`` -> ``[B, large]``."""
        if self.large.channels == 1:  # each pixel's products are summed where they meet: a third of the time on a CPU
            weights = kernel.flatten(1).t().expand(len(small), -1, -1)
            products = torch.bmm(weights, torch.unflatten(small, 1, (self.uses, -1)).transpose(1, 2))
            image = F.fold(products, (self.large.rows, self.large.columns), self.kernel, 1, self.PADDING, self.stride)
            return as_flat(image if bias is None else image + bias)
        left = [
            large - ((small - 1) * self.stride - 2 * self.PADDING + self.kernel)
            for large, small in ((self.large.rows, self.small.rows), (self.large.columns, self.small.columns))
        ]
        image = as_image(small, self.small)
        return as_flat(F.conv_transpose2d(image, kernel, bias, self.stride, self.PADDING, left))

    def outer(self, large: Tensor, small: Tensor) -> Tensor:
        """The gradient of ``<shrink(large, kernel), small>`` in the kernel, summed over images."""
        images = as_image(large, self.large), as_image(small, self.small)
        return conv2d_weight(  # type: ignore[no-any-return, no-untyped-call]
            images[0], self.shape, images[1], self.stride, self.PADDING
        )


class Spatial(Products, nn.Module):
    """Shared parts of convolutions and transposed ones: P kernels ``[P, small channels, large channels, k, k]``.

    Members are mapped one by one: on a CPU this takes four fifths of the time of one convolution grouped by members, or
    of ``torch.func.vmap``, and a recorded step runs no Python.
    """

    def __init__(
        self, window: Window, fans: tuple[int, int], generators: Sequence[torch.Generator], initialisation: str
    ) -> None:
        super().__init__()
        self.window, self.fans = window, fans
        bounds = INITIALISATIONS[initialisation](*fans)
        self.weight, self.bias = (
            nn.Parameter(_uniform(shape, bound, generators))
            for shape, bound in zip((window.shape, (self.output.channels,)), bounds, strict=True)
        )

    @property
    def output(self) -> Shape:
        """Shape of the output images."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        return by_member(lambda each: _stacked(self._map, each, self.weight, self.bias), inputs, len(self.weight))

    @property
    def uses(self) -> int:
        return self.window.uses

    @property
    def inputs(self) -> int:
        return self.window.large.size if self.output == self.window.small else self.window.small.size

    def fan_in(self, weight: Tensor) -> int:
        return self.fans[0]

    def linear(self, inputs: Tensor, weight: Tensor) -> Tensor:
        return by_member(lambda each: _stacked(self._map, each, weight), inputs, len(weight))

    def transposed(self, outputs: Tensor, weight: Tensor) -> Tensor:
        return by_member(lambda each: _stacked(self._transpose, each, weight), outputs, len(weight))

    def outer(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        flat = (tensor.flatten(0, -3) for tensor in (inputs, outputs))
        return torch.unflatten(_stacked(self._outer, *flat), 0, inputs.shape[:-2])

    def _map(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def _transpose(self, outputs: Tensor, kernel: Tensor) -> Tensor:
        raise NotImplementedError

    def _outer(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        raise NotImplementedError


class Convolution(Spatial):
    """P convolutions, from large images to small ones."""

    def __init__(self, window: Window, generators: Sequence[torch.Generator], initialisation: str = "glorot") -> None:
        pixels = window.kernel**2
        fans = pixels * window.large.channels, pixels * window.small.channels
        super().__init__(window, fans, generators, initialisation)

    @property
    def output(self) -> Shape:
        return self.window.small

    def _map(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.window.shrink(inputs, kernel, bias)

    def _transpose(self, outputs: Tensor, kernel: Tensor) -> Tensor:
        return self.window.grow(outputs, kernel)

    def _outer(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        return self.window.outer(inputs, outputs)


class TransposedConvolution(Spatial):
    """P transposed convolutions, from small images to large ones."""

    def __init__(self, window: Window, generators: Sequence[torch.Generator], initialisation: str = "glorot") -> None:
        pixels = window.kernel**2 // window.stride**2  # of the small image that reach one pixel of the large one
        fans = pixels * window.small.channels, pixels * window.large.channels
        super().__init__(window, fans, generators, initialisation)

    @property
    def output(self) -> Shape:
        return self.window.large

    def _map(self, inputs: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.window.grow(inputs, kernel, bias)

    def _transpose(self, outputs: Tensor, kernel: Tensor) -> Tensor:
        return self.window.shrink(outputs, kernel)

    def _outer(self, inputs: Tensor, outputs: Tensor) -> Tensor:
        return self.window.outer(outputs, inputs)


def by_member(function: Callable[[Tensor], Tensor], inputs: Tensor, members: int) -> Tensor:
    """Apply a function of ``[P, R, in]`` to inputs ``[..., P, B, in]``: ``[..., P, B, out]``.

    Dimensions before P, such as repeated draws, are merged with B: one product a member, not one a draw.
    """
    *leading, _, rows, width = inputs.shape
    if not leading:
        return function(inputs.expand(members, -1, -1))
    flat = inputs.expand(*leading, members, rows, width).flatten(0, -4).movedim(0, 1)
    outputs = function(flat.flatten(1, 2))
    return torch.unflatten(outputs, 1, (-1, rows)).movedim(1, 0).reshape(*leading, members, rows, -1)


def _stacked(function: Callable[..., Tensor], *members: Tensor) -> Tensor:
    """A function of each member's tensors, stacked."""
    return torch.stack([function(*each) for each in zip(*(tensor.unbind(0) for tensor in members), strict=True)])


def as_image(flat: Tensor, shape: Shape) -> Tensor:
    """``[B, rows columns channels] -> [B, channels, rows, columns]``, without a copy."""
    return torch.unflatten(flat, -1, (shape.rows, shape.columns, shape.channels)).permute(0, 3, 1, 2)


def as_flat(image: Tensor) -> Tensor:
    """The inverse of ``as_image``."""
    return image.permute(0, 2, 3, 1).flatten(1)


def _uniform(shape: tuple[int, ...], bound: float, generators: Sequence[torch.Generator]) -> Tensor:
    """Uniform numbers ``[P, *shape]`` in +-bound; nothing is drawn for a bound of zero."""
    if not bound:
        return torch.zeros(len(generators), *shape)
    drawn = [torch.rand(*shape, generator=generator) for generator in generators]
    return torch.stack(drawn).mul_(2 * bound).sub_(bound)
