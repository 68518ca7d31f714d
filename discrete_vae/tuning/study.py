"""A study: its searches, their length and their seeds, and what is maximised."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from discrete_vae.config import Config
from discrete_vae.errors import InputError, nearest
from discrete_vae.tuning.metrics import METRICS
from discrete_vae.tuning.sampling import SeededByTrial, median, refusal, tpe
from discrete_vae.tuning.search import Search, check_space, fixed_values


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
    """Number of trials of each search."""
    epochs: int = 10
    seeds: tuple[int, ...] = (0, 1)
    seed: int = 0
    """Seed of the sampler."""
    sampler: Callable[[int], BaseSampler] = tpe
    pruner: Callable[[], BasePruner] = median
    metric: str = "elbo"
    """The validation metric that is maximised, a row of ``METRICS``."""
    paired: bool = False
    """Whether a trial of one search draws from the seed of that trial in the others: the same values, if the sampler
    ignores other trials and the spaces are the same."""

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise nearest(self.metric, METRICS, "metric")
        for name, least in {"trials": 1, "epochs": 1, "seed": 0}.items():
            value = getattr(self, name)
            if not is_whole(value) or value < least:
                raise InputError(f"{name} is {value!r}; give a whole number of at least {least}")
        if not isinstance(self.seeds, tuple | list) or not are_seeds(list(self.seeds)):
            raise InputError(f"seeds is {self.seeds!r}; give a tuple of whole numbers of at least 0")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds is {self.seeds!r}, with one of them twice; give each once")
        bases = [search.base for search in self.searches.values()]
        for base, (name, own) in itertools.product(bases, (("epochs", "epochs"), ("seed", "seeds"))):
            if (value := getattr(base, name)) != getattr(Config(), name):
                raise InputError(f"{name} {value} of a search's base has no effect; say {own} of the Study")

    def check(self, *names: str) -> None:
        """Try these searches, or all: raises ``InputError`` for a space that a configuration or Optuna refuses."""
        searches = self.names()
        for name in names or searches:
            search = searches[name]
            try:
                check_space(search)
            except InputError as error:
                raise InputError(f"{name}: {error}") from error
            try:
                made = optuna.create_study(study_name=name, sampler=self.seeded(), pruner=self.pruner())
                made.ask(dict(search.space))
            except Exception as error:  # whatever a sampler raises
                raise InputError(f"{name}: {refusal(error)}") from error

    def seeded(self) -> SeededByTrial:
        """The sampler of the trials' values."""
        return SeededByTrial(self.sampler, self.seed, self.name if self.paired else None)

    def names(self) -> dict[str, Search]:
        """The searches by the names that they have in a storage: ``compare/reinmax``."""
        return {f"{self.name}/{part}" if part else self.name: search for part, search in self.searches.items()}

    def definition(self, search: Search) -> dict[str, Any]:
        """The definition that all trials of a search share, as plain JSON values."""
        return {
            "space": {name: distribution_to_json(each) for name, each in search.space.items()},
            "fixed": fixed_values(search.base),
            "epochs": self.epochs,
            "seeds": list(self.seeds),
            "sampler": type(self.sampler(0)).__name__,
            "sampler seed": self.seed,
            "pruner": type(self.pruner()).__name__,
            "metric": self.metric,
            **({"paired": True} if self.paired else {}),  # older definitions do not say
        }


def is_whole(value: Any) -> bool:
    """Whether a JSON value is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def are_seeds(value: Any) -> bool:
    """Whether a JSON value is a list of seeds: whole numbers of at least 0, one or more."""
    return isinstance(value, list) and bool(value) and all(is_whole(each) and each >= 0 for each in value)
