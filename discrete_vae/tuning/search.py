"""Searches: a configuration, the ranges of some of its values, and whether these go together."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from discrete_vae.config.config import Config
from discrete_vae.errors import InputError
from discrete_vae.tuning.naming import configure, stored_as

TRIED = 64
"""Combinations of the other values that are tried with a value that is refused alone."""
Space = Mapping[str, BaseDistribution]
"""Distributions by the name of a value in a configuration; see ``configure``."""


@dataclass(frozen=True)
class Search:
    """One search: what all of its trials share, and the ranges of the rest.

    Raises ``InputError`` for a space that has no names.
    """

    base: Config
    """Values that are not searched; length and seeds are the study's."""
    space: Space
    """A distribution of Optuna for each name, as ``configure`` reads names.

    Choices that are tuples or schedules become text, which ``configure`` reads: a storage would give lists back.
    """

    def __post_init__(self) -> None:
        if not isinstance(self.space, Mapping) or not all(isinstance(name, str) for name in self.space):
            raise InputError(f"the space is {self.space!r}; give distributions by the names of values")
        object.__setattr__(self, "space", {name: stored_as(each) for name, each in self.space.items()})

    def configs(self, values: Mapping[str, Any], seeds: Sequence[int], epochs: int) -> list[Config]:
        """The runs of a trial, one a seed. Raises ``InputError`` as ``configure`` does."""
        config = dataclasses.replace(configure(self.base, values), epochs=epochs)
        return [dataclasses.replace(config, seed=seed) for seed in seeds]


def fixed_values(base: Config) -> dict[str, Any]:
    """A configuration's values, without those that the study sets."""
    return {name: value for name, value in base.to_dict().items() if name not in ("epochs", "seed")}


def check_space(search: Search) -> None:
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
