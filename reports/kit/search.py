"""How reports choose settings: grids that grow where the best lies at their end."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule

STEPS = 4
"""How many values a grid grows by on each side at the most."""
TRIAL_SEED = 100
"""Seed of the runs that settings are chosen by, in reports whose tables have seeds from 0 on."""


def require_other_seeds(trials: Iterable[int], seeds: Iterable[int]) -> None:
    """Raise ``InputError`` where settings would be chosen with a seed that the results have."""
    if shared := sorted(set(trials) & set(seeds)):
        raise InputError(f"seed {shared[0]} is both a trial's and the table's; give trials a seed of their own")


def beyond(values: Iterable[float], best: float) -> float | None:
    """The value after the end of a grid, by the ratio of its last two, if ``best`` lies at that end; None otherwise.

    A single value is no grid, and nothing lies below 0.
    """
    ordered = sorted(set(values))
    if len(ordered) < 2 or best not in (ordered[0], ordered[-1]):
        return None
    neighbour = ordered[1] if best == ordered[0] else ordered[-2]
    return float(f"{best * best / neighbour:.3g}") if neighbour and best else None


@dataclass(frozen=True)
class Axis:
    """A hyper-parameter with a grid: its value in a configuration (None: not on the grid), and how to change it."""

    name: str
    value: Callable[[Config], float | None]
    moved: Callable[[Config, float], Config]


def rate_axis(shared: bool = False) -> Axis:
    """The learning rate, at the start where it falls over a run; ``shared``: the strategy's parameters take it too."""

    def value(config: Config) -> float | None:
        rate = config.learning_rate
        return rate.initial if rate.unit == "run" else _constant(rate)

    def moved(config: Config, value: float) -> Config:
        rate = dataclasses.replace(config.learning_rate, initial=value)
        changes = {"auxiliary_learning_rate": rate} if shared else {}
        return dataclasses.replace(config, learning_rate=rate, **changes)  # type: ignore[arg-type]

    return Axis("learning rate", value, moved)


def _with_temperature(config: Config, value: float) -> Config:
    return dataclasses.replace(config, options=dataclasses.replace(config.options, temperature=Schedule(value)))


TEMPERATURE = Axis(
    "temperature", lambda config: _constant(getattr(config.options, "temperature", None)), _with_temperature
)
BETA = Axis(
    "beta",
    lambda config: _constant(config.beta),
    lambda config, value: dataclasses.replace(config, beta=Schedule(value)),
)
WEIGHT_DECAY = Axis(
    "weight_decay",
    lambda config: _constant(config.weight_decay),
    lambda config, value: dataclasses.replace(config, weight_decay=Schedule(value)),
)
LENGTH = Axis(
    "epochs", lambda config: config.epochs, lambda config, value: dataclasses.replace(config, epochs=int(value))
)


def _constant(schedule: object) -> float | None:
    return schedule.initial if isinstance(schedule, Schedule) and schedule == Schedule(schedule.initial) else None


def widened(
    tried: Sequence[Config],
    score: Callable[[Sequence[Config]], Mapping[Config, float]],
    axes: Sequence[Axis],
    steps: int = STEPS,
) -> dict[Config, float]:
    """The scores of what is tried, and of what is added until the best lies inside the grid of every axis.

    Where the best lies at the end of a grid, the next value is tried with the best's other settings; at most ``steps``
    values are added on each side.
    """
    scores = dict(score(tried))
    added: Counter[tuple[str, bool]] = Counter()
    while math.isfinite(scores[best := max(scores, key=scores.__getitem__)]):
        for axis in axes:
            here = axis.value(best)
            known = [value for config in scores if (value := axis.value(config)) is not None]
            following = None if here is None else beyond(known, here)
            if here is not None and following is not None and added[axis.name, following > here] < steps:
                added[axis.name, following > here] += 1
                scores |= score([axis.moved(best, following)])
                break
        else:
            return scores
    return scores


def at_end(chosen: Config, tried: Sequence[Config], axes: Sequence[Axis]) -> list[str]:
    """The axes on which a choice lies at the end of what was tried, so that a better value may lie beyond."""
    found = []
    for axis in axes:
        values = sorted({value for config in tried if (value := axis.value(config)) is not None})
        if len(values) > 1 and axis.value(chosen) in (values[0] or None, values[-1]):  # nothing lies below 0
            found.append(axis.name)
    return found
