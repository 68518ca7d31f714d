"""Multilayer perceptrons whose parameters carry a leading population dimension.

A layer's weight is ``[P, in, out]`` and it maps ``[P, B, in]`` to ``[P, B, out]``: P networks in one batched product.
One run is P = 1.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.errors import nearest

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "relu": F.relu,
    "tanh": torch.tanh,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}


INITIALISATIONS: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "glorot": lambda inputs, outputs: (math.sqrt(6 / (inputs + outputs)), 0.0),
    "fan-in": lambda inputs, outputs: (1 / math.sqrt(inputs), 1 / math.sqrt(inputs)),
}
"""Bounds within which weights and biases start uniform: of Glorot and Bengio (2010), and of ``torch.nn.Linear``."""


class Linear(nn.Module):
    """P affine maps, ``[..., P, B, in] -> [..., P, B, out]``.

    Weights and biases start as ``INITIALISATIONS`` says, each member's from its own generator.
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
        """``[..., P, B, n] -> [..., P, B, out]``: with the weights of so many inputs from the ``first`` on, no bias."""
        weight = self.weight.narrow(1, first, inputs.shape[-1])
        *leading, _, rows, width = inputs.shape
        if not leading:
            return torch.bmm(inputs.expand(len(weight), -1, -1), weight)
        # Dimensions before P, such as repeated draws, go beside B: one product a member, not one a draw.
        members = inputs.expand(*leading, len(weight), rows, width).flatten(0, -4).movedim(0, 1)
        outputs = torch.bmm(members.flatten(1, 2), weight)
        return torch.unflatten(outputs, 1, (-1, rows)).movedim(1, 0).reshape(*leading, len(weight), rows, -1)


def _uniform(shape: tuple[int, int], bound: float, generators: Sequence[torch.Generator]) -> Tensor:
    """``[P, *shape]`` in +-bound; nothing is drawn for a bound of zero."""
    if not bound:
        return torch.zeros(len(generators), *shape)
    drawn = [torch.rand(*shape, generator=generator) for generator in generators]
    return torch.stack(drawn).mul_(2 * bound).sub_(bound)


class Stack(nn.Module):
    """Affine layers with an activation between them, none behind the last; ``layers`` may be of any kind.

    With ``cut`` no gradient passes from a layer to the one below it: each has to be trained by a loss of its own.
    """

    def __init__(self, layers: Iterable[nn.Module], activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.activation, self.cut = nn.ModuleList(layers), activation, False

    def forward(self, inputs: Tensor) -> Tensor:
        """The first layer's input ``[..., B, in]`` -> the last one's output ``[..., B, out]``."""
        hidden: Tensor = self.layers[0](inputs)
        for layer in self.layers[1:]:
            hidden = layer(self._activate(hidden))
        return hidden

    def beside(self, *inputs: Tensor) -> Tensor:
        """``forward`` of inputs that would stand side by side, ``[..., B, n]`` each, of shapes that broadcast.

        Each is multiplied by itself, so one that is the same for many of another is so only once.
        """
        first, place = self.layers[0], 0
        assert isinstance(first, Linear)
        hidden: Tensor = first.bias
        for each in inputs:
            hidden = hidden + first.product(each, place)
            place += each.shape[-1]
        assert place == first.weight.shape[1]
        for layer in self.layers[1:]:
            hidden = layer(self._activate(hidden))
        return hidden

    def trace(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What each layer takes in and what it puts out, before the activation: the last is ``forward``'s."""
        taken, given = [inputs], [self.layers[0](inputs)]
        for layer in self.layers[1:]:
            taken.append(self._activate(given[-1]))
            given.append(layer(taken[-1]))
        return taken, given

    def slope(self, outputs: Tensor) -> Tensor:
        """Derivative of the activation at a layer's outputs."""
        with torch.enable_grad():
            at = outputs.detach().requires_grad_()
            return torch.autograd.grad(self.activation(at).sum(), at)[0]

    @contextlib.contextmanager
    def without_cut(self) -> Iterator[None]:
        """Let gradients pass from layer to layer for a while, also where the network is cut."""
        cut, self.cut = self.cut, False
        try:
            yield
        finally:
            self.cut = cut

    def _activate(self, outputs: Tensor) -> Tensor:
        hidden = self.activation(outputs)
        return hidden.detach() if self.cut else hidden


class MLP(Stack):
    """P networks with layers of the given sizes: ``[P, B, sizes[0]] -> [P, B, sizes[-1]]``."""

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str,
        generators: Sequence[torch.Generator],
        initialisation: str = "glorot",
    ) -> None:
        if activation not in ACTIVATIONS:
            raise nearest(activation, ACTIVATIONS, "activation")
        if initialisation not in INITIALISATIONS:
            raise nearest(initialisation, INITIALISATIONS, "initialisation")
        layers = [Linear(inputs, outputs, generators, initialisation) for inputs, outputs in itertools.pairwise(sizes)]
        super().__init__(layers, ACTIVATIONS[activation])
