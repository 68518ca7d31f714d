"""Approximate inverses of the decoder, which say how the code should change to bring the prediction nearer.

The encoder itself and a learned network map observations to codes, and their difference between the output target and
the prediction is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from discrete_vae.backbones.stack import Stack
from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.strategies.target_propagation.geometries import Difference


@dataclass(frozen=True)
class Activations:
    """Inputs and outputs of successive layers of a network on a batch."""

    network: Stack
    layers: Sequence[nn.Module]
    inputs: Sequence[Tensor]
    """Inputs of each layer: ``[..., B, in]``."""
    outputs: Sequence[Tensor]
    """Outputs of each layer, before its activation: ``[..., B, out]``."""
    samples: int = 1
    """How many examples of the batch are samples of one image, whose losses are summed: S."""

    def slopes(self) -> list[Tensor]:
        """Derivatives of the activations between the layers, and so one fewer."""
        return [self.network.slope(given) for given in self.outputs[:-1]]


@dataclass(frozen=True)
class DecodePass:
    """A sample and its decoded output; of a bound, its S samples as B S examples, side by side."""

    objective: Objective
    """Objective of one sample."""
    model: Model
    """The objective's model."""
    logits: Tensor
    code: Tensor
    sample: Tensor
    prediction: Tensor | None = None
    """The prediction that an inverse of observations sees: the mean x' or a sample of it, ``[..., B, D]``."""
    aim: Tensor | None = None
    """The output target of such an inverse, ``x' + eta (x - x')``: ``[..., B, D]``."""
    error: Tensor | None = None
    """How the output should change, for layerwise feedback: minus the loss' derivative, ``[..., B, D numbers]``."""
    flow: Activations | None = None
    """The decoder's layers, for an inverse that looks at them."""
    direct: Tensor | None = None
    """How the sample should change for networks other than the decoder that see it: ``[..., B, N, K]``."""
    own: Tensor | float = 0.0
    """The loss' own gradient in the logits, such as that of a bound over several samples."""
    losses: Tensor | None = None
    """Loss of each sample of a bound, ``[..., B, S]``; errors, and what follows from them, have its weight."""
    share: float = 1.0
    """eta, by which layerwise feedback shortens the code's signal; the decoder's layers learn from the whole error."""


@dataclass(frozen=True)
class NoiseScales:
    """Where noise comes from, and its standard deviations at a layer's inputs and outputs, ``[]`` or ``[P]``."""

    noise: Noise
    inputs: Tensor
    outputs: Tensor

    def draw(self, like: Tensor, level: Tensor) -> Tensor:
        """Normal noise of a tensor's shape."""
        return per_member(level, like) * self.noise.normal(like.shape, like.dtype)


class Inverse(nn.Module):
    """A part of ``TargetPropagation``."""

    paper = ""
    """Where it was published."""
    needs: tuple[str, ...] = ("predict",)
    """Fields of an objective's model that it needs."""
    layerwise = False
    """Whether it uses the decoder's layers."""
    prepares = False
    """Whether it can learn before the model does: by each loss that is computed, or, if it ``descends``, by a step."""
    descends = False
    uses_model_optimiser = False
    """Whether the inverse's parameters are updated by the model's optimiser."""
    evaluations = 0
    """How often its own training calls ``decode``."""
    reads: frozenset[str] = frozenset()
    """Options of its own training that it uses."""

    def difference(self, decoded: DecodePass) -> Difference:
        """Target code, prediction code and their logit difference, of a batch; no gradient passes through it."""
        raise NotImplementedError

    def loss(self, decoded: DecodePass, difference: Difference, levels: NoiseScales) -> Tensor:
        """The inverse's own loss, ``[...]``."""
        return decoded.sample.new_zeros(decoded.sample.shape[:-3])

    def reconstruct(self, decoded: DecodePass, output: Tensor) -> Tensor:
        """The code ``[..., B, N, K]`` of any output of the decoder, up to what does not depend on it."""
        raise NotImplementedError


class EncoderInverse(Inverse):
    """The encoder itself (thesis, section 4.4): ``r = f(x')``, and for the observation as output target ``t = y``."""

    paper = "Nitta 2017"
    needs = ("predict", "encode")

    def difference(self, decoded: DecodePass) -> Difference:
        encode = decoded.model.encode
        assert encode is not None
        assert decoded.prediction is not None
        assert decoded.aim is not None
        image = encode(decoded.prediction)
        if decoded.aim is decoded.model.observation:  # whose code is at hand
            return Difference(decoded.code, softmax(image), decoded.logits - image)
        aim = encode(decoded.aim)
        return Difference(softmax(aim), softmax(image), aim - image)

    def reconstruct(self, decoded: DecodePass, output: Tensor) -> Tensor:
        assert decoded.model.encode is not None
        return softmax(decoded.model.encode(decoded.model.predict(output)))


class LearnedInverse(Inverse):
    """A network that reproduces codes: ``||g(D(z + e)) - (z + e)||^2``, e ~ N(0, level^2) (Lee et al. 2015).

    ``network`` maps an observation to logits. The loss is a mean over the batch.
    """

    paper = "Lee et al. 2015"
    prepares = descends = True
    evaluations = 1
    reads = frozenset({"noise", "feedback_steps", "warmup", "auxiliary_learning_rate"})

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def difference(self, decoded: DecodePass) -> Difference:
        assert decoded.prediction is not None
        assert decoded.aim is not None
        both = torch.cat([decoded.aim.expand_as(decoded.prediction), decoded.prediction], -2)
        aim, image = self.network(both).chunk(2, -3)
        return Difference(softmax(aim), softmax(image), aim - image)

    def loss(self, decoded: DecodePass, difference: Difference, levels: NoiseScales) -> Tensor:
        with torch.no_grad():
            noisy = decoded.sample + levels.draw(decoded.sample, levels.inputs)
            prediction = decoded.model.predict(decoded.objective.decode(noisy))
        error: Tensor = softmax(self.network(prediction)) - noisy
        return error.square().sum((-1, -2)).mean(-1)

    def reconstruct(self, decoded: DecodePass, output: Tensor) -> Tensor:
        return softmax(self.network(decoded.model.predict(output)))
