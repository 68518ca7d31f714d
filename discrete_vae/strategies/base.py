"""The contract between a strategy, which knows no task, and a task, which knows no strategy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from discrete_vae.categorical import Categorical
from discrete_vae.errors import InputError
from discrete_vae.networks import MLP, Stack
from discrete_vae.noise import Noise
from discrete_vae.schedules import Schedule


class Family(Protocol):
    """A kind of latent variable: ``Categorical``, ``Gaussian`` or ``Deterministic``, in the modules of these names."""

    @property
    def latents(self) -> int: ...
    @property
    def parameter_shape(self) -> tuple[int, int]: ...
    @property
    def sample_shape(self) -> tuple[int, int]: ...
    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor: ...
    def prior_sample(self, count: int, noise: Noise) -> Tensor: ...
    def kl(self, parameters: Tensor) -> Tensor: ...
    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor: ...
    def mean(self, parameters: Tensor) -> Tensor: ...
    def code_entropy(self, mean: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Objective:
    """What happens to a sample, in nats. A score-function strategy only calls it; others look inside.

    ``decode`` and ``loss`` serve most strategies. ``context`` is for learned baselines, ``cost`` for a bound of several
    samples, ``penalty`` for the layers of a nested objective, and the rest for targets in place of gradients.
    """

    decode: Callable[[Tensor], Tensor]
    """Sample ``[..., B, N, K]`` -> the network's output ``[..., B, D]`` (for a Bernoulli decoder, its logits).

    A strategy of several samples puts dimensions of its own in front: flatten the last two, not all but the first."""
    loss: Callable[[Tensor], Tensor]
    """Output -> loss ``[..., B]``."""
    observation: Tensor | None = None
    """What the prediction should be: ``[..., B, D]``."""
    predict: Callable[[Tensor], Tensor] | None = None
    """Output -> the mean observation ``[..., B, D]``."""
    encode: Callable[[Tensor], Tensor] | None = None
    """Anything of an observation's shape -> logits ``[..., B, N, K]``."""
    decoder: Stack | None = None
    """What ``decode`` runs the flattened sample ``[..., B, N K]`` through, layer by layer."""
    encoder: Stack | None = None
    """What ``encode`` runs an observation through; it puts out the flattened logits."""
    penalty: Callable[[Tensor], Tensor] | None = None
    """Logits -> the rest of the loss, which the task adds: beta KL, ``[..., B]``."""
    cost: Callable[[Tensor, Tensor], Tensor] | None = None
    """Logits and sample -> the sample's own share in the rest, beta log q(z) / p(z), whose mean is ``penalty``."""
    context: Tensor | None = None
    """What a learned baseline may look at, ``[..., B, C]``: anything that the sample has no part in."""
    broadcasts: bool = False
    """Whether a sample may stand for a whole batch, so that B is 1 in it: then each state is decoded with what all
    images share of it done once."""
    behind: Callable[[Tensor, Tensor], Tensor] | None = None
    """Sample and output -> what the stochastic layers behind this one cost, ``[..., B]``; see ``nesting``."""
    mean_field: Objective | None = None
    """With layers behind: this objective with their probabilities in place of samples, so that it has no noise."""

    @property
    def deterministic(self) -> Objective:
        """The objective without the noise of layers behind: the mean field's, or itself."""
        return self.mean_field or self

    def __call__(self, sample: Tensor) -> Tensor:
        return self.cost_of(sample, self.decode(sample))

    def cost_of(self, sample: Tensor, output: Tensor) -> Tensor:
        """The objective at a sample whose output is at hand."""
        loss = self.loss(output)
        return loss if self.behind is None else loss + self.behind(sample, output)


@dataclass(frozen=True)
class Estimate:
    """What a strategy gives back. Because ``loss`` has the objective's value, estimates nest."""

    loss: Tensor
    """``[..., B]``; value: objective(sample); gradient in the logits: the estimate of grad E_q[objective(z)]."""
    auxiliary: Tensor
    """``[...]``, the loss of the strategy's own parameters, 0 if it has none."""
    sample: Tensor
    """``[..., B, N, K]``, the sample that was decoded; with several of them, one more dimension in front."""


@dataclass(frozen=True)
class Claim:
    """What a strategy says of itself; the conformance test holds it to this."""

    paper: str
    """Where it was published."""
    unbiased: bool
    """Whether the mean of its gradient is the exact gradient."""
    relaxed: bool
    """Whether the sample that it decodes while training lies inside the simplex instead of at a corner."""
    evaluations: int
    """How often one training step calls ``decode``."""
    marginal: bool = False
    """Whether what is behind the latents learns from all their states, instead of from the decoded sample."""


@dataclass(frozen=True)
class Networks:
    """What a strategy may have networks of its own made from: the model's shapes, with fresh weights at every call."""

    members: int
    """Runs of the population, P."""
    encoder: Callable[[], nn.Module]
    """Observation ``[P, B, D]`` -> logits ``[P, B, N, K]``."""
    decoder: Callable[[], MLP]
    """Flattened sample ``[P, B, N K]`` -> output ``[P, B, D]``."""
    baseline: Callable[[], nn.Module]
    """Observation ``[P, B, D]`` -> a number ``[P, B, 1]``, through the encoder's hidden layers."""
    critic: Callable[[], nn.Module]
    """Flattened sample ``[P, B, N K]`` -> a number ``[P, B, 1]``, through the decoder's hidden layers."""
    family: Family | None = None
    """The model's latents, for a strategy that has a codebook to share with them."""


def options_of(strategy: type[Strategy]) -> dict[str, dataclasses.Field[Any]]:
    """The hyper-parameters of a strategy by name."""
    return {field.name: field for field in dataclasses.fields(strategy.Options)}


@dataclass(frozen=True)
class NoOptions:
    """There is nothing to choose."""


class Strategy(nn.Module):
    """A way to train through latent variables.

    A subclass is an ``nn.Module`` with a plain constructor for other people's code (``GumbelSoftmax(0.5)``) and a
    frozen dataclass ``Options`` for runs. An option that is a ``Schedule`` has a buffer of the same name, which the
    training loop fills with one value a member before each step.
    """

    claim: Claim
    Options: ClassVar[type] = NoOptions
    latent_family: ClassVar[Callable[..., Family]] = Categorical
    local: bool = False
    """Whether every layer of the model has a loss of its own; then no gradient passes from one to the next."""
    whole: bool = False
    """Whether its loss has in it what the task would add, ``Objective.cost`` of its samples."""
    mirrors: bool = False
    """Whether what it learns by itself takes the model's own steps, and so the model's optimiser."""
    passes_gradients: ClassVar[bool] = True
    """Whether it takes a gradient through the layers behind its sample."""
    ignores: ClassVar[frozenset[str]] = frozenset({"auxiliary_learning_rate"})
    """Options of a run that it never reads; with parameters of its own it reads this one."""
    rescales: bool = False
    """Whether it scales its gradient in the logits by what a step happens to see, the penalty's gradient alike."""
    independent: bool = False
    """Whether it draws several samples, so that layers behind need noise of their own for each; by default its
    evaluations are comparisons, for which these use the same."""
    warmup: int = 0
    """Steps that ``prepare`` takes before the model's first; without any it is not called."""

    @classmethod
    def build(cls, options: Any, networks: Networks) -> Self:
        """The strategy for a run's ``options``."""
        fixed = {name: getattr(options, name) for name in options_of(cls) if name not in cls.scheduled()}
        return cls(**fixed)

    @classmethod
    def revision(cls, options: Any) -> int:
        """How often these options came to mean other numbers, which makes older runs other runs; by default never."""
        return 0

    @classmethod
    def revisits(cls) -> bool:
        """Whether a step evaluates its objective at several samples, and so what is behind them several times."""
        return cls.claim.evaluations > 1 or cls.claim.marginal or cls.independent

    @classmethod
    def rescaled_by(cls, options: Any) -> str | None:
        """The option, if any, by which it ``rescales``.

        Only the strategy's own objective and its penalty are scaled alike, so other losses of the same network would
        change their weight.
        """
        return None

    @classmethod
    def idle(cls, options: Any) -> frozenset[str]:
        """Names of its options, and of a run's, that have no effect beside these values of the others."""
        return frozenset()

    @classmethod
    def papers(cls, options: Any) -> str:
        """What to cite for these options: ``First author et al. year``, parted by semicolons."""
        return cls.claim.paper

    @classmethod
    def check(cls, options: Any, learning_rate: Schedule, auxiliary_learning_rate: Schedule) -> None:
        """Raise ``InputError`` where a run's learning rates do not suit its options; by default they all do."""

    @classmethod
    def scheduled(cls) -> tuple[str, ...]:
        """Names of the options that are schedules, and so of the buffers that follow them."""
        return tuple(name for name, field in options_of(cls).items() if isinstance(field.default, Schedule))

    def follow(self, values: Mapping[str, Tensor]) -> None:
        """Set scheduled hyper-parameters, one value a member each: ``[P]``."""
        for name, value in values.items():
            setattr(self, name, value)

    def estimate(self, logits: Tensor, objective: Objective, noise: Noise | None = None) -> Estimate:
        """The estimate of ``grad E_q[objective(z)]`` at logits ``[..., B, N, K]``."""
        return self.compute(logits, objective, noise or Noise(device=logits.device))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        """What a strategy implements: logits ``[..., B, N, K]`` (any family's parameters) -> an estimate.

        Draws all it needs from ``noise``."""
        raise NotImplementedError

    def prepare(self, logits: Tensor, objective: Objective, noise: Noise, learning_rates: Tensor) -> None:
        """Bring the strategy's own parameters into a state to begin with, on the untrained model's first batch.

        Called once, before a run's first step; ``learning_rates`` are those of these parameters, ``[P]``. By default
        nothing.
        """

    def diagnose(self, logits: Tensor, objective: Objective, noise: Noise) -> dict[str, Tensor]:
        """What the strategy can say of its own signal on a batch, ``[...]`` each by name; by default nothing."""
        return {}


def register_hyperparameter(
    module: nn.Module, name: str, value: float | Tensor, minimum: float = torch.finfo(torch.float32).tiny
) -> None:
    """Register a hyper-parameter as a buffer; raises ``InputError`` where it is not finite or below the minimum."""
    tensor = torch.as_tensor(value, dtype=torch.float32)
    if not bool((tensor >= minimum).all()) or not bool(tensor.isfinite().all()):
        raise InputError(f"{name} is {value}; give a finite number {'above' if minimum else 'of at least'} 0")
    module.register_buffer(name, tensor)


def per_member(value: Tensor, like: Tensor) -> Tensor:
    """A number ``[]`` or one a member ``[P]``, shaped to broadcast against ``like`` ``[P, ...]``, in its dtype."""
    return value.to(like.dtype).reshape(value.shape + (1,) * (like.dim() - value.dim()))


def with_gradient_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value (and gradient) of ``value``, plus the gradient of ``surrogate``, which adds nothing to the value."""
    return value + (surrogate - surrogate.detach())


def penalty_gradient(objective: Objective, logits: Tensor) -> Tensor:
    """Gradient of ``Objective.penalty``, the KL term that the task adds, in the logits: ``[..., B, N, K]``."""
    if objective.penalty is None:
        return torch.zeros_like(logits)
    with torch.enable_grad():
        at = logits.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective.penalty(at).sum(), at)
    return gradient


def with_penalty_scaled(loss: Tensor, objective: Objective, logits: Tensor, scale: Tensor) -> Tensor:
    """The loss ``[..., B]`` with ``scale - 1`` times the penalty's gradient in the logits; its value stays.

    A strategy that multiplies its gradient by a scale, which broadcasts against the logits, owes this to the part of
    the objective that it does not see: otherwise one part would count less than the other.
    """
    return loss + only_gradient(logits, (scale - 1) * penalty_gradient(objective, logits), loss.dim())


def only_gradient(tensor: Tensor, gradient: Tensor, dimensions: int) -> Tensor:
    """Zeros of the first ``dimensions`` of ``tensor``'s shape, whose gradient in ``tensor`` is the given one."""
    return _OnlyGradient.apply(tensor, gradient, dimensions)  # type: ignore[no-any-return, no-untyped-call]


class _OnlyGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, gradient: Tensor, dimensions: int) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(gradient.to(tensor.dtype))
        return tensor.new_zeros(tensor.shape[:dimensions])

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.reshape(upstream.shape + (1,) * (gradient.dim() - upstream.dim())), None, None
