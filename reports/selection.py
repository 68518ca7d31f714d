"""How reports choose settings: grids that grow where the best lies at their end, and what is said of a choice."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule

STEPS = 4
"""How many values a grid grows by on each side at the most."""
TRIAL_SEED = 100
"""Of the runs that settings are chosen by, in reports whose tables have seeds from 0 on."""


def require_other_seeds(trials: Iterable[int], seeds: Iterable[int]) -> None:
    """Raise ``InputError`` where settings would be chosen with a seed that the results have."""
    if shared := sorted(set(trials) & set(seeds)):
        raise InputError(f"seed {shared[0]} is both a trial's and the table's; give trials a seed of their own")


def beyond(values: Iterable[float], best: float) -> float | None:
    """The value after the end of a grid, by the ratio of its last two, if ``best`` lies at that end; None otherwise.

    A single value is no grid.
    """
    ordered = sorted(set(values))
    if len(ordered) < 2 or best not in (ordered[0], ordered[-1]):
        return None
    neighbour = ordered[1] if best == ordered[0] else ordered[-2]
    return float(f"{best * best / neighbour:.3g}") if neighbour else None


@dataclass(frozen=True)
class Axis:
    """A hyper-parameter with a grid: its value in a configuration (None: not on the grid), and how to change it."""

    name: str
    value: Callable[[Config], float | None]
    moved: Callable[[Config, float], Config]


def rate_axis(shared: bool = False) -> Axis:
    """The learning rate; ``shared``: the strategy's parameters take it as well."""

    def moved(config: Config, value: float) -> Config:
        changes = {"auxiliary_learning_rate": Schedule(value)} if shared else {}
        return dataclasses.replace(config, learning_rate=Schedule(value), **changes)  # type: ignore[arg-type]

    return Axis("learning rate", lambda config: _constant(config.learning_rate), moved)


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


def _constant(schedule: object) -> float | None:
    return schedule.initial if isinstance(schedule, Schedule) and schedule == Schedule(schedule.initial) else None


def widened(
    tried: Sequence[Run],
    train: Callable[[Sequence[Config]], Sequence[Run]],
    score: Callable[[Run], float],
    axes: Sequence[Axis],
    steps: int = STEPS,
) -> list[Run]:
    """The trials, and those that are added until the best one lies inside the grid of every axis.

    Where the best lies at the end of a grid, the next value is tried with the best's other settings; at most ``steps``
    values are added on each side.
    """
    every = list(tried)
    added: Counter[tuple[str, bool]] = Counter()
    while math.isfinite(score(best := max(every, key=score))):
        for axis in axes:
            here = axis.value(best.config)
            known = [value for run in every if (value := axis.value(run.config)) is not None]
            following = None if here is None else beyond(known, here)
            if here is not None and following is not None and added[axis.name, following > here] < steps:
                added[axis.name, following > here] += 1
                every += train([axis.moved(best.config, following)])
                break
        else:
            return every
    return every


def seeds_told(tuning: pd.DataFrame, results: pd.DataFrame) -> str:
    """Which seeds the trials had, and whether the results have them too, in a sentence."""
    seeds = sorted(set(tuning["seed"].dropna().astype(int)))
    shared = [seed for seed in seeds if seed in set(results["seed"].dropna().astype(int))]
    told = f"Trials had seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
    if not shared:
        return f"{told}, which no result has."
    which = "it" if len(seeds) == 1 else f"seed{'s' * (len(shared) > 1)} {', '.join(map(str, shared))}"
    return f"{told}; the results have {which} too, so the choice has seen that seed."


def edges(tuning: pd.DataFrame, results: pd.DataFrame, epochs: bool = False) -> str:
    """Which chosen learning rates, temperatures and weights beta lie at the end of what was tried, in a sentence.

    Both tables are tidy, with the same names of rows. A temperature counts where it is constant, and the length of the
    runs with ``epochs``.
    """
    found: dict[tuple[str, float, str], list[str]] = {}
    asked: dict[str, int] = {}
    for row, trials in tuning.groupby("row", sort=False):
        chosen = results.loc[results["row"] == row, "parameters"]
        if chosen.empty:
            continue
        best, tried = _values(chosen.iloc[0], epochs), [_values(text, epochs) for text in trials["parameters"]]
        for axis, value in best.items():
            known = sorted({each[axis] for each in tried if axis in each})
            if len(known) < 2:
                continue
            asked[axis] = asked.get(axis, 0) + 1
            if value in (known[0], known[-1]):
                side = "lowest" if value == known[0] else "highest"
                found.setdefault((axis, value, side), []).append(str(row))
    if not asked:
        return ""
    if not found:
        return f"Every chosen {' and '.join(asked)} lies inside the grid that it was chosen from."
    parts = [
        f"{axis} {value:g}, the {side} tried ({'every row' if len(rows) == asked[axis] > 1 else '; '.join(rows)})"
        for (axis, value, side), rows in found.items()
    ]
    return f"At the end of its grid, so that a better value may lie beyond: {', '.join(parts)}."


def _values(parameters: str, epochs: bool) -> Mapping[str, float]:
    """The grid values in a row's parameters."""
    known = json.loads(parameters)
    found = {"learning rate": Schedule.parse(known["learning_rate"]).initial}
    if epochs:
        found["epochs"] = float(known["epochs"])
    for axis, text in (("temperature", known["options"].get("temperature")), ("beta", known.get("beta"))):
        if text is not None and (schedule := Schedule.parse(text)).decay == 1:
            found[axis] = schedule.initial
    return found
