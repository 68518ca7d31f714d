"""Checks of a declared comparison, before anything is trained."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from discrete_vae.citations import entries, keys
from discrete_vae.config import Config
from discrete_vae.errors import InputError, check_range, nearest
from discrete_vae.strategies import STRATEGIES
from reports.kit.results import line

if TYPE_CHECKING:
    from reports.kit.comparison import Comparison
    from reports.kit.declared import Preset, Row
    from reports.kit.results import Metric

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""What a report, and a folder of kept runs, may be called."""
THE_NAME = "give letters, digits, - and _, with a letter or digit first"
SPLITS = ("train", "validation", "test")
FILES = ("results", "differences", "references", "report", "provenance", "tuning", "learning_curves")
"""Names of files that every comparison may write."""
SET = ("strategy", "options", "seed", "epochs")
"""Fields of the configuration that are set elsewhere."""


def check_comparison(made: Comparison) -> None:
    """Raise ``InputError`` for a name, a label, a metric or a pair that is invalid."""
    if not isinstance(made.name, str) or not NAME.fullmatch(made.name) or made.name in FILES:
        raise InputError(f"name is {made.name!r}; {THE_NAME}, and not {', '.join(FILES)}")
    if not isinstance(made.presets, Mapping) or not made.presets:
        raise InputError(f"presets of {made.name} are {made.presets!r}; give some, as {{'quick': Preset(epochs=2)}}")
    if not isinstance(made.caption, str):
        raise InputError(f"caption of {made.name} is {made.caption!r}; give text")
    if missing := [key for key in keys(made.papers) if key not in entries()]:
        raise InputError(f"papers name {missing[0]}, which is not in references.bib; known: {', '.join(entries())}")
    for metric in several("metrics", made.metrics):
        check_metric(metric)
    labels, named = set[str](), {line(row.label, task.label) for row in made.rows for task in made.tasks}
    for preset in made.presets.values():
        rows, tasks = list(preset.rows or made.rows), list(preset.tasks or made.tasks)
        lines = [line(row.label, task.label) for row in several("rows", rows) for task in several("tasks", tasks)]
        if twice := [each for each in lines if lines.count(each) > 1]:
            raise InputError(f"two rows are called {twice[0]!r}; give rows and tasks labels of their own")
        labels, named = labels | {row.label for row in rows}, named | set(lines)
        if unseen := [each.split for each in made.metrics if each.split not in preset.splits]:
            raise InputError(f"a metric is of the split {unseen[0]}, but splits are {', '.join(preset.splits)}")
        options = {name for strategy in STRATEGIES for name in _options(strategy)}
        for name in itertools.chain.from_iterable(task.fixed for task in tasks):
            if name not in options:
                raise nearest(name, options, "option of any strategy")
    labels |= {row.label for row in made.rows} | named
    for pair in made.pairs:
        if len(pair) != 2 or pair[0] == pair[1] or list(made.pairs).count(pair) > 1:
            raise InputError(f"a pair is {pair!r}; give two labels of different rows, each pair once")
    for label in itertools.chain(*made.pairs):
        if label not in labels:
            raise nearest(str(label), labels, "row")
    for label in itertools.chain(*(each.printed for each in made.metrics)):
        if label not in named:
            raise nearest(str(label), named, "row and task of a printed number")


def check_metric(metric: Metric) -> None:
    """Raise ``InputError`` for a split, digits or a scale that are invalid."""
    if metric.split not in SPLITS:
        raise nearest(str(metric.split), SPLITS, "split")
    if not isinstance(metric.digits, int) or not 0 <= metric.digits <= 9:
        raise InputError(f"digits of {metric.metric} are {metric.digits!r}; give a whole number from 0 to 9")
    numbers = (metric.scale, metric.offset, *metric.printed.values())
    if not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
        raise InputError(f"scale, offset and printed numbers of {metric.metric} are numbers; give finite ones")


def check_preset(preset: Preset) -> None:
    """Raise ``InputError`` for lengths, seeds, rates or splits that are invalid."""
    for name in ("epochs", "samples"):
        check_range(name, getattr(preset, name))
    check_range("trial epochs", preset.trial_epochs, 0)
    check_range("growth", preset.growth, 0)
    for name in ("seeds", "trial_seeds"):
        seeds = several(name, getattr(preset, name))
        if len(set(seeds)) < len(seeds) or not all(isinstance(seed, int) and seed >= 0 for seed in seeds):
            raise InputError(f"{name} are {seeds!r}; give different whole numbers from 0 on")
    if not all(isinstance(rate, int | float) and 0 < rate < math.inf for rate in several("rates", preset.rates, 0)):
        raise InputError(f"rates are {preset.rates!r}; give learning rates above 0")
    for split in several("splits", preset.splits):
        if split not in SPLITS:
            raise nearest(str(split), SPLITS, "split")


def check_row(row: Row) -> None:
    """Raise ``InputError`` for a strategy, options or fields that do not exist, or that are set elsewhere."""
    if not isinstance(row.label, str) or not row.label.strip():
        raise InputError(f"a row's label is {row.label!r}; give text")
    if row.strategy not in STRATEGIES:
        raise nearest(str(row.strategy), STRATEGIES, "strategy")
    for name in itertools.chain(*several(f"options of {row.label}", row.options)):
        if name not in _options(row.strategy):
            raise nearest(name, _options(row.strategy), f"option of {row.strategy}")
    check_fields((*row.fields, *row.tried))
    for name, values in row.tried.items():
        several(f"tried values of {name}", values)
    for epochs in several(f"lengths of {row.label}", row.lengths, 0):
        check_range("lengths", epochs)
    several(f"measured of {row.label}", row.measured, 0)
    if row.study and (row.fields or row.tried or row.lengths or any(row.options)):
        raise InputError(f"row {row.label} takes its setting from study {row.study}; leave off what else it sets")


def check_fields(names: Iterable[str]) -> None:
    """Raise ``InputError`` for a field that the configuration does not have, or that is set elsewhere."""
    fields = [item.name for item in dataclasses.fields(Config)]
    for name in names:
        if name not in fields:
            raise nearest(name, fields, "field of the configuration")
        if name in SET:
            raise InputError(
                f"field {name} has a place of its own: strategy and options of a Row, epochs, seeds, lengths"
            )


def several(name: str, values: Any, least: int = 1) -> list[Any]:
    """The values. Raises ``InputError`` for what is no sequence, or has fewer than ``least``."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) < least:
        raise InputError(f"{name} are {values!r}; give a list{' of at least one' * bool(least)}")
    return list(values)


def _options(strategy: str) -> list[str]:
    return [item.name for item in dataclasses.fields(STRATEGIES[strategy].Options)]
