"""A row's setting as a table's cell shows it, and what a caption says of its symbols."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from reports.kit.declared import Row, counted
from reports.kit.table import DASH
from reports.kit.trials import Entry

SYMBOLS = {
    "learning_rate": ("lr", "learning rate"),
    "temperature": ("τ", "temperature"),
    "beta": ("β", "weight of the KL, or of the critic in its place"),
    "alpha": ("α", "weight of the classes"),  # noqa: RUF001
    "labelled_weight": ("w", "weight of the labelled images"),
    "weight_decay": ("wd", "weight decay"),
}
"""Hyper-parameters' symbols, and what they mean."""
FORMS = {
    r"× \S+/\d+\b(?! ep\.)": "a × b/n: a, times b every n updates",  # noqa: RUF001
    r"× \S+/\d+ ep\.": "a × b/n ep.: a, times b every n epochs",  # noqa: RUF001
    "→": "a→b: from a to b over the run",
    "≥": "≥ c: but no less than c",
}
"""How schedules are written, and what it means."""
UNITS = {"epoch": " ep.", "step": " updates", "run": " of the run"}


def setting(entry: Entry) -> str:
    """Learning rate, and what else was tried: values that lie at the end of a grid are marked."""
    if not entry.trials and not entry.study:
        return DASH
    tried, chosen = [_values(config, entry.row) for config in entry.trials], _values(entry.config, entry.row)
    rate, courses = entry.config.learning_rate, {dataclasses.astuple(each.learning_rate)[1:] for each in entry.trials}
    shown = short(rate) if len(courses) > 1 else f"{rate.initial:.3g}"
    parts = [f"lr {shown}{'†' * ('learning rate' in entry.ends)}"]
    for name, value in chosen.items():
        if len({each[name] for each in tried}) > 1 or (entry.study and name == "temperature"):
            symbol, _ = SYMBOLS.get(name, (name.replace("_", " "), ""))
            parts.append(f"{symbol} {short(value)}{'†' * (name in entry.ends)}")
    return ", ".join(parts)


def _values(config: Config, row: Row) -> dict[str, Any]:
    """What a row may try but for the learning rate, by name."""
    fields = {name: getattr(config, name) for name in ("beta", "epochs", "weight_decay", *row.tried)}
    fields.pop("learning_rate", None)
    return {**vars(config.options), **vars(config.supervision), **fields}


def short(value: object) -> str:
    """A value; of a schedule the initial one and its course: ``0.004→0.0004``, or ``1 from 0 in 3 ep.``."""
    if not isinstance(value, Schedule):
        return f"{value:g}" if isinstance(value, float) else str(value)
    shown = f"{value.initial:g}"
    if value.decay != 1 and value.unit == "run":
        shown += f"→{value.initial * value.decay:g}"
    elif value.decay != 1:
        shown += f" × {value.decay:g}/{value.every}{UNITS['epoch'] * (value.unit == 'epoch')}"  # noqa: RUF001
    if value.minimum:
        shown += f" ≥ {value.minimum:g}"
    return shown + (f" from 0 in {value.warmup:g}{UNITS[value.unit]}" if value.warmup else "")


def legend(settings: Iterable[str]) -> str:
    """What the symbols in some settings mean: ``lr: learning rate, τ: temperature``."""
    shown = list(settings)
    parts = [part.strip() for each in shown for part in each.split(",")]
    used = [f"{own}: {word}" for own, word in SYMBOLS.values() if any(part.startswith(f"{own} ") for part in parts)]
    return ", ".join([*used, *(told for form, told in FORMS.items() if any(re.search(form, each) for each in shown))])


def ends(settings: Iterable[str]) -> str:
    """What a caption says of the mark in settings; nothing where none has it."""
    return " †: at the end of what was tried." * any("†" in each for each in settings)


def lengths(entry: Entry) -> str:
    """``after 1, 2 epochs``: the lengths of its own that a row's trials were scored after."""
    *others, last = sorted(entry.row.lengths)
    return f"after {', '.join([*map(str, others), counted(last, 'epoch')])}"
