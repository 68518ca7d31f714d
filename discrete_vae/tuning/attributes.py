"""Attributes that workers keep with a trial, checked as they are read: a storage may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FrozenTrial

from discrete_vae.errors import InputError
from discrete_vae.tuning.storage import HISTORY

VALUES, METRICS, RUNS = "elbo by seed", "metrics", "runs"
"""A trial's attributes: each seed's value, of whatever metric; all metrics' means; its runs' folders."""
WORKER = "worker"
"""A trial's attribute: its worker, host:process. Set with its first sign of life."""
FAILURE, SURPLUS, STOPPED = "failure", "surplus", "stopped"
"""A trial's attributes: why it failed; that another had the last place, so that nothing was trained; that its worker
was stopped, rather than died."""
DEATHS = "deaths"
"""A trial's attribute: how often it died, if it was taken up again."""


def values_of(trial: FrozenTrial) -> dict[str, float]:
    """Each seed's value, of the metric that the study maximises; none before the trial has ended."""
    found: dict[str, float] = _read(trial, trial.user_attrs, VALUES, {}, _by_seed, "a finite number for each seed")
    return found


def metrics_of(trial: FrozenTrial) -> dict[str, float]:
    """The means of all metrics over the seeds; none before the trial has ended."""
    found: dict[str, float] = _read(trial, trial.user_attrs, METRICS, {}, _numbers, "a number for each metric")
    return found


def runs_of(trial: FrozenTrial) -> list[str]:
    """The names of the folders of its runs."""
    found: list[str] = _read(trial, trial.user_attrs, RUNS, [], _texts, "a list of names")
    return found


def failure_of(trial: FrozenTrial) -> str | None:
    """Why it failed, if it did."""
    found: str | None = _read(trial, trial.user_attrs, FAILURE, None, _text_or_none, "a text")
    return found


def worker_of(trial: FrozenTrial) -> tuple[str, int] | None:
    """The machine and the process of its worker."""
    text: str | None = _read(trial, trial.user_attrs, WORKER, None, _worker, "host:process")
    if text is None:
        return None
    host, _, process = text.rpartition(":")
    return host, int(process)


def history_of(trial: FrozenTrial) -> list[int]:
    """The numbers that it had before it was taken up again, the first one first."""
    found: list[int] = _read(
        trial,
        trial.system_attrs,
        HISTORY,
        [],
        lambda value: _whole_numbers(value) and all(number < trial.number for number in value),
        "a list of earlier trials' numbers",
    )
    return found


def deaths_of(trial: FrozenTrial) -> int:
    """How often its worker died."""
    found: int = _read(trial, trial.system_attrs, DEATHS, 0, _whole, "a whole number")
    return found


def value_of(trial: FrozenTrial) -> float:
    """The value of a complete trial: the metric that the study maximises. Raises ``InputError`` if it has none."""
    value: Any = trial.values[0] if trial.values else None
    if not is_number(value) or not math.isfinite(value):
        raise InputError(f"trial {trial.number} is complete, but its value is {value!r}; {REMEDY}")
    return float(value)


REMEDY = "restore the storage, or remove the study: python -m studies clean NAME"


def _read(
    trial: FrozenTrial, holder: Mapping[str, Any], name: str, default: Any, fits: Callable[[Any], bool], kind: str
) -> Any:
    """An attribute. Raises ``InputError`` for a value that no worker writes."""
    value = holder.get(name, default)
    if not fits(value):
        raise InputError(f"trial {trial.number}: its {name!r} is {repr(value)[:80]}, not {kind}; {REMEDY}")
    return value


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number, which true and false are not, nor what is larger than any float."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


def _by_seed(value: Any) -> bool:
    return _numbers(value) and all(map(math.isfinite, value.values())) and all(name.isdecimal() for name in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _worker(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.rpartition(":")[2].isdecimal())


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_whole, value)) and value == sorted(set(value))
