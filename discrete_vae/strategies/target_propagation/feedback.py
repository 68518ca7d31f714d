"""Layerwise feedback: the output error ``x - x'`` goes down a network one layer at a time, by weights of its own.

From a layer's outputs to its inputs an error ``d`` becomes ``d M^T``, times the slope of the activation there. The
rules that learn ``M`` see the layer only from outside: what comes out of it for what is put in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from discrete_vae.strategies.base import only_gradient
from discrete_vae.strategies.target_propagation.geometries import Difference
from discrete_vae.strategies.target_propagation.inverses import Decoded, Flow, Inverse, Levels


def carry(weights: Sequence[Tensor], slopes: Sequence[Tensor], error: Tensor) -> tuple[list[Tensor], Tensor]:
    """Take an error at the top of some layers down: what it is at each layer's output, and at the lowest's input."""
    signals = [error]
    for weight, slope in zip(reversed(weights[1:]), reversed(slopes), strict=True):
        signals.insert(0, (signals[0] @ weight.mT) * slope)
    return signals, signals[0] @ weights[0].mT


class LayerwiseFeedback(Inverse):
    """Feedback weights for every layer of the decoder; by themselves fixed and random (FW-DTP, Shibuya et al. 2023).

    ``decoder`` are their initial values, from the code outwards, each of the shape of its layer's own weights,
    ``[..., in, out]``; ``encoder``, the same for all but the encoder's first layer, is for layer-local training alone.
    The subclasses learn them.
    """

    paper = "Shibuya et al. 2023"
    layerwise = True
    learned = False

    def __init__(self, decoder: Sequence[Tensor], encoder: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.depths = {"decoder": len(decoder), "encoder": len(encoder)}
        for name, weights in (("decoder", decoder), ("encoder", encoder)):
            for depth, weight in enumerate(weights):
                own = weight.detach().clone()
                if self.learned:
                    self.register_parameter(f"{name}{depth}", nn.Parameter(own))
                else:
                    self.register_buffer(f"{name}{depth}", own)

    def weights(self, network: str) -> list[Tensor]:
        """Those of the ``decoder`` or the ``encoder``, upwards."""
        return [getattr(self, f"{network}{depth}") for depth in range(self.depths[network])]

    def difference(self, decoded: Decoded) -> Difference:
        flow, prediction = decoded.flow, decoded.prediction
        assert flow is not None
        signals, below = carry(self.weights("decoder"), flow.slopes(), decoded.aim - prediction)
        signal = torch.unflatten(below, -1, decoded.sample.shape[-2:])
        return Difference(decoded.code + signal, decoded.code, signal, signals)

    def loss(self, decoded: Decoded, difference: Difference, levels: Levels) -> Tensor:
        assert decoded.flow is not None
        return self.learn(self.weights("decoder"), decoded.flow, difference.layers, levels)

    def reconstruct(self, decoded: Decoded, prediction: Tensor) -> Tensor:
        assert decoded.flow is not None
        below = carry(self.weights("decoder"), decoded.flow.slopes(), prediction)[1]
        return torch.unflatten(below, -1, decoded.sample.shape[-2:])

    def learn(self, weights: Sequence[Tensor], flow: Flow, signals: Sequence[Tensor], levels: Levels) -> Tensor:
        """The loss ``[...]`` of the feedback weights of some layers, whose outputs should change by ``signals``."""
        return flow.taken[0].new_zeros(flow.taken[0].shape[:-2])


class LocalDifferenceReconstruction(LayerwiseFeedback):
    """L-DRL (Ernoult et al. 2022): ``-2 <e, g(f(h + e)) - g(f(h))> + ||g(f(h) + n) - g(f(h))||^2`` a layer.

    Its minimum for noises of equal deviation is the transposed Jacobian, so that targets are those of backpropagation.
    """

    paper = "Ernoult et al. 2022"
    learned = descends = True

    def learn(self, weights: Sequence[Tensor], flow: Flow, signals: Sequence[Tensor], levels: Levels) -> Tensor:
        total = super().learn(weights, flow, signals, levels)
        for weight, layer, inputs, outputs in zip(weights, flow.layers, flow.taken, flow.given, strict=True):
            with torch.no_grad():
                push = levels.draw(inputs, levels.inputs)
                response = layer(inputs + push) - outputs
                other = levels.draw(outputs, levels.outputs)
            total = total - 2 * (push * (response @ weight.mT)).sum(-1).mean(-1)
            total = total + (other @ weight.mT).square().sum(-1).mean(-1)
        return total


class DifferenceReconstruction(LayerwiseFeedback):
    """DRL (Meulemans et al. 2020): a push at a layer's input, seen at the output, is to be carried back whole.

    ``||g(f(h + e)) - g(f(h)) - e||^2 + ||g(f(h) + n) - g(f(h))||^2`` through all layers above, each layer's weights
    learning from its own push. The minimum is the Jacobian's pseudo-inverse, damped by n: targets are Gauss-Newton's.
    """

    paper = "Meulemans et al. 2020"
    learned = descends = True

    def learn(self, weights: Sequence[Tensor], flow: Flow, signals: Sequence[Tensor], levels: Levels) -> Tensor:
        total = super().learn(weights, flow, signals, levels)
        slopes, top = flow.slopes(), flow.given[-1]
        for i, weight in enumerate(weights):
            with torch.no_grad():
                push = levels.draw(flow.taken[i], levels.inputs)
                outputs = flow.layers[i](flow.taken[i] + push)
                for layer in flow.layers[i + 1 :]:
                    outputs = layer(flow.network.activation(outputs))
                response, other = outputs - top, levels.draw(top, levels.outputs)
            path = [weight, *(above.detach() for above in weights[i + 1 :])]
            total = total + (carry(path, slopes[i:], response)[1] - push).square().sum(-1).mean(-1)
            total = total + carry(path, slopes[i:], other)[1].square().sum(-1).mean(-1)
        return total


class WeightMirror(LayerwiseFeedback):
    """Feedback that becomes its layer's own weights, and stays so: both rules of Akrout et al. (2019) together.

    A mirror compares what comes out of a layer for a random push e at its input with what ``e M`` foretells, and
    corrects M by the difference (least mean squares, Widrow and Hoff 1960: a regression with L-DRL's minimum, but with
    no noise there). And M takes the layer's own steps, which need only the activity below and the signal above it
    (Kolen and Pollack 1994), so that it does not lag behind; for that the auxiliary learning rate has to be the
    learning rate, and a warm-up by probes lets both optimisers begin with the same gradients. A lag tells even where it
    is small: activations of one sign make it nearly a matrix of rank one, whose error all hidden units share.
    """

    paper = "Akrout et al. 2019"
    learned = True
    PROBES = 20
    """Images of a batch on which a layer is probed; they take the error of n inputs down to n / (n + 20) a step."""

    def learn(self, weights: Sequence[Tensor], flow: Flow, signals: Sequence[Tensor], levels: Levels) -> Tensor:
        """Correct the weights in place; the loss has the layers' own gradients, and the value 0."""
        total = super().learn(weights, flow, signals, levels)
        with torch.no_grad():
            for weight, layer, inputs, outputs in zip(weights, flow.layers, flow.taken, flow.given, strict=True):
                inputs, outputs = inputs[..., : self.PROBES, :], outputs[..., : self.PROBES, :]
                push = levels.noise.normal(inputs.shape, inputs.dtype)
                surprise = layer(inputs + push) - outputs - push @ weight
                weight += _mean_like(push.mT @ surprise, weight) / (inputs.shape[-2] + inputs.shape[-1])
        for weight, inputs, signal in zip(weights, flow.taken, signals, strict=True):
            gradient = -_mean_like(inputs.detach().mT @ signal, weight) / inputs.shape[-2]
            total = total + only_gradient(weight, gradient, weight.dim() - 2)
        return total


def _mean_like(value: Tensor, weight: Tensor) -> Tensor:
    """The mean over leading dimensions that the weights do not have: draws that share them."""
    extra = value.dim() - weight.dim()
    return value.mean(list(range(extra))) if extra > 0 else value
