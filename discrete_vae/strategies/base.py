"""The contract between a strategy, which knows no task, and a task, which knows no strategy."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical, at_least_float32, finite
from discrete_vae.latents.family import Family
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.autograd import differentiable_once, loss_once, only_gradient
from discrete_vae.strategies.hyperparameters import TINY, hyperparameter
from discrete_vae.strategies.objective import Cost, Layout, Objective


@dataclass(frozen=True)
class Estimate:
    """The result of a strategy. Because ``loss`` has the objective's value, estimates nest."""

    loss: Tensor
    """``[..., B]``; value: objective(sample); gradient in the logits: the estimate of grad E_q[objective(z)]."""
    strategy_loss: Tensor
    """``[...]``, the loss of the strategy's own parameters, 0 if it has none."""
    sample: Tensor
    """``[..., B, N, K]``, the sample that was decoded; with several of them, one more dimension in front."""

    @property
    def auxiliary(self) -> Tensor:
        """The old name of ``strategy_loss``, for one version."""
        warnings.warn("Estimate.auxiliary is now called strategy_loss", DeprecationWarning, stacklevel=2)
        return self.strategy_loss


@dataclass(frozen=True)
class Claim:
    """A strategy's claim, which the conformance test checks."""

    paper: str
    """Where it was published."""
    unbiased: bool
    """Whether the mean of its gradient is the exact gradient."""
    relaxed: bool
    """Whether the sample that it decodes while training lies inside the simplex instead of at a corner."""
    evaluations: int | Callable[[int, int], int]
    """How many samples one training step decodes for an example; where it depends on N and K, a function of these."""
    marginal: bool = False
    """Whether the decoder (or a classifier in its place) learns from all states, instead of from the decoded sample."""

    def decoded(self, latents: int, categories: int) -> int:
        """Samples that one training step decodes for an example with so many variables of so many categories."""
        return self.evaluations if isinstance(self.evaluations, int) else self.evaluations(latents, categories)


@dataclass(frozen=True)
class NetworkFactory:
    """Factories of a strategy's own networks, with the model's shapes and fresh weights at every call."""

    members: int | None
    """Runs of the population, P; None for a model without this dimension, whose shapes below lack it too."""
    encoder: Callable[[], nn.Module]
    """Observation ``[P, B, D]`` -> logits ``[P, B, N, K]``."""
    decoder: Callable[[], nn.Module]
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
    """No hyper-parameters."""


class Strategy(nn.Module):
    """A way to train through latent variables.

    A subclass is an ``nn.Module`` with a plain constructor for other people's code (``GumbelSoftmax(0.5)``) and a
    frozen dataclass ``Options`` for runs. An option that is a ``Schedule`` has a buffer of the same name, which the
    training loop fills with one value a member before each step.
    """

    claim: Claim
    builds_on: ClassVar[str] = ""
    """Papers of the methods that it uses, which are cited beside its own."""
    Options: ClassVar[type] = NoOptions
    latent_family: ClassVar[Callable[..., Family]] = Categorical
    own_samples: ClassVar[frozenset[str]] = frozenset()
    """Options that number its samples; if the objective is a bound, the bound's samples replace them."""
    loss_includes_kl: bool = False
    """True if the loss already includes the KL term, ``Objective.sample_kl`` of its samples."""
    inclusive: bool = False
    """Whether its gradient in the logits is an estimate of that of ``KL(p(z | x) || q)``, instead of its loss'."""
    categories: ClassVar[int | None] = None
    """The one number of categories that it knows, such as 2; by default any."""
    passes_gradients: ClassVar[bool] = True
    """Whether it takes a gradient through the layers behind its sample."""
    ignores: ClassVar[frozenset[str]] = frozenset({"auxiliary_learning_rate"})
    """Options of a run that it never reads; with parameters of its own it reads this one."""
    rescales: bool = False
    """Whether it scales its gradient in the logits, and that of the KL term, by statistics of the steps."""
    independent: bool = False
    """Whether its several samples need noise of their own in the layers behind; by default its evaluations are
    comparisons, which share this noise."""
    twice: ClassVar[bool] = False
    """Whether its gradient in the logits may be differentiated again, as a gradient penalty does: it is then the
    gradient of a published surrogate, whose second derivative this is. Otherwise it is refused."""
    differentiates: ClassVar[bool] = False
    """Whether it takes a gradient of the objective by itself, which ``torch.inference_mode`` forbids."""
    recordable: ClassVar[bool] = True
    """Whether all that changes from step to step are its parameters and buffers, in place, so that a step can be
    recorded and replayed without Python. A class outside of this package has to say so itself."""
    checks: ClassVar[Mapping[str, Callable[[Any], None]]] = {}
    """Checks of the options that are plain attributes, wherever these are set; they raise ``InputError``."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "recordable" not in vars(cls):  # a promise about a class is not inherited
            cls.recordable = cls.__module__.partition(".")[0] == __name__.partition(".")[0]

    def __init__(self) -> None:
        super().__init__()
        self.minima: dict[str, float] = {}
        """Least values of the hyper-parameters, by name; see ``register_hyperparameter``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.checks:
            self.checks[name](value)
            super().__setattr__(name, value)
            self.reclaim()
            return
        minima = self.__dict__.get("minima", {})  # there is none before ``__init__``
        if name not in minima:
            super().__setattr__(name, value)
            return
        tensor = hyperparameter(name, value, minima[name])
        if isinstance(value, nn.Parameter):  # one that is learned
            self._buffers.pop(name, None)
            super().__setattr__(name, value)
        else:
            self._parameters.pop(name, None)
            before = self._buffers.get(name)
            self.register_buffer(name, tensor if before is None else tensor.to(before.device))

    def reclaim(self) -> None:
        """Bring the claim in line with options that were set, where it depends on them."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Tensor], prefix: str, *others: Any) -> None:
        """Hyper-parameters take the shape that they are saved with: one number, or one an example."""
        for name in self.minima:
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.shape != getattr(self, name).shape:
                setattr(self, name, saved.clone())
        super()._load_from_state_dict(state_dict, prefix, *others)  # type: ignore[arg-type]

    @classmethod
    def build(cls, options: Any, networks: NetworkFactory) -> Self:
        """The strategy for a run's ``options``."""
        fixed = {name: getattr(options, name) for name in options_of(cls) if name not in cls.scheduled()}
        return cls(**fixed)

    @classmethod
    def revision(cls, options: Any) -> int:
        """Revision of the numbers of these options: a higher one makes older runs other runs; by default 0."""
        return 0

    @classmethod
    def categorical(cls) -> bool:
        """Whether its parameters are logits of categories."""
        return cls.latent_family is Categorical

    @classmethod
    def revisits(cls) -> bool:
        """Whether a step evaluates its objective, and so the layers behind, several times."""
        return cls.claim.decoded(2, 2) > 1 or cls.claim.marginal or cls.independent

    @classmethod
    def rescaled_by(cls, options: Any) -> str | None:
        """The option, if any, by which it ``rescales``.

        Only the strategy's own objective and its KL term are scaled alike, so other losses of the same network would
        change their weight.
        """
        return None

    @classmethod
    def idle(cls, options: Any, latents: int, categories: int) -> frozenset[str]:
        """Names of its options and of a run's that have no effect with these values of the others and sizes N and K."""
        return frozenset()

    @classmethod
    def check_size(cls, options: Any, latents: int, categories: int) -> None:
        """Raise ``InputError`` where options do not suit N variables of K categories; by default they all do."""

    @classmethod
    def needs(cls, options: Any) -> frozenset[str]:
        """Capabilities of the backbone that these options need, of ``backbones.base.CAPABILITIES``; by default none."""
        return frozenset()

    @classmethod
    def papers(cls, options: Any) -> str:
        """The papers to cite for these options: ``First author et al. year``, separated by semicolons."""
        return "; ".join(filter(None, (cls.claim.paper, cls.builds_on)))

    @classmethod
    def check(cls, options: Any, learning_rate: Schedule, auxiliary_learning_rate: Schedule) -> None:
        """Raise ``InputError`` where a run's learning rates do not suit its options; by default they all do."""

    @classmethod
    def scheduled(cls) -> tuple[str, ...]:
        """Names of the options that are schedules, and so of the buffers that follow them."""
        return tuple(name for name, field in options_of(cls).items() if isinstance(field.default, Schedule))

    def changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        """A shallow copy whose hyper-parameters are changed, or itself if the change leaves them as they are."""
        own = {name: getattr(self, name) for name in self.minima}
        moved = {name: new for name, value in own.items() if (new := change(value)) is not value}
        if not moved:
            return self
        other = copy.copy(self)
        other._parameters = {name: value for name, value in self._parameters.items() if name not in moved}
        other._buffers = {**self._buffers, **moved}
        return other

    def follow(self, values: Mapping[str, Tensor]) -> None:
        """Set scheduled hyper-parameters, one value a member each: ``[P]``."""
        self._buffers.update(values)  # unchecked: a step is recorded, and reads nothing back

    def forward(self, logits: Tensor, dim: int = -1, generator: torch.Generator | None = None) -> Tensor:
        """A sample of the logits' shape with the strategy's gradient.

        Only ``Pathwise`` strategies have one; the others raise ``InputError``.
        """
        raise InputError(
            f"{type(self).__name__} gives no sample that has a gradient; call estimate(logits, objective), with a "
            "function from a sample to a loss of one number an example"
        )

    def estimate(
        self,
        logits: Tensor,
        objective: Objective | Cost,
        noise: Noise | None = None,
        *,
        dim: int = -1,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> Estimate:
        """The objective at a sample, in nats, with the estimate of ``grad E_q[objective(z)]`` in the logits.

        ``logits`` are ``[..., B, N, K]``, or ``[B, K]`` for one variable an example, or have their categories along
        ``dim`` (see ``Layout``); -inf masks a category. The objective is a function from a sample of the logits' shape
        to a loss ``[..., B]``, one number an example, or an ``Objective`` for strategies that look inside. Randomness
        comes from ``noise``, from a generator, or from torch's global generator of the logits' device. ``context``
        ``[..., B, C]`` is what a learned baseline may look at; an ``Objective`` has its own.

        Half precision is computed in float32. Raises ``InputError`` for a loss of another shape, for logits without a
        batch, and for an objective that lacks what the strategy needs. Unless ``twice``, also for a second derivative
        that involves the logits: the gradient in them is an estimate and has no derivative.
        """
        if self.differentiates and not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            raise InputError(
                f"{type(self).__name__} takes a gradient of the objective, which torch.inference_mode forbids; "
                "take torch.no_grad"
            )
        layout = Layout.of(logits, dim)
        given = self.prepared(layout.inwards(logits))
        if not self.twice:
            given = differentiable_once(given, type(self).__name__)
        if self.loss_includes_kl and not isinstance(objective, Objective):
            raise InputError(
                f"{type(self).__name__} follows a bound of several samples in place of their mean; give an Objective "
                "with sample_kl, log q(z) / p(z) of a sample, or take Rloo for the mean"
            )
        posed = Objective.of(objective, layout.dims, layout.examples, context)
        if self.loss_includes_kl and posed.samples is not None:
            raise InputError(
                f"{type(self).__name__} makes a bound of samples of its own; give the objective of one sample, or take "
                "Rloo for a bound"
            )
        if posed.samples is not None and posed.samples.logits is not logits:
            raise InputError(
                "the bound was made with other logits than these, so that log q would lack its gradient; give "
                "bound_of(..., logits, S) and estimate(logits, ...) the same tensor"
            )
        if not layout.plain or given.dtype != logits.dtype:
            posed = layout.objective(posed, logits.dtype)
        estimate = self.changed(layout.fitted).compute(given, posed, source(noise, generator, logits))
        if not isinstance(estimate, Estimate):
            raise InputError(
                f"{type(self).__name__}.compute gives a {type(estimate).__name__}; give an Estimate(loss, "
                "strategy_loss, sample)"
            )
        if not self.twice:
            estimate = dataclasses.replace(estimate, loss=loss_once(estimate.loss, given, type(self).__name__))
        return dataclasses.replace(estimate, sample=layout.outwards(estimate.sample).to(logits.dtype))

    def prepared(self, logits: Tensor) -> Tensor:
        """Logits as ``compute`` takes them: at least float32, and masked categories finite."""
        logits = at_least_float32(logits)
        return finite(logits) if self.categorical() else logits

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        """To be implemented: logits ``[..., B, N, K]`` (any family's parameters) -> an estimate.

        Logits are in at least float32 and finite, unless they are no distribution. All that it draws comes from
        ``noise``.
        """
        raise NotImplementedError

    def weights(self, logits: Tensor, sample: Tensor) -> Tensor | None:
        """Weights in the loss of several decoded samples ``[S, ..., B, N, K]``; None if they are equal."""
        return None


def register_hyperparameter(strategy: Strategy, name: str, value: float | Tensor, minimum: float = TINY) -> None:
    """Make a hyper-parameter a buffer that is checked wherever it is set: ``strategy.temperature = 0.3``.

    Raises ``InputError`` where it is not finite or below the minimum. An ``nn.Parameter`` is one that is learned.
    """
    strategy.minima[name] = minimum
    setattr(strategy, name, value)


def source(noise: Noise | None, generator: torch.Generator | None, logits: Tensor) -> Noise:
    """The source of randomness, on the logits' device unless it says otherwise.

    Raises ``InputError`` if both are given, or one of another type.
    """
    if noise is not None and generator is not None:
        raise InputError("both noise and a generator are given; give one of them")
    if noise is not None and not isinstance(noise, Noise):
        raise InputError(f"noise is a {type(noise).__name__}; give a Noise, or generator=...")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise InputError(
            f"generator is {generator!r}; give a torch.Generator, such as torch.Generator().manual_seed(0)"
        )
    return (noise or Noise([generator])).on(logits.device)


def kl_term_gradient(objective: Objective, logits: Tensor) -> Tensor:
    """Gradient of ``Objective.kl_term``, the KL term that the task adds, in the logits: ``[..., B, N, K]``."""
    if objective.kl_term is None:
        return torch.zeros_like(logits)
    with torch.enable_grad():
        at = logits.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective.kl_term(at).sum(), at)
    return gradient


def with_kl_term_scaled(loss: Tensor, objective: Objective, logits: Tensor, scale: Tensor) -> Tensor:
    """The loss ``[..., B]`` with ``scale - 1`` times the KL term's gradient in the logits; its value stays.

    A strategy that multiplies its gradient by a scale, which broadcasts against the logits, has to scale the part of
    the objective that it does not see as well: otherwise one part would count less than the other.
    """
    if not torch.is_grad_enabled():
        return loss
    return loss + only_gradient(logits, (scale - 1) * kl_term_gradient(objective, logits), loss.dim())
