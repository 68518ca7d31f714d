"""What is searched: a configuration, the ranges of some of its values, and how a trial's are put into it."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.exceptions import OptunaError
from optuna.pruners import BasePruner, MedianPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.config.config import Config
from discrete_vae.config.relevance import has_effect
from discrete_vae.errors import InputError, nearest
from discrete_vae.schedules import Schedule
from discrete_vae.tuning.retries import origin

TRIED = 64
"""Combinations of the other values with which one is tried that is refused alone."""
Space = Mapping[str, BaseDistribution]
"""By the name of a value in a configuration; see ``configure``."""


def configure(base: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with some of its values replaced.

    A name is that of a field, of the strategy's options or of the configuration: ``geometry``, ``samples``. Of a
    schedule it is the initial value, or the whole of it as text, or another part behind a dot: ``temperature``,
    ``temperature.decay``; of what has fields of its own one of these: ``supervision.alpha``. Two fields that share a
    value are joined: ``learning_rate+auxiliary_learning_rate``. Tuples may be given as JSON text, as storages keep
    them.

    A value that has no effect beside the others is left out. Raises ``InputError`` for a name that is no field, has no
    effect beside any others or is given twice, and for values that a configuration refuses.
    """
    changed: dict[bool, dict[str, Any]] = {True: {}, False: {}}  # of the options, and of the rest; all at once
    parted: dict[tuple[bool, str], dict[str, Any]] = {}  # likewise of what has parts
    for joined, value in values.items():
        for name in joined.split("+"):
            first, _, part = name.partition(".")
            known = {each.name: kind for kind in (base, base.options) for each in dataclasses.fields(kind)}
            if first not in known:
                raise nearest(first, known, f"value of {base.strategy}")
            if not has_effect(first, base.task_class, base.strategy_class):
                raise InputError(f"{first} has no effect with {base.strategy} in task {base.task}; leave it out")
            own, old = known[first] is base.options, getattr(known[first], first)
            whole = not part and isinstance(value, Schedule | str)
            twice = InputError(f"{name} is given twice, in {', '.join(values)}; give it once")
            if first in changed[own]:
                raise twice
            if not whole and (isinstance(old, Schedule) or (part and dataclasses.is_dataclass(old))):
                parts = {each.name: getattr(old, each.name) for each in dataclasses.fields(old)}
                part = part or "initial"
                if part not in parts:
                    raise nearest(part, parts, f"part of {first}")
                if part in parted.setdefault((own, first), {}):
                    raise twice
                parted[own, first][part] = _like(parts[part], value, name)
            elif part:
                raise InputError(f"{first} is {old!r}, which is whole, so that it has no {part!r}")
            elif (own, first) in parted:
                raise twice
            else:
                changed[own][first] = _like(old, value, name)
    try:
        for (own, first), parts_of in parted.items():
            changed[own][first] = dataclasses.replace(getattr(base.options if own else base, first), **parts_of)
        options = dataclasses.replace(base.options, **changed[True])
        return base.refitted(options=options, **changed[False])
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{dict(values)} is not understood ({error}); give values of the fields' types") from error


def _like(old: Any, value: Any, name: str) -> Any:
    """A value as the field's own is: storages keep tuples and schedules as text, and have lists for tuples."""
    if isinstance(old, Schedule):
        return Schedule.parse(value) if isinstance(value, str) else value
    if not isinstance(old, tuple):
        return value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError(f"{name} is {value!r}; give a tuple such as {old!r}") from None
    return _tuple(value)


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list | tuple) else value


def _storable(value: Any) -> Any:
    """A choice as a storage keeps it: a number or a text; a tuple as JSON. Others are left to ``Study.check``."""
    if isinstance(value, Schedule):
        return str(value)
    if isinstance(value, tuple | list):
        try:
            return json.dumps(value)
        except TypeError:
            return value
    return value.item() if isinstance(value, np.generic) else value


def _stored_as(distribution: Any) -> Any:
    """A distribution with choices as a storage keeps them."""
    if not isinstance(distribution, CategoricalDistribution):
        return distribution
    choices = tuple(map(_storable, distribution.choices))
    return distribution if choices == distribution.choices else CategoricalDistribution(choices)


@dataclass(frozen=True)
class Search:
    """One search: what all of its trials share, and the ranges of the rest."""

    base: Config
    space: Space
    """Choices that are tuples or schedules become text, which ``configure`` reads: a storage would give lists back."""

    def __post_init__(self) -> None:
        if not isinstance(self.space, Mapping) or not all(isinstance(name, str) for name in self.space):
            raise InputError(f"the space is {self.space!r}; give distributions by the names of values")
        object.__setattr__(self, "space", {name: _stored_as(each) for name, each in self.space.items()})

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
    the last epoch, by default of their ELBOs in nats, and is maximised. Raises ``InputError`` for an unknown metric,
    for numbers that are not whole or too small, and for seeds that are none or twice there.
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
        for name, least in {"trials": 1, "epochs": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not _whole(value) or value < least:
                raise InputError(f"{name} is {value!r}; give a whole number of at least {least}")
        if not isinstance(self.seeds, tuple | list) or not _PARTS["seeds"](list(self.seeds)):
            raise InputError(f"seeds is {self.seeds!r}; give a tuple of whole numbers of at least 0")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds is {self.seeds!r}, with one of them twice; give each once")

    def check(self, *names: str) -> None:
        """Try these searches, or all: raises ``InputError`` for a space that a configuration or Optuna refuses."""
        searches = self.names()
        for name in names or searches:
            search = searches[name]
            try:
                _check_space(search)
            except InputError as error:
                raise InputError(f"{name}: {error}") from error
            try:
                sampler = SeededByTrial(self.sampler, self.seed)
                optuna.create_study(study_name=name, sampler=sampler, pruner=self.pruner()).ask(dict(search.space))
            except Exception as error:  # whatever a sampler raises
                raise InputError(f"{name}: {refusal(error)}") from error

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
    """The search, the epochs and the seeds that a stored study has. Raises ``InputError`` if they cannot be read."""
    definition = _definition(found)
    try:
        space = {name: json_to_distribution(text) for name, text in definition["space"].items()}
        return Search(Config.from_dict(definition["fixed"]), space), definition["epochs"], definition["seeds"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(found, f"{type(error).__name__}: {error}") from error


def _definition(found: OptunaStudy) -> dict[str, Any]:
    """What a stored study says of itself. Raises ``InputError`` where a part is missing or of another kind."""
    attributes = found.user_attrs
    if DEFINITION not in attributes:
        raise InputError(f"study {found.study_name!r} in this storage is of another program; name another --storage")
    definition = attributes[DEFINITION]
    if not isinstance(definition, dict):
        raise _unreadable(found, f"it is {repr(definition)[:80]}")
    if found.directions != [StudyDirection.MAXIMIZE]:
        raise _unreadable(found, "it does not maximise one value")
    definition = {"metric": Study.metric, **definition}  # the ELBO, before there was a choice
    for part, fits in _PARTS.items():
        if not fits(definition.get(part)):
            raise _unreadable(found, f"its {part} is {repr(definition.get(part))[:80]}")
    return definition


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_PARTS: dict[str, Callable[[Any], bool]] = {
    "space": lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
    "fixed": lambda value: isinstance(value, dict),
    "epochs": lambda value: _whole(value) and value >= 1,
    "seeds": lambda value: (
        isinstance(value, list) and bool(value) and all(_whole(each) and each >= 0 for each in value)
    ),
    "metric": lambda value: isinstance(value, str) and value in METRICS,
}
"""What has to be in a definition."""


def _unreadable(found: OptunaStudy, reason: str) -> InputError:
    return InputError(
        f"study {found.study_name!r}: its stored definition cannot be read ({reason}); restore the storage, or remove "
        f"the study: python -m studies clean {found.study_name.partition('/')[0]}"
    )


def _fixed(base: Config) -> dict[str, Any]:
    """A configuration but for what is the study's."""
    return {name: value for name, value in base.to_dict().items() if name not in ("epochs", "seed")}


def current(found: OptunaStudy) -> dict[str, Any]:
    """A stored definition with the defaults of what came later and older ones do not say.

    Raises ``InputError`` if it cannot be read.
    """
    return {**_definition(found), "fixed": _fixed(defined(found)[0].base)}


def metric_of(found: OptunaStudy) -> str:
    """The validation metric that a stored study maximises: a row of ``METRICS``."""
    return str(_definition(found)["metric"])


def refusal(error: Exception) -> str:
    """Why Optuna gives no trial, in a line."""
    return (
        f"Optuna gives no trial ({' '.join(str(error).split()) or type(error).__name__}); correct the sampler or space"
    )


def _check_space(search: Search) -> None:
    """Raise ``InputError`` for a name or a value that the configuration refuses, whatever the others are."""
    candidates = {name: _candidates(name, each) for name, each in search.space.items()}
    for name, values in candidates.items():
        others = {other: choices for other, choices in candidates.items() if other != name}
        for value in values:
            together = (dict(zip(others, each, strict=True)) for each in itertools.product(*others.values()))
            tried = ({**rest, name: value} for rest in itertools.chain([{}], itertools.islice(together, TRIED)))
            reasons = [_refused(search.base, each) for each in tried]
            if None not in reasons:
                raise InputError(f"{name} cannot be {value!r} in this search: {reasons[0]}")
    corners = itertools.islice(itertools.product(*candidates.values()), TRIED)
    reasons = [_refused(search.base, dict(zip(candidates, each, strict=True))) for each in corners]
    if None not in reasons:
        raise InputError(f"the values of this search do not go together: {reasons[0]}")


def _candidates(name: str, distribution: Any) -> tuple[Any, ...]:
    """Values to try: all choices, or both ends of a range. Raises ``InputError`` for what cannot be searched."""
    if own := {"epochs", "seed"}.intersection(name.split("+")):
        raise InputError(f"{name} cannot be searched: the study itself gives its trials {own.pop()}")
    if isinstance(distribution, CategoricalDistribution):
        for choice in distribution.choices:
            if not isinstance(choice, str | int | float | None):
                raise InputError(
                    f"{name} has the choice {choice!r}, which no storage keeps; give numbers, texts, tuples or "
                    "schedules, and search what has fields by these, such as architecture.hidden"
                )
        return tuple(distribution.choices)
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return distribution.low, distribution.high
    raise InputError(f"{name} is {distribution!r}; give a distribution of Optuna's: a float, an int or choices")


def _refused(base: Config, values: Mapping[str, Any]) -> str | None:
    """Why a configuration does not take some values; None if it does."""
    try:
        made = configure(base, values)
    except InputError as error:
        return str(error)
    return None if made.data == base.data else "the data are loaded once, for all trials"


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
        self.asked: FrozenTrial | None = None
        """The trial whose values were asked for last."""

    def before_trial(self, study: OptunaStudy, trial: FrozenTrial) -> None:
        self.asked = trial
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
        try:
            self.inner.after_trial(study, trial, state, values)
        except RuntimeError as error:  # one that has tried everything stops Optuna's own loop; ours counts trials
            if isinstance(error, OptunaError) or "stop" not in str(error):
                raise

    def reseed_rng(self) -> None:
        self.inner.reseed_rng()


optuna.logging.set_verbosity(optuna.logging.WARNING)
# Searches keep tuples and schedules as text: see Search.
warnings.filterwarnings("ignore", "Choices for a categorical distribution", UserWarning)
