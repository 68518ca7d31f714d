"""What every task is to the training loop and to evaluation, and the parts that tasks are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from discrete_vae.backbones.layers import INITIALISATIONS
from discrete_vae.backbones.mlp import MLP
from discrete_vae.backbones.stack import ACTIVATIONS
from discrete_vae.data import DataConfig, Dataset, Split
from discrete_vae.data.synthetic import SYNTHETIC
from discrete_vae.errors import InputError, check_range, check_types, nearest
from discrete_vae.latents.family import Family
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Estimate, NetworkFactory, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.tasks.nesting import Layer, nested

DEEPEST = 50
"""Stochastic layers that a model may have: each is evaluated within the one before."""
Generators = Callable[[str], Sequence[torch.Generator]]
"""The members' generators of a stream of random numbers, by its name."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network; the decoder mirrors the encoder. Defaults: the thesis."""

    latents: int = 30
    """Number N of latent variables of a layer."""
    categories: int = 10
    """Number K of categories of each."""
    hidden: tuple[int, ...] = (500,)
    """Widths of the encoder's hidden layers, from the image inwards."""
    activation: str = "softplus"
    """Activation of the hidden layers."""
    layers: int = 1
    """Number of stochastic layers, each of N latent variables; an affine map leads from one to the next."""
    style: int = 50
    """Number of Gaussian latents: a generator's noise, or the style in semi-supervised training, where many let the
    style encode the class."""
    initialisation: str = "glorot"
    """How weights and biases start: glorot, or fan-in as torch's own layers, with smaller weights."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("latents", "style"):
            check_range(name, getattr(self, name))
        check_range("layers", self.layers, 1, DEEPEST)
        check_range("categories", self.categories, 2)
        if any(type(width) is not int or width < 1 for width in self.hidden):
            raise InputError(f"hidden is {self.hidden}; every width must be a whole number of at least 1")
        if self.activation not in ACTIVATIONS:
            raise nearest(self.activation, ACTIVATIONS, "activation")
        if self.initialisation not in INITIALISATIONS:
            raise nearest(self.initialisation, INITIALISATIONS, "initialisation")

    def mlp(self, sizes: Sequence[int], generators: Sequence[torch.Generator]) -> MLP:
        """A network of these sizes, with this architecture's activation and initialisation."""
        return MLP(sizes, self.activation, generators, self.initialisation)


@dataclass(frozen=True)
class Supervision:
    """How many classes are known in semi-supervised training, and how much they count."""

    labelled: int = 100
    """Training images whose class is known, as many of each, chosen by the seed."""
    alpha: float = 10.0
    """Weight of the classifier's own loss on them, in nats beside the some 100 nats of an image's bound."""
    labelled_weight: float = 1.0
    """Weight of a labelled image's bound, beside the 1 of an image without its class."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range("labelled", self.labelled)
        for name in ("alpha", "labelled_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name)}; give at least 0")


@dataclass(frozen=True)
class CriticConfig:
    """How a critic is trained, for tasks that have one; the defaults are those of Gulrajani et al. 2017."""

    gradient_penalty: float = 10.0
    """Weight lambda of the gradient penalty, (norm of the gradient - 1)^2."""
    weight_clip: float = 0.0
    """In place of the penalty: bound on the critic's weights (Arjovsky et al. 2017); 0 leaves them free."""
    critic_steps: int = 5
    """Updates of the critic for each of the model's."""
    critic_learning_rate: float = 1e-4
    """The critic's step size, for Adam with betas 0 and 0.9."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("gradient_penalty", "weight_clip"):
            if getattr(self, name) < 0:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name)}; give at least 0")
        if self.gradient_penalty and self.weight_clip:
            raise InputError(
                f"gradient penalty is {self.gradient_penalty} and weight clip {self.weight_clip}; set one of them to 0"
            )
        check_range("critic steps", self.critic_steps)
        if self.critic_learning_rate <= 0:
            raise InputError(f"critic learning rate is {self.critic_learning_rate}; give a number above 0")


class Settings(Protocol):
    """What a configuration tells a task."""

    @property
    def task(self) -> str: ...
    @property
    def strategy(self) -> str: ...
    @property
    def samples(self) -> int: ...
    @property
    def categorical(self) -> bool: ...
    @property
    def loss_includes_kl(self) -> bool: ...
    @property
    def rescaled_by(self) -> str | None: ...
    @property
    def data(self) -> DataConfig: ...
    @property
    def architecture(self) -> Architecture: ...
    @property
    def supervision(self) -> Supervision: ...
    @property
    def criticism(self) -> CriticConfig: ...


class Encoder(nn.Module):
    """Observation ``[P, B, D]`` -> parameters of the latents ``[P, B, N, K]``, in float32."""

    def __init__(
        self,
        architecture: Architecture,
        family: Family,
        inputs: int,
        generators: Sequence[torch.Generator],
    ) -> None:
        super().__init__()
        self.parameter_shape = family.parameter_shape
        sizes = (inputs, *architecture.hidden, math.prod(family.parameter_shape))
        self.network = architecture.mlp(sizes, generators)

    def forward(self, observation: Tensor) -> Tensor:
        parameters: Tensor = self.network(observation)
        return torch.unflatten(parameters.float(), -1, self.parameter_shape)


def decoder(architecture: Architecture, code: int, outputs: int, generators: Sequence[torch.Generator]) -> MLP:
    """Code, such as a flattened sample, ``[P, B, N K]`` -> logits of the pixels: the encoder's mirror image."""
    sizes = (code, *reversed(architecture.hidden), outputs)
    return architecture.mlp(sizes, generators)


class Task(nn.Module):
    """P models side by side, one for each generator of initial weights: ``encoder``, latent variables, ``decoder``.

    ``inputs`` and ``outputs`` are what the encoder takes and the decoder gives, of an image's pixels.
    """

    posterior: ClassVar[bool]
    """Whether the latents are inferred from what they explain, so that they cost a KL to a prior."""
    generates: ClassVar[bool] = False
    """Whether its variables are the data's own, which it makes from noise, instead of latent ones."""
    reads: ClassVar[frozenset[str]] = frozenset(
        {
            *("latents", "categories", "layers", "hidden", "activation", "initialisation"),
            *("samples", "optimiser", "learning_rate", "auxiliary_learning_rate"),
        }
    )
    """Of the options that not all tasks have a use for, those that have an effect here; any other is refused."""
    stand_in: ClassVar[str | None] = None
    """The one strategy to give to a task that makes no use of any."""
    score: ClassVar[str] = "elbo"
    """The metric of the validation images that says how a run does."""

    def __init__(
        self,
        architecture: Architecture,
        family: Family,
        inputs: int,
        outputs: int,
        generators: Sequence[torch.Generator],
        code: int | None = None,
    ) -> None:
        super().__init__()
        self.architecture, self.family, self.inputs, self.outputs = architecture, family, inputs, outputs
        self.encoder = Encoder(architecture, family, inputs, generators)
        self.decoder = decoder(architecture, code or math.prod(family.sample_shape), outputs, generators)

    @property
    def exact(self) -> bool:
        """Whether an estimate's loss is the reconstruction alone, and all else known exactly."""
        return not self.posterior or self.architecture.layers == 1

    @property
    def critic(self) -> MLP | None:
        """What is trained against the model, by updates of its own; by default nothing."""
        return None

    def own_parameters(self) -> list[nn.Parameter]:
        """All parameters but the critic's."""
        others = {id(parameter) for parameter in self.critic.parameters()} if self.critic is not None else set()
        return [parameter for parameter in self.parameters() if id(parameter) not in others]

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
        if settings.data.dataset in SYNTHETIC:
            raise InputError(f"{settings.data.dataset} are no images; give them to the task generator or critic")

    @classmethod
    def batches_per_step(cls, settings: Settings) -> int:
        """Batches of the training images that one step looks at."""
        return 1

    def cut(self) -> None:
        """Let no gradient pass from one layer to another, for strategies that give each a loss of its own.

        Raises ``InputError`` for more than one stochastic layer.
        """
        if self.architecture.layers > 1:
            raise InputError(
                f"layers is {self.architecture.layers}; layer-local training knows models of one stochastic layer"
            )
        self.encoder.network.cut = self.decoder.cut = True

    @classmethod
    def with_task_defaults(cls, architecture: Architecture) -> Architecture:
        """Where sizes are the defaults, those that suit the task."""
        return architecture

    def setup(self, split: Split, settings: Settings, seeds: Sequence[int]) -> None:
        """Take in the training images and the settings, before the first step."""

    def train_batch(self, split: Split, order: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """What a training step sees of the images at ``order`` ``[P, B]``: these, ``[P, B, D]``, or more."""
        return split.batch(order, generators)

    def eval_batch(self, split: Split, index: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """What ``encode`` and ``objective`` take of images at ``index`` ``[P, B]`` where nothing is trained."""
        return split.batch(index, generators)

    def critic_batches(self, observation: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Of a ``train_batch``: what each update of the critic sees, and what the model's update sees."""
        return (), observation

    def critic_loss(self, strategies: Sequence[Strategy], observation: Tensor, noise: Noise) -> Tensor:
        """The critic's loss and its estimate of the distance: ``[P, 2]``."""
        raise NotImplementedError

    def clip(self) -> None:
        """Bring the critic's weights back within their bound, after each of its updates."""

    def scores(self, parameters: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Further metrics of images, ``[P, B]`` each, from the first layer's parameters and labels ``[B]``."""
        return {}

    def encode(self, images: Tensor) -> Tensor:
        """Images ``[P, B, D]`` -> parameters of the first layer ``[P, B, N, K]``."""
        raise NotImplementedError

    def decode(self, sample: Tensor) -> Tensor:
        """A sample ``[..., P, B, N, K]`` of the layer next to the pixels -> their logits, in float32."""
        logits: Tensor = self.decoder(sample.flatten(-2))
        return logits.float()

    def objective(self, images: Tensor, beta: Tensor | float = 1.0) -> Objective:
        """What a sample of the first layer costs beside what the layers behind it do; beta is ``[P]``."""
        raise NotImplementedError

    def layers(self, images: Tensor, beta: Tensor | float = 1.0) -> list[Layer]:
        """The stochastic layers behind the first."""
        raise NotImplementedError

    def kl(self, parameters: Tensor) -> Tensor:
        """KL of a layer's posterior to the family's prior, 0 where it is none: ``[P, B]`` nats.

        The first layer's, times beta, is the loss beside the estimate.
        """
        return self.family.kl(parameters).sum(-1) if self.posterior else parameters.new_zeros(parameters.shape[:-2])

    def log_weights(self, images: Tensor, parameters: Tensor, noise: Noise, samples: int) -> tuple[Tensor, Tensor]:
        """Draw hard samples: log-likelihood of the pixels given them, and log p(z) / q(z | x), ``[P, S, B]`` each."""
        raise NotImplementedError

    def evaluate_samples(
        self, strategy: Strategy, data: Dataset, split: str, noise: Noise, advance: Callable[[int], None]
    ) -> dict[str, Tensor]:
        """Metrics of a task that generates, ``[P]`` each, on a split; ``advance`` is told of what is done."""
        raise NotImplementedError

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """Samples of the layer next to the pixels from the model's prior, for one member: ``[1, count, N, K]``.

        Raises ``InputError`` where the task has no prior.
        """
        raise InputError("this task explains no whole images; it has no prior to draw from")

    def draw(self, count: int, noise: Noise) -> Tensor:
        """Observations from the model, for one member: ``[1, count, D]``, here the means of an image's pixels."""
        return torch.sigmoid(self.decode(self.prior_sample(count, noise)))

    def networks(self, layer: int, generators: Generators) -> NetworkFactory:
        """What a stochastic layer's strategy, 0 for the first, may have networks of its own made from."""
        raise NotImplementedError

    def estimate(
        self, strategies: Sequence[Strategy], images: Tensor, parameters: Tensor, beta: Tensor | float, noise: Noise
    ) -> Estimate:
        """The loss of images ``[P, B, D]`` but for ``beta * kl(parameters)``, with a strategy for every layer."""
        return nested(strategies, parameters, self.objective(images, beta), self.layers(images, beta), noise)

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

    def _networks(self, layer: int, generators: Generators, outputs: int, context: int, hidden: bool) -> NetworkFactory:
        """For a layer whose sample is decoded to so many numbers, maybe by hidden layers, in such a context."""
        family, size, suffix = self.family, math.prod(self.family.sample_shape), f" {layer}" if layer else ""
        widths, mlp = self.architecture.hidden, self.architecture.mlp
        own = self.architecture if hidden else replace(self.architecture, hidden=())
        return NetworkFactory(
            len(next(self.parameters())),
            lambda: Encoder(own, family, outputs, generators(f"strategy weights{suffix}")),
            lambda: decoder(own, size, outputs, generators(f"strategy decoder weights{suffix}")),
            lambda: mlp((context, *widths, 1), generators(f"baseline weights{suffix}")),
            lambda: mlp((size, *reversed(widths), 1), generators(f"critic weights{suffix}")),
            family,
        )

    def _variables(self, flat: Tensor) -> Tensor:
        """``[..., N K] -> [..., N, K]``, in float32."""
        return torch.unflatten(flat.float(), -1, self.family.parameter_shape)

    def _maps(self, outputs: int, generators: Sequence[torch.Generator]) -> nn.ModuleList:
        """An affine map for every pair of neighbouring stochastic layers."""
        sizes = (math.prod(self.family.sample_shape), outputs)
        return nn.ModuleList(self.architecture.mlp(sizes, generators) for _ in range(self.architecture.layers - 1))


def bernoulli_nll(logits: Tensor, observation: Tensor) -> Tensor:
    """-log p(x) of pixels in [0, 1] under independent Bernoullis, summed over D: ``[..., B]`` nats."""
    return _BernoulliNLL.apply(logits, observation)  # type: ignore[no-any-return, no-untyped-call]


class _BernoulliNLL(torch.autograd.Function):
    """``softplus(l) - l x``, whose gradient is ``sigmoid(l) - x``: fewer passes than through its two terms."""

    @staticmethod
    def forward(logits: Tensor, observation: Tensor) -> Tensor:  # type: ignore[override]
        return F.softplus(logits).sum(-1) - (logits * observation).sum(-1)

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # type: ignore[override]
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        logits, observation = ctx.saved_tensors
        each = (torch.sigmoid(logits) - observation) * gradient.unsqueeze(-1)
        return each.sum_to_size(logits.shape), None  # logits may be those of many images
