"""Networks of affine layers with an activation between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones.layers import Linear

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "relu": F.relu,
    "tanh": torch.tanh,
    "elu": F.elu,
    "gelu": F.gelu,
    "silu": F.silu,
}


Normalisation = Callable[[Tensor], Tensor]
"""A normalisation of a layer's outputs ``[..., out]``: the same shape, each example by itself."""


def over_layer(outputs: Tensor) -> Tensor:
    """Layer normalisation without gain or bias: subtract the mean, divide by the standard deviation.

    J. L. Ba, J. R. Kiros, G. E. Hinton: Layer Normalization. 2016, arXiv 1607.06450. It is written out, because a
    gradient penalty takes its second derivative.
    """
    centred = outputs - outputs.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + 1e-5).rsqrt()


NORMALISATIONS: dict[str, Normalisation | None] = {"none": None, "layer": over_layer}


class Stack(nn.Module):
    """Affine layers with an activation between them, none behind the last; ``layers`` may be of any kind.

    With ``cut`` no gradient passes from a layer to the one below it: each has to be trained by a loss of its own.
    """

    def __init__(self, layers: Iterable[nn.Module], activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.activation, self.cut = nn.ModuleList(layers), activation, False
        self.normalise: Normalisation | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        """The first layer's input ``[..., B, in]`` -> the last one's output ``[..., B, out]``."""
        hidden: Tensor = self.layers[0](inputs)
        for layer in self.layers[1:]:
            hidden = layer(self._activate(hidden))
        return hidden

    def beside(self, *inputs: Tensor) -> Tensor:
        """``forward`` of inputs that stand side by side before the first matrix, ``[..., B, n]`` each.

        Convolutions before it see only the first input. Shapes broadcast: each input has its own product, so an input
        shared by many of another is multiplied once.
        """
        join = next(depth for depth, layer in enumerate(self.layers) if isinstance(layer, Linear))
        first, *others = inputs
        for layer in self.layers[:join]:
            first = self._activate(layer(first))
        matrix, place = self.layers[join], 0
        assert isinstance(matrix, Linear)
        hidden: Tensor = matrix.bias
        for each in (first, *others):
            hidden = hidden + matrix.product(each, place)
            place += each.shape[-1]
        assert place == matrix.weight.shape[1]
        for layer in self.layers[join + 1 :]:
            hidden = layer(self._activate(hidden))
        return hidden

    def trace(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Each layer's inputs, and its outputs before the activation; the last output is that of ``forward``."""
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
        """Let gradients pass from layer to layer within the context, even if the network is cut."""
        cut, self.cut = self.cut, False
        try:
            yield
        finally:
            self.cut = cut

    def normalised(self, name: str) -> Stack:
        """Normalise the input of each activation from now on, by a row of ``NORMALISATIONS``; returns the network."""
        self.normalise = NORMALISATIONS[name]
        return self

    def _activate(self, outputs: Tensor) -> Tensor:
        hidden = self.activation(self.normalise(outputs) if self.normalise else outputs)
        return hidden.detach() if self.cut else hidden


def layered(network: nn.Module) -> Stack | None:
    """The network if its layers can be used singly: without normalisation, which has no elementwise slope."""
    return network if isinstance(network, Stack) and network.normalise is None else None
