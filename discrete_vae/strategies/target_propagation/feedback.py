"""Layerwise feedback: the output's error goes down a network one layer at a time, by weights of its own.

The error is minus the loss' derivative in the output, for a Bernoulli likelihood ``x - x'``. From a layer's outputs to
its inputs an error ``d`` becomes ``d M^T``, times the slope of the activation there; of a convolution's kernels M that
its inputs an error ``d`` becomes ``d M^T``, times the slope of the activation there; of a convolution's kernels M that
is their transposed convolution (``backbones.layers.Products``). The rules that learn ``M`` use only a layer's inputs
and outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from discrete_vae.backbones.layers import products
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.target_propagation.geometries import Difference
from discrete_vae.strategies.target_propagation.inverses import Activations, DecodePass, Inverse, NoiseScales


def carry(
    layers: Sequence[nn.Module], weights: Sequence[Tensor], slopes: Sequence[Tensor], error: Tensor
) -> tuple[list[Tensor], Tensor]:
    """Carry an error down from the top of some layers: the error at each layer's output and at the lowest's input.

    A layer's weights here may be others than its own, of their shape.
    """
    signals = [error]
    for layer, weight, slope in zip(reversed(layers[1:]), reversed(weights[1:]), reversed(slopes), strict=True):
        signals.insert(0, products(layer).transposed(signals[0], weight) * slope)
    return signals, products(layers[0]).transposed(signals[0], weights[0])


class LayerwiseFeedback(Inverse):
    """Feedback weights for every layer of the decoder; by themselves fixed and random (FW-DTP, Shibuya et al. 2023).

    ``decoder`` are their initial values, from the code outwards, each of the shape of its layer's own weights, such as
    ``[..., in, out]``; ``encoder``, the same for all but the encoder's first layer, is for layer-local training alone.
    The subclasses learn them.
    """

    paper = "Shibuya et al. 2023"
    needs = ("predict", "decoder")
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
        """Feedback weights of the ``decoder`` or the ``encoder``, upwards."""
        return [getattr(self, f"{network}{depth}") for depth in range(self.depths[network])]

    def difference(self, decoded: DecodePass) -> Difference:
        flow = decoded.flow
        assert flow is not None
        assert decoded.error is not None
        signals, below = carry(flow.layers, self.weights("decoder"), flow.slopes(), decoded.error)
        signal = torch.unflatten(below, -1, decoded.sample.shape[-2:])
        if decoded.direct is not None:
            signal = signal + decoded.direct
        signal = signal - signal.mean(-1, keepdim=True)  # along the simplex; the rest of it is without effect
        if decoded.share != 1:
            signal = decoded.share * signal
        return Difference(decoded.code + signal, decoded.code, signal, signals)

    def loss(self, decoded: DecodePass, difference: Difference, levels: NoiseScales) -> Tensor:
        assert decoded.flow is not None
        return self.learn(self.weights("decoder"), decoded.flow, difference.layers, levels)

    def reconstruct(self, decoded: DecodePass, output: Tensor) -> Tensor:
        flow, model = decoded.flow, decoded.model
        assert flow is not None
        # The loss' derivative is the prediction but for the observation, which does not depend on the output.
        seen = model.predict(output) if model.canonical else _derivative(decoded.objective, decoded.sample, output)
        below = carry(flow.layers, self.weights("decoder"), flow.slopes(), seen)[1]
        return torch.unflatten(below, -1, decoded.sample.shape[-2:])

    def learn(
        self, weights: Sequence[Tensor], flow: Activations, signals: Sequence[Tensor], levels: NoiseScales
    ) -> Tensor:
        """The loss ``[...]`` of the feedback weights of some layers, whose outputs should change by ``signals``."""
        return nothing(flow)


class LocalDifferenceReconstruction(LayerwiseFeedback):
    """L-DRL (Ernoult et al. 2022): ``-2 <e, g(f(h + e)) - g(f(h))> + ||g(f(h) + n) - g(f(h))||^2`` a layer.

    Its minimum for noises of equal deviation is the transposed Jacobian, so that targets are those of backpropagation.
    """

    paper = "Ernoult et al. 2022"
    learned = prepares = descends = True
    reads = frozenset({"noise", "output_noise", "feedback_steps", "warmup", "auxiliary_learning_rate"})

    def learn(
        self, weights: Sequence[Tensor], flow: Activations, signals: Sequence[Tensor], levels: NoiseScales
    ) -> Tensor:
        total = nothing(flow)
        for weight, layer, inputs, outputs in zip(weights, flow.layers, flow.inputs, flow.outputs, strict=True):
            with torch.no_grad():
                push = levels.draw(inputs, levels.inputs)
                response = layer(inputs + push) - outputs
                other = levels.draw(outputs, levels.outputs)
            back = products(layer).transposed
            total = total - 2 * (push * back(response, weight)).sum(-1).mean(-1)
            total = total + back(other, weight).square().sum(-1).mean(-1)
        return total


class DifferenceReconstruction(LayerwiseFeedback):
    """DRL (Meulemans et al. 2020): a push at a layer's input, seen at the output, should be carried back unchanged.

    ``||g(f(h + e)) - g(f(h)) - e||^2 + ||g(f(h) + n) - g(f(h))||^2`` through all layers above, each layer's weights
    learning from its own push. The minimum is an inverse of the Jacobian, damped by n, as near as one set of weights
    can be to it for all images.
    """

    paper = "Meulemans et al. 2020"
    learned = prepares = descends = True
    reads = frozenset({"noise", "output_noise", "feedback_steps", "warmup", "auxiliary_learning_rate"})

    def learn(
        self, weights: Sequence[Tensor], flow: Activations, signals: Sequence[Tensor], levels: NoiseScales
    ) -> Tensor:
        total = nothing(flow)
        slopes, top = flow.slopes(), flow.outputs[-1]
        for i, weight in enumerate(weights):
            with torch.no_grad():
                push = levels.draw(flow.inputs[i], levels.inputs)
                outputs = flow.layers[i](flow.inputs[i] + push)
                for layer in flow.layers[i + 1 :]:
                    outputs = layer(flow.network.activation(outputs))
                response, other = outputs - top, levels.draw(top, levels.outputs)
            path, above = [weight, *(each.detach() for each in weights[i + 1 :])], flow.layers[i:]
            total = total + (carry(above, path, slopes[i:], response)[1] - push).square().sum(-1).mean(-1)
            total = total + carry(above, path, slopes[i:], other)[1].square().sum(-1).mean(-1)
        return total


class WeightProbe(LayerwiseFeedback):
    """Feedback that becomes its layer's own weights: least mean squares (Widrow and Hoff 1960) on random pushes.

    The change of a layer's output for a push e at its input is compared with the prediction ``e M``, and M is corrected
    by the difference, in place, once a training step: a regression with L-DRL's minimum, but without noise there.
    Alone it lags behind a layer that learns.
    """

    paper = "Akrout et al. 2019"
    prepares = True
    reads = frozenset({"feedback_steps", "warmup"})
    PROBES = 20
    """Images of a batch on which a layer is probed; a step reduces the squared error of n inputs to n / (n + 20), or to
    n / (n + 20 u) where a layer uses each weight u times an image."""

    def learn(
        self, weights: Sequence[Tensor], flow: Activations, signals: Sequence[Tensor], levels: NoiseScales
    ) -> Tensor:
        with torch.no_grad(), torch.autocast(flow.inputs[0].device.type, enabled=False):
            for weight, layer, inputs in zip(weights, flow.layers, flow.inputs, strict=True) if self.training else ():
                inputs = inputs[..., : self.PROBES, :].to(weight.dtype)
                push = levels.noise.normal(inputs.shape, inputs.dtype)
                own = products(layer)
                surprise = layer(inputs + push) - layer(inputs) - own.linear(push, weight)
                rows = inputs.shape[-2] * own.uses
                weight += _mean_like(own.outer(push, surprise), weight) / (rows + own.fan_in(weight))
        return nothing(flow)


class WeightMirror(WeightProbe):
    """A probe that also takes its layer's own steps, and so stays exact (Kolen and Pollack 1994; Akrout et al. 2019).

    These steps need only the activity below the layer and the signal above it. For equal steps, the auxiliary learning
    rate has to be the learning rate, and a warm-up has to align the weights before the first one.
    """

    paper = "Kolen and Pollack 1994; Akrout et al. 2019"
    learned = uses_model_optimiser = True
    reads = WeightProbe.reads | {"auxiliary_learning_rate"}

    def learn(
        self, weights: Sequence[Tensor], flow: Activations, signals: Sequence[Tensor], levels: NoiseScales
    ) -> Tensor:
        """Correct the weights in place; the loss has the layers' own gradients, and the value 0."""
        total = super().learn(weights, flow, signals, levels)
        for weight, layer, inputs, signal in zip(weights, flow.layers, flow.inputs, signals, strict=True):
            each = products(layer).outer(inputs.detach(), signal)
            gradient = -_mean_like(each, weight) / (inputs.shape[-2] // flow.samples)
            members = weight.dim() - (each.dim() - total.dim())
            total = total + only_gradient(weight, gradient, members)
        return total


def nothing(flow: Activations) -> Tensor:
    """Zeros ``[...]``, a loss for each member."""
    return flow.inputs[0].new_zeros(flow.inputs[0].shape[:-2])


def _derivative(objective: Objective, sample: Tensor, output: Tensor) -> Tensor:
    """Derivative of the loss in the output."""
    with torch.enable_grad():
        at = output.detach().requires_grad_()
        return torch.autograd.grad(objective.loss_of(sample, at).sum(), at)[0]


def _mean_like(value: Tensor, weight: Tensor) -> Tensor:
    """The mean over leading dimensions that the weights do not have: draws that share them."""
    extra = value.dim() - weight.dim()
    return value.mean(list(range(extra))) if extra > 0 else value
