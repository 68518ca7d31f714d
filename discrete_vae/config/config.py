"""The configuration of a run, which is also its identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Container
from dataclasses import MISSING, dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from discrete_vae import backbones, schedules
from discrete_vae.arithmetic import Precision
from discrete_vae.backbones import Backbone
from discrete_vae.config import relevance
from discrete_vae.data import DataConfig
from discrete_vae.data.config import OWN
from discrete_vae.errors import InputError, check_range, check_types, nearest
from discrete_vae.latents.categorical import Categorical
from discrete_vae.likelihoods import LEVELS, LIKELIHOODS, Likelihood, likelihood
from discrete_vae.schedules import Schedule
from discrete_vae.settings import Architecture, CriticConfig, Supervision
from discrete_vae.strategies import STRATEGIES, Strategy
from discrete_vae.tasks import TASKS, Task

Optimiser = Literal["adam", "adam-0-0.9", "adam-0.5-0.9", "sgd"]
Followed = Literal["elbo", "bound"]
Keep = Literal["last", "best"]
Score = Literal["task", "accuracy"]
LONGEST = 1_000_000
"""Epochs that a run may have."""
LOOKS = 100_000
"""Steps of a run at which its weight decay is checked; a shorter run is checked at all of its steps."""
REVISITED = 6
"""Stochastic layers that a run may have with a strategy that visits each several times."""
OWN_LENGTH = {"seed", "epochs", "patience"}
"""Fields that are not schedules, but may differ between the members of a population."""
NESTING = 1
"""Revision of the results of several stochastic layers. 1: evaluations of a step share the noise of deeper layers."""


@dataclass(frozen=True)
class Config:
    """All that decides a run's result. Two runs with equal configurations are the same run.

    Options that have no effect with the task and the strategy are refused; ``fitting`` leaves them out.

    Fields that are a ``Schedule``, here and in the strategy's options, the seed, the epochs and the patience may differ
    between the members of a population.

    Raises ``InputError`` for a value out of range, for values that do not fit each other, and for an option that has
    no effect.
    """

    strategy: str = "gumbel-softmax"
    options: Any = None
    """The strategy's ``Options``; None stands for its defaults."""
    architecture: Architecture = field(default_factory=Architecture)
    data: DataConfig = field(default_factory=DataConfig)
    epochs: int = 50
    """Passes over the training images."""
    batch_size: int = 100
    """Images in a batch."""
    learning_rate: Schedule = Schedule(3e-4)
    """Step size for encoder and decoder."""
    auxiliary_learning_rate: Schedule = Schedule(3e-4)
    """Step size for the strategy's own parameters, such as a learned inverse."""
    beta: Schedule = Schedule(1.0)
    """Weight of the KL term, or of the critic's value in its place. The thesis' target propagation collapses at 1 and
    needs e.g. 0.05,warmup=1; for semi-supervised runs, start high and decay: 8,decay=0.8,minimum=2."""
    precision: Precision = "float32"
    """Arithmetic of the matrix products; tf32 is CUDA's."""
    seed: int = 0
    """The first run's seed: of its weights, the order of its data and its noise."""
    samples: int = 1
    """Samples of each image's latents in a training step; the objective is the mean of their losses, or with objective
    bound their multi-sample bound."""
    objective: Followed = "elbo"
    """Training objective of several samples: elbo, the mean of their losses, or bound, the multi-sample bound (Burda
    et al. 2016), for one stochastic layer."""
    task: str = "vae"
    """The task, a row of ``TASKS``."""
    optimiser: Optimiser = "adam"
    """Optimiser of encoder and decoder, or of a generator: adam, adam-0-0.9 or adam-0.5-0.9 (with those betas), or sgd
    with momentum 0.9. A strategy's own parameters take Adam."""
    weight_decay: Schedule = Schedule(0.0)
    """Decoupled weight decay (Loshchilov and Hutter 2019): each step takes from weights, not biases, the fraction
    learning rate times this. Runs that over-fit need about 0.03."""
    keep: Keep = "last"
    """The epoch whose weights are evaluated, sampled and reported: the last one, or the one of the best validation
    score, the earlier of equals. The run trains to its end either way."""
    patience: int = 0
    """Stop a run after this many epochs in a row without a higher validation score, whatever it keeps; 0: train all
    epochs."""
    score: Score = "task"
    """The score that keep best and patience use: the task's own score, which is the ELBO (of labels-alone the
    accuracy), or the accuracy, of semi-supervised runs."""
    supervision: Supervision = field(default_factory=Supervision)
    """For semi-supervised training: how many classes are known, and how much they count."""
    criticism: CriticConfig = field(default_factory=CriticConfig)
    """For tasks with a critic: how it is trained."""
    likelihood: str = "bernoulli"
    """Likelihood of the pixels: bernoulli for binary ones; gaussian, gaussian-fixed, discretised-logistic or
    categorical for grayscale and colour, with binarisation none."""
    pixel_scale: float = 0.1
    """Standard deviation of a pixel with gaussian-fixed; intensities are from 0 to 1."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.strategy not in STRATEGIES:
            raise nearest(self.strategy, STRATEGIES, "strategy")
        options = STRATEGIES[self.strategy].Options
        if self.task not in TASKS:
            raise nearest(self.task, TASKS, "task")
        if self.options is None:
            object.__setattr__(self, "options", options())
        elif not isinstance(self.options, options):
            raise InputError(f"options of {self.strategy} are {type(self.options).__name__}; give {options.__name__}")
        if self.likelihood not in LIKELIHOODS:
            raise nearest(self.likelihood, LIKELIHOODS, "likelihood")
        if not 0.001 <= self.pixel_scale <= 10:
            raise InputError(
                f"pixel scale is {self.pixel_scale}; give a standard deviation from 0.001 to 10, where "
                "intensities reach from 0 to 1"
            )
        self.task_class.check(self)
        if self.data.domain.symbols == 2 and not LIKELIHOODS[self.likelihood].binary:
            raise InputError(
                f"likelihood {self.likelihood} explains the {LEVELS} levels of grayscale or colour, and the pixels are "
                "binary; give binarisation none, or likelihood bernoulli"
            )
        if backbone := backbones.known(self.architecture.backbone):  # anybody's own is asked when it is built
            self.require_of(backbone)
        if self.architecture.layers > 1 and self.rescaled_by and self.strategy_class.passes_gradients:
            raise InputError(
                f"{self.rescaled_by} of {self.strategy} scales gradients, which would scale a part of the objective of "
                f"the layer before; with {self.architecture.layers} layers leave it off"
            )
        if self.architecture.layers > REVISITED and self.strategy_class.revisits():
            raise InputError(
                f"layers is {self.architecture.layers}; {self.strategy} evaluates each layer several times "
                f"for each time of the one before: give at most {REVISITED}"
            )
        check_range("epochs", self.epochs, 1, LONGEST)
        images = self.data.split_sizes.train
        if not 1 <= self.batch_size <= images:
            raise InputError(f"batch size is {self.batch_size}; give 1 to {images}, the training images")
        if self.step_size > images:
            raise InputError(
                f"a step uses {self.step_size} images, batch size times critic steps; give at most {images} in all"
            )
        check_range("samples", self.samples)
        if self.precision not in get_args(Precision):
            raise nearest(self.precision, get_args(Precision), "precision")
        if self.optimiser not in get_args(Optimiser):
            raise nearest(self.optimiser, get_args(Optimiser), "optimiser")
        if self.objective not in get_args(Followed):
            raise nearest(self.objective, get_args(Followed), "objective")
        if self.objective == "bound" and self.architecture.layers > 1:
            raise InputError(
                f"objective is bound, and layers {self.architecture.layers}; the bound needs one stochastic layer: "
                "give 1, or objective elbo"
            )
        if self.objective == "bound" and self.rescaled_by:
            raise InputError(
                f"{self.rescaled_by} of {self.strategy} scales gradients, but not that of log q(z), which objective "
                "bound has beside the sample's; leave it off, or give objective elbo"
            )
        if self.keep not in get_args(Keep):
            raise nearest(self.keep, get_args(Keep), "keep")
        check_range("patience", self.patience, 0, LONGEST)
        if self.score not in get_args(Score):
            raise nearest(self.score, get_args(Score), "score")
        check_range("seed", self.seed, 0, 2**63 - 1)
        self.learning_rate.require_positive("learning rate", warmup=True)
        self.auxiliary_learning_rate.require_positive("auxiliary learning rate", warmup=True)
        if self.weight_decay != Schedule(0.0) and (lost := self.largest_loss) >= 1:
            raise InputError(
                f"weight decay is {self.weight_decay}, at learning rate {self.learning_rate}: a weight would lose "
                f"{lost:g} times itself at a step; give less, such as 0.03"
            )
        self.strategy_class.check(self.options, self.learning_rate, self.auxiliary_learning_rate)
        self.strategy_class.check_size(self.options, self.architecture.latents, self.architecture.categories)
        relevance.check(vars(self), defaults(self.strategy))

    @classmethod
    def fitting(cls, strategy: str = strategy, options: Any = None, **values: Any) -> Config:
        """The configuration of these fields, in which options that have no effect are left at their defaults.

        For rows of a comparison that share settings, not all of which every row reads.
        """
        for name, known in ((strategy, STRATEGIES), (values.get("task", cls.task), TASKS)):
            if name not in known:
                raise nearest(str(name), known, "strategy" if known is STRATEGIES else "task")
        plain = defaults(strategy)
        given = plain | values | ({} if options is None else {"options": options})
        return cls(**relevance.fitting(given, plain))

    def refitted(self, **changes: Any) -> Config:
        """This configuration with other values, without what has no effect beside them: see ``fitting``."""
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return self.fitting(**own | changes)

    def require_of(self, backbone: Backbone) -> None:
        """Raise ``InputError`` if the task or the strategy needs a capability that the backbone does not have."""
        name, needs = self.architecture.backbone, self.strategy_class.needs(self.options)
        backbones.require(backbone, name, self.task_class.needs, f"task {self.task}")
        backbones.require(backbone, name, needs, f"these options of {self.strategy}")
        if self.architecture.data_bias:
            backbones.require(backbone, name, {"layered"}, "data bias")
        if "layered" in needs and (normalisation := self.architecture.normalisation) != Architecture.normalisation:
            raise InputError(
                f"normalisation is {normalisation}, and these options of {self.strategy} look at layers one by one; "
                f"give {Architecture.normalisation}"
            )

    @property
    def task_class(self) -> type[Task]:
        """The row of ``TASKS`` that says what is modelled."""
        return TASKS[self.task]

    @property
    def score_metric(self) -> str:
        """The validation metric that keep best and patience look at; higher is better."""
        return self.task_class.score if self.score == "task" else self.score

    @property
    def pixels(self) -> Likelihood:
        """The likelihood of the pixels."""
        return likelihood(self.likelihood, pixel_scale=self.pixel_scale)

    @property
    def categorical(self) -> bool:
        """Whether the strategy's variables are categorical."""
        return self.strategy_class.latent_family is Categorical

    @property
    def loss_includes_kl(self) -> bool:
        """True if the strategy's loss already includes the KL term."""
        return self.strategy_class.loss_includes_kl

    @property
    def rescaled_by(self) -> str | None:
        """The option, if any, by which the strategy rescales its gradient, as ``Strategy.rescaled_by`` says."""
        return self.strategy_class.rescaled_by(self.options)

    @property
    def largest_loss(self) -> float:
        """The largest fraction of itself that a weight loses in one step; long runs are checked at ``LOOKS`` steps.

        Where neither schedule grows, the initial values are an upper bound, which is the answer if it is below 1.
        """
        bound = self.learning_rate.initial * self.weight_decay.initial
        if bound < 1 and max(self.learning_rate.decay, self.weight_decay.decay) <= 1:
            return bound
        steps = self.data.split_sizes.train // self.step_size
        total = self.epochs * steps
        looks = np.linspace(0, total - 1, min(total, LOOKS)).round().astype(np.int64)
        found = schedules.values([self.learning_rate, self.weight_decay], looks, steps, [total, total])
        with np.errstate(over="ignore", invalid="ignore"):  # a rate of 0 beside a decay beyond all numbers is no loss
            return float(np.fmax.reduce(found[:, 0] * found[:, 1]))

    @property
    def step_size(self) -> int:
        """Training images that one step uses."""
        return self.batch_size * self.task_class.batches_per_step(self)

    @property
    def strategy_class(self) -> type[Strategy]:
        """The row of ``STRATEGIES`` that this run trains with."""
        return STRATEGIES[self.strategy]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; schedules in their text form. The fields of own data are left out for known data."""
        values: dict[str, Any] = _plain(self)
        if self.data.known:
            values["data"] = {name: value for name, value in values["data"].items() if name not in OWN}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The inverse of ``to_dict``; raises ``InputError`` on a field or value that is not known."""
        values = dict(_fields("a configuration", values))
        strategy = values.get("strategy", cls.strategy)
        if not isinstance(strategy, str) or strategy not in STRATEGIES:
            raise nearest(str(strategy), STRATEGIES, "strategy")
        nested = {
            "options": STRATEGIES[strategy].Options,
            "architecture": Architecture,
            "data": DataConfig,
            "supervision": Supervision,
            "criticism": CriticConfig,
        }
        for name, kind in nested.items():
            if name in values:
                values[name] = _typed(kind, _fields(name, values[name]))
        return _typed(cls, values)  # type: ignore[no-any-return]

    @cached_property
    def identity(self) -> str:
        """Twelve hexadecimal digits of a hash over all that differs from the defaults.

        A field added later with a default leaves the identity of older runs as it was; if a default changes, a run's
        stored configuration shows it (``Run.create`` compares it whole). Where a bug fix changes the numbers of a
        configuration, its revision is part of the hash, so that an older run is not taken for a new one.
        """
        revisions = {
            "revision": self.strategy_class.revision(self.options),
            "nesting": NESTING if self.architecture.layers > 1 and self.strategy_class.revisits() else 0,
        }
        return _digest(self.changes | {name: value for name, value in revisions.items() if value})

    @property
    def changes(self) -> dict[str, Any]:
        """The strategy, and what differs from its defaults, as plain JSON values."""
        own, plain = (_plain(each, compared=True) for each in (self, Config(self.strategy)))
        return {"strategy": self.strategy, **_changes(own, plain)}

    @property
    def changed(self) -> set[str]:
        """Names of the fields and options that are not at their defaults, for people: without strategy and seed."""
        names = {*_flat(self.changes)} - {"strategy", "seed"}
        # The fingerprint stands for what was read.
        return names if self.data.known else names - {"shape", "sizes", "symbols"}

    def settings(self, names: Container[str]) -> str:
        """The values of some fields and options, for people: ``temperature=0.1 epochs=5``."""
        values = _flat(_plain(self))
        values["fingerprint"] = self.data.fingerprint[:8]
        return " ".join(f"{name}={value}" for name, value in values.items() if name in names)

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.strategy}-{self.identity}"

    @property
    def population_key(self) -> str:
        """Equal for runs that can train side by side: all fields except schedules, seed, epochs and patience."""
        values = {name: value for name, value in _plain(self, compared=True).items() if name not in OWN_LENGTH}
        for source, target in ((self, values), (self.options, values["options"])):
            for item in dataclasses.fields(source):
                if isinstance(getattr(source, item.name), Schedule):
                    del target[item.name]
        return _digest(values)


def defaults(strategy: str) -> dict[str, Any]:
    """The default of every field for a strategy."""
    defaults = {
        item.name: item.default if item.default_factory is MISSING else item.default_factory()
        for item in dataclasses.fields(Config)
    }
    return defaults | {"strategy": strategy, "options": STRATEGIES[strategy].Options()}


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _changes(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    changes = {}
    for name, value in values.items():
        if value != defaults[name]:
            changes[name] = _changes(value, defaults[name]) if isinstance(value, dict) else value
    return changes


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Without the parts that a configuration is made of: ``temperature`` in place of ``options`` that have one."""
    parts = [value if isinstance(value, dict) else {name: value} for name, value in values.items()]
    return {name: value for part in parts for name, value in part.items()}


def _plain(value: Any, compared: bool = False) -> Any:
    """JSON values; with ``compared``, only of fields that tell configurations apart."""
    if isinstance(value, Schedule):
        return str(value)
    if dataclasses.is_dataclass(value):
        names = [item.name for item in dataclasses.fields(value) if item.compare or not compared]
        return {name: _plain(getattr(value, name), compared) for name in names}
    return list(value) if isinstance(value, tuple) else value


def _fields(name: str, values: object) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise InputError(f"{name} is {values!r}; give its fields by name")
    return values


def _typed(kind: type, values: dict[str, Any]) -> Any:
    """A frozen dataclass from JSON values; a field gets the type of its default."""
    fields = {item.name: item for item in dataclasses.fields(kind)}
    typed = {}
    for name, value in values.items():
        if name not in fields:
            raise nearest(name, fields, f"field of {kind.__name__}")
        default = fields[name].default
        if isinstance(default, Schedule) and not isinstance(value, Schedule):
            value = Schedule.parse(str(value))
        typed[name] = tuple(value) if isinstance(default, tuple) and isinstance(value, list) else value
    return kind(**typed)
