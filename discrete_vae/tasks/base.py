"""The interface of tasks to the training loop and to evaluation, and the parts that tasks are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from discrete_vae import backbones
from discrete_vae.backbones import Backbone
from discrete_vae.backbones.mlp import MLP
from discrete_vae.backbones.stack import Stack
from discrete_vae.data import Split
from discrete_vae.data.domain import Domain, Shape
from discrete_vae.errors import InputError
from discrete_vae.latents.family import Family
from discrete_vae.latents.noise import Noise
from discrete_vae.likelihoods import Likelihood
from discrete_vae.settings import Architecture, Settings
from discrete_vae.strategies.base import Estimate, NetworkFactory, Strategy
from discrete_vae.strategies.bound import bound_of
from discrete_vae.strategies.objective import Objective
from discrete_vae.tasks.nesting import Layer, nested

Generators = Callable[[str], Sequence[torch.Generator]]
"""The members' generators of a stream of random numbers, by its name."""


LOOKED_AT = 2**26
"""Numbers of the training images, at most, that a first bias is computed from: a quarter of a GiB."""


@dataclass(frozen=True)
class Blueprint:
    """Parts that a model is made from, beside its initial weights."""

    architecture: Architecture
    family: Family
    """Family of the latent variables, or of a generator's data."""
    image: Shape
    """Shape of an observation; points and strings are one row."""
    likelihood: Likelihood

    @property
    def backbone(self) -> Backbone:
        """The backbone of the architecture's name."""
        return backbones.backbone(self.architecture.backbone)

    def mlp(self, sizes: Sequence[int], generators: Sequence[torch.Generator]) -> MLP:
        """A multilayer perceptron of these sizes, with the architecture's activation and initialisation."""
        return MLP(sizes, self.architecture.activation, generators, self.architecture.initialisation)


class Encoder(nn.Module):
    """Observation ``[P, B, D]`` -> parameters of the latents ``[P, B, N, K]``, in float32."""

    def __init__(self, network: nn.Module, family: Family) -> None:
        super().__init__()
        self.parameter_shape = family.parameter_shape
        self.network = network

    def forward(self, observation: Tensor) -> Tensor:
        parameters: Tensor = self.network(observation)
        return torch.unflatten(parameters.float(), -1, self.parameter_shape)


class Task(nn.Module):
    """P models side by side, one for each generator of initial weights: ``encoder``, latent variables, ``decoder``.

    ``seen`` and ``explained`` are the shapes of what the encoder takes and what the decoder explains, of an image.
    """

    posterior: ClassVar[bool]
    """Whether the latents are inferred from what they explain, so that they cost a KL to a prior."""
    reads: ClassVar[frozenset[str]] = frozenset(
        {
            *("latents", "categories", "layers", "backbone", "hidden", "channels", "activation", "initialisation"),
            *("likelihood", "pixel_scale", "data_bias"),
            *("samples", "optimiser", "learning_rate", "auxiliary_learning_rate", "weight_decay"),
            *("keep", "patience"),
        }
    )
    """Options of some tasks only that have an effect here; any other of them is refused."""
    stand_in: ClassVar[str | None] = None
    """The strategy to give to a task that uses none."""
    score: ClassVar[str] = "elbo"
    """The validation metric that scores a run; in tasks that read ``keep`` and ``patience`` a better model has more of
    it."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """Capabilities that it asks of its backbone; see ``backbones``."""

    def __init__(
        self,
        blueprint: Blueprint,
        generators: Sequence[torch.Generator],
        code: int | None = None,
    ) -> None:
        super().__init__()
        self.blueprint, self.architecture, self.family = blueprint, blueprint.architecture, blueprint.family
        self.likelihood = blueprint.likelihood
        self.seen, self.explained = self.shapes(self.architecture, blueprint.image)
        self.encoder = Encoder(self._encoder(math.prod(self.family.parameter_shape), generators), self.family)
        self.code = code or math.prod(self.family.sample_shape)
        self.decoder = self._decoder(self.code, generators)

    def _encoder(self, outputs: int, generators: Sequence[torch.Generator]) -> nn.Module:
        """Flat inputs of the encoder ``[P, B, D]`` -> ``outputs`` numbers, the parameters of the latents."""
        return self.blueprint.backbone.encoder(self.seen, outputs, self.architecture, generators)

    def _decoder(self, code: int, generators: Sequence[torch.Generator]) -> nn.Module:
        """Samples ``[..., P, B, code]`` -> what the likelihood takes."""
        numbers = self.likelihood.numbers
        return self.blueprint.backbone.decoder(code, self.explained, numbers, self.architecture, generators)

    @property
    def exact(self) -> bool:
        """Whether an estimate's loss is the reconstruction alone, and all else known exactly."""
        return not self.posterior or self.architecture.layers == 1

    def own_parameters(self) -> list[nn.Parameter]:
        """Parameters that the model's optimiser updates: here all."""
        return list(self.parameters())

    @classmethod
    def check(cls, settings: Settings) -> None:
        """Raise ``InputError`` where a configuration does not suit the task; here categorical latents of images do."""
        cls.check_categorical(settings)
        cls.check_images(settings)

    @classmethod
    def check_categorical(cls, settings: Settings) -> None:
        """Raise ``InputError`` for a strategy of other latents."""
        if not settings.categorical:
            raise InputError(f"{settings.strategy} has no categorical latents; give it the vae of one stochastic layer")

    @classmethod
    def check_images(cls, settings: Settings) -> None:
        """Raise ``InputError`` for data that are not images."""
        if settings.data.domain.shape is None:
            raise InputError(f"{settings.data.dataset} are no images; give them to the task generator or critic")

    @classmethod
    def variables(cls, architecture: Architecture, domain: Domain) -> tuple[int, int]:
        """Number N of variables, and K of categories of each."""
        return architecture.latents, architecture.categories

    @classmethod
    def shapes(cls, architecture: Architecture, image: Shape) -> tuple[Shape, Shape]:
        """Shapes of the encoder's input and of the decoder's output, for an image."""
        return image, image

    @classmethod
    def batches_per_step(cls, settings: Settings) -> int:
        """Batches of the training images that one step uses."""
        return 1

    def cut(self) -> None:
        """Let no gradient pass from one layer to another, for strategies that give each a loss of its own.

        Raises ``InputError`` for more than one stochastic layer.
        """
        if self.architecture.layers > 1:
            raise InputError(
                f"layers is {self.architecture.layers}; layer-local training knows models of one stochastic layer"
            )
        for network in (self.encoder.network, self.decoder):
            assert isinstance(network, Stack)  # of a backbone that is layered
            network.cut = True

    @classmethod
    def with_task_defaults(cls, architecture: Architecture) -> Architecture:
        """The architecture, with default sizes replaced by those that suit the task."""
        return architecture

    def setup(self, split: Split, settings: Settings, seeds: Sequence[int]) -> None:
        """Take in the training images and the settings, before the first step."""
        if self.architecture.data_bias and "data_bias" in self.reads:
            self.start_from(split)

    def start_from(self, split: Split) -> None:
        """Let the decoder's last bias be the likelihood's one output for all images (``Likelihood.constant``).

        Of many images evenly spaced ones are looked at. A transposed convolution has one bias for all pixels. The code
        of Burda et al. (2016) starts like this. With a bias of 0 the first steps move every layer alike, towards a dark
        image, and convolutions can be left with one code for all images. Raises ``InputError`` for a last layer without
        a bias.
        """
        assert isinstance(self.decoder, Stack)  # of a backbone that is layered
        bias = getattr(self.decoder.layers[-1], "bias", None)
        if not isinstance(bias, Tensor):
            raise InputError("the decoder's last layer has no bias, which data bias sets; leave that out")
        every = math.ceil(split.pixels.numel() / LOOKED_AT)
        images = split.pixels[::every, -self.explained.size :] / split.levels
        output = self.likelihood.constant(images.reshape(-1, bias.shape[-1] // self.likelihood.numbers))
        with torch.no_grad():
            bias.copy_(output)

    def train_batch(self, split: Split, order: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """The input of a training step for the images at ``order`` ``[P, B]``: these, ``[P, B, D]``, or more."""
        return split.batch(order, generators)

    def eval_batch(self, split: Split, index: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """The input of ``encode`` and ``objective`` for images at ``index`` ``[P, B]`` outside of training."""
        return split.batch(index, generators)

    def scores(self, parameters: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Further metrics of images, ``[P, B]`` each, from the first layer's parameters and labels ``[B]``."""
        return {}

    def encode(self, images: Tensor) -> Tensor:
        """Images ``[P, B, D]`` -> parameters of the first layer ``[P, B, N, K]``."""
        raise NotImplementedError

    def decode(self, sample: Tensor) -> Tensor:
        """A sample ``[..., P, B, N, K]`` of the layer next to the pixels -> what the likelihood takes, in float32."""
        output: Tensor = self.decoder(sample.flatten(-2))
        return output.float()

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        """The objective of a sample of the first layer, without the layers behind it; beta is ``[P]``."""
        raise NotImplementedError

    def layers(self, images: Tensor, beta: Tensor | float = 1.0) -> list[Layer]:
        """The stochastic layers behind the first."""
        raise NotImplementedError

    def kl(self, parameters: Tensor) -> Tensor:
        """KL of a layer's posterior to the family's prior, 0 where it is none: ``[P, B]`` nats.

        The loss is the estimate's plus beta times that of the first layer.
        """
        return self.family.kl(parameters).sum(-1) if self.posterior else parameters.new_zeros(parameters.shape[:-2])

    def log_weights(self, images: Tensor, parameters: Tensor, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        """Draw hard samples: log-likelihood of the pixels given them, and log p(z) / q(z | x), ``[P, S, B]`` each."""
        raise NotImplementedError

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """Samples of the layer next to the pixels from the model's prior, for one member: ``[1, count, N, K]``.

        Raises ``InputError`` where the task has no prior.
        """
        raise InputError("this task explains no whole images; it has no prior to draw from")

    def draw(self, count: int, noise: Noise) -> Tensor:
        """Observations from the model, for one member: ``[1, count, D]``, here the means of an image's pixels."""
        return self.likelihood.mean(self.decode(self.prior_sample(count, noise)))

    def networks(self, layer: int, generators: Generators) -> NetworkFactory:
        """Factory of own networks for the strategy of a stochastic layer, 0 for the first."""
        raise NotImplementedError

    def estimate(
        self, strategies: Sequence[Strategy], images: Tensor, parameters: Tensor, beta: Tensor | float, noise: Noise
    ) -> Estimate:
        """The loss of images ``[P, B, D]`` without ``beta * kl(parameters)``, with a strategy for every layer."""
        return nested(strategies, parameters, self.objective(images, beta), self.layers(images, beta), noise)

    def estimate_bound(
        self,
        strategy: Strategy,
        images: Tensor,
        parameters: Tensor,
        beta: Tensor | float,
        noise: Noise,
        samples: int,
    ) -> Estimate:
        """The bound of so many samples, with all of its KL: loss ``[P, B]``. For one stochastic layer only."""
        copies = images.unsqueeze(-2).expand(*images.shape[:-1], samples, -1).flatten(-3, -2)  # [P, B S, D]
        joint = parameters.repeat(1, 1, samples, 1)  # [P, B, S N, K]
        return nested([strategy], joint, bound_of(self.objective(copies, beta), joint, samples), [], noise)

    def sample_layers(
        self, images: Tensor, parameters: Tensor, beta: Tensor | float, noise: Noise
    ) -> list[tuple[Tensor, Objective]]:
        """Each layer's parameters and objective, as hard samples go through them; no gradient passes between."""
        found = [(parameters, self.objective(images, beta))]
        with torch.no_grad():
            for layer in self.layers(images, beta):
                sample = self.family.sample(found[-1][0], noise).squeeze(-4)
                found.append((layer.logits(sample, found[-1][1].decode(sample)), layer.objective(sample)))
        return found

    def _factory(
        self,
        layer: int,
        generators: Generators,
        outputs: Shape,
        context: Shape,
        *,
        pixels: bool,
        observed: bool = True,
        backbone: Backbone | None = None,
    ) -> NetworkFactory:
        """For a layer with samples decoded to ``pixels`` of a shape, or else by an affine map to so many numbers.

        The context, which baselines look at, is an observed image, or else numbers in a row. The backbone is by default
        that of the model.
        """
        blueprint, family, architecture = self.blueprint, self.family, self.architecture
        suffix, size = f" {layer}" if layer else "", math.prod(family.sample_shape)
        dense = backbones.BACKBONES["mlp"]
        shaped = backbone or blueprint.backbone
        own, widths, numbers = shaped, architecture, self.likelihood.numbers
        if not pixels:
            own, widths, numbers = dense, replace(architecture, backbone="mlp", hidden=()), 1
        seeing = shaped if observed else dense
        logits = math.prod(family.parameter_shape)

        def weights(stream: str) -> Sequence[torch.Generator]:
            return generators(f"{stream} weights{suffix}")

        return NetworkFactory(
            len(next(self.parameters())),
            lambda: Encoder(own.encoder(outputs, logits, widths, weights("strategy")), family),
            lambda: own.decoder(size, outputs, numbers, widths, weights("strategy decoder")),
            lambda: seeing.encoder(context, 1, architecture, weights("baseline")),
            lambda: blueprint.mlp((size, *reversed(architecture.hidden), 1), weights("critic")),
            family,
        )

    def _variables(self, flat: Tensor) -> Tensor:
        """``[..., N K] -> [..., N, K]``, in float32."""
        return torch.unflatten(flat.float(), -1, self.family.parameter_shape)

    def _maps(self, outputs: int, generators: Sequence[torch.Generator]) -> nn.ModuleList:
        """An affine map for every pair of neighbouring stochastic layers."""
        sizes = (math.prod(self.family.sample_shape), outputs)
        return nn.ModuleList(self.blueprint.mlp(sizes, generators) for _ in range(self.architecture.layers - 1))
