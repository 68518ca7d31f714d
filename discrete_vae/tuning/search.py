"""What is searched: a configuration, the ranges of some of its values, and how a trial's are put into it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.config import Config
from discrete_vae.errors import InputError, nearest
from discrete_vae.schedules import Schedule
from discrete_vae.tuning.retries import origin

Space = Mapping[str, BaseDistribution]
"""By the name of a value in a configuration; see ``configure``."""


def configure(base: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with some of its values replaced.

    A name is that of a field, of the strategy's options or of the configuration: ``geometry``, ``samples``. Of a
    schedule it is the initial value, or another part behind a dot: ``temperature``, ``temperature.decay``; of what has
    fields of its own one of these: ``supervision.alpha``. Two fields that share a value are joined:
    ``learning_rate+auxiliary_learning_rate``.

    Raises ``InputError`` for a name that is no field, and for values that a configuration refuses.
    """
    changed: dict[bool, dict[str, Any]] = {True: {}, False: {}}  # of the options, and of the rest; all at once
    parted: dict[tuple[bool, str], dict[str, Any]] = {}  # likewise of what has parts
    for joined, value in values.items():
        for name in joined.split("+"):
            first, _, part = name.partition(".")
            holder = next((each for each in (base.options, base) if hasattr(each, first)), None)
            if holder is None:
                known = [each.name for kind in (base.options, base) for each in dataclasses.fields(kind)]
                raise nearest(first, known, f"value of {base.strategy}")
            own, old = holder is base.options, getattr(holder, first)
            if isinstance(old, Schedule) or (part and dataclasses.is_dataclass(old)):
                parts = [each.name for each in dataclasses.fields(old)]
                if part and part not in parts:
                    raise nearest(part, parts, f"part of {first}")
                parted.setdefault((own, first), {})[part or "initial"] = value
            elif part:
                raise InputError(f"{first} is {old!r}, which is whole, so that it has no {part!r}")
            else:
                changed[own][first] = value
    for (own, first), parts_of in parted.items():
        changed[own][first] = dataclasses.replace(getattr(base.options if own else base, first), **parts_of)
    options = dataclasses.replace(base.options, **changed[True])
    return dataclasses.replace(base, options=options, **changed[False])


@dataclass(frozen=True)
class Search:
    """One search: what all of its trials share, and the ranges of the rest."""

    base: Config
    space: Space

    def configs(self, values: Mapping[str, Any], seeds: Sequence[int], epochs: int) -> list[Config]:
        """The runs of a trial, one a seed. Raises ``InputError`` as ``configure`` does."""
        config = dataclasses.replace(configure(self.base, values), epochs=epochs)
        return [dataclasses.replace(config, seed=seed) for seed in seeds]


def tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), which keep away from what others try just now."""
    return TPESampler(seed=seed, n_startup_trials=8, constant_liar=True)


def median() -> BasePruner:
    """Stop what is below the median of the trials before it, from the second epoch on and the sixth trial."""
    return MedianPruner(n_startup_trials=5, n_warmup_steps=2)


@dataclass(frozen=True)
class Metric:
    """What a study may maximise: how it is called and shown."""

    label: str
    digits: int = 2
    unit: str = "nats"
    span: float = 20.0
    """How far below the best a value is still worth a colour of its own."""

    def text(self, value: float) -> str:
        """``-103.21``, without its name."""
        return f"{value:.{self.digits}f}"

    @property
    def axis(self) -> str:
        """``ELBO (nats)``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS = {
    "elbo": Metric("ELBO"),
    "reconstruction_hard": Metric("reconstruction"),
    "accuracy": Metric("accuracy", 4, "", 0.1),
    "valid": Metric("valid share", 4, "", 0.1),
}
"""Validation metrics of every epoch of which more is better, by their names in a run's history."""


@dataclass(frozen=True)
class Study:
    """A study: one search, or several with an equal budget each, by name.

    A trial trains ``seeds`` runs of ``epochs`` side by side; its value is the mean of their validation metrics after
    the last epoch, by default of their ELBOs in nats, and is maximised. Raises ``InputError`` for an unknown metric.
    """

    name: str
    summary: str
    searches: Mapping[str, Search]
    """``{"": search}`` for a single one."""
    trials: int = 30
    """Of each search."""
    epochs: int = 10
    seeds: tuple[int, ...] = (0, 1)
    seed: int = 0
    """Of the sampler."""
    sampler: Callable[[int], BaseSampler] = tpe
    pruner: Callable[[], BasePruner] = median
    metric: str = "elbo"
    """Whose validation value is maximised, a row of ``METRICS``."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise nearest(self.metric, METRICS, "metric")

    def names(self) -> dict[str, Search]:
        """The searches by the names that they have in a storage: ``compare/reinmax``."""
        return {f"{self.name}/{part}" if part else self.name: search for part, search in self.searches.items()}

    def definition(self, search: Search) -> dict[str, Any]:
        """What all trials of a search have to share, as plain JSON values."""
        return {
            "space": {name: distribution_to_json(each) for name, each in search.space.items()},
            "fixed": _fixed(search.base),
            "epochs": self.epochs,
            "seeds": list(self.seeds),
            "sampler": type(self.sampler(0)).__name__,
            "sampler seed": self.seed,
            "pruner": type(self.pruner()).__name__,
            "metric": self.metric,
        }


DEFINITION = "definition"
"""A study's attribute: what all of its trials share."""


def defined(found: OptunaStudy) -> tuple[Search, int, list[int]]:
    """The search, the epochs and the seeds that a stored study has."""
    definition = found.user_attrs[DEFINITION]
    space = {name: json_to_distribution(text) for name, text in definition["space"].items()}
    return Search(Config.from_dict(definition["fixed"]), space), definition["epochs"], definition["seeds"]


def _fixed(base: Config) -> dict[str, Any]:
    """A configuration but for what is the study's."""
    return {name: value for name, value in base.to_dict().items() if name not in ("epochs", "seed")}


def current(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A stored definition with the defaults of what came later and older ones do not say."""
    return {"metric": Study.metric, **definition, "fixed": _fixed(Config.from_dict(definition["fixed"]))}


def metric_of(found: OptunaStudy) -> str:
    """The validation metric that a stored study maximises: a row of ``METRICS``."""
    return str(found.user_attrs[DEFINITION].get("metric", Study.metric))  # the ELBO, before there was a choice


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two definitions differ, a line each: ``epochs: 3 stored, 10 asked``."""
    found = []
    for name in dict.fromkeys([*stored, *asked]):
        one, other = stored.get(name), asked.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{prefix}{name}: ")
        elif one != other:
            found.append(f"{prefix}{name}: {one} stored, {other} asked")
    return found


class SeededByTrial(BaseSampler):
    """Another sampler for every trial, seeded by the study's seed and the trial's rank among those not tried again.

    So a study that was stopped goes on as if it had not been, and no two workers ever draw from the same seed: a
    storage gives a number once.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self.make, self.seed = make, seed
        self.inner = make(seed)

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        first = origin(trial)
        rank = sum(origin(each) == each.number < first for each in study.get_trials(deepcopy=False))
        digest = hashlib.sha256(f"{self.seed} {study.study_name} {rank}".encode()).digest()
        self.inner = self.make(int.from_bytes(digest[:4], "big"))
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: OptunaStudy, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: OptunaStudy, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: OptunaStudy, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self.inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        self.inner.reseed_rng()


optuna.logging.set_verbosity(optuna.logging.WARNING)
