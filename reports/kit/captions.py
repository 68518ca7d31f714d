"""The generated part of a comparison's captions: its settings, its seeds, how settings were chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.tuning import METRICS
from reports.kit import results
from reports.kit.declared import Preset, Task, counted
from reports.kit.prose import escape
from reports.kit.results import Metric, compared, line
from reports.kit.table import DASH, Cell
from reports.kit.trials import Entry

Entries = Mapping[tuple[str, str], Entry]
"""By the labels of row and task."""


def says(entry: Entry, metric: Metric) -> bool:
    """Whether a metric says something of a row."""
    return not entry.row.measured or metric.metric in entry.row.measured


def of_seeds(cell: Cell, entry: Entry, there: int, seeds: int) -> Cell:
    """A cell with its number of seeds, if some failed or have no number; without one if the row does not measure it."""
    if not any(run.finished for run in entry.runs):
        return "failed"
    return results.of_seeds(cell, there, seeds)


def setting(entry: Entry) -> str:
    """Learning rate, and what else was tried: values that lie at the end of a grid are marked."""
    if not entry.trials and not entry.study:
        return DASH

    def values(config: Config) -> dict[str, Any]:
        fields = {"beta": config.beta, "epochs": config.epochs, "weight_decay": config.weight_decay}
        return {**vars(config.options), **vars(config.supervision), **fields}

    tried = [values(config) for config in entry.trials]
    parts = [f"lr {entry.config.learning_rate.initial:.3g}{'†' * ('learning rate' in entry.ends)}"]
    for name, value in values(entry.config).items():
        if len({each[name] for each in tried}) > 1 or (entry.study and name == "temperature"):
            symbol, _ = SYMBOLS.get(name, (name, ""))
            parts.append(f"{symbol} {short(value)}{'†' * (name in entry.ends)}")
    return ", ".join(parts)


def ends(settings: Iterable[str]) -> str:
    """What a caption says of the mark in settings; nothing where none has it."""
    return " †: at the end of what was tried." * any("†" in each for each in settings)


SYMBOLS = {
    "learning_rate": ("lr", "learning rate"),
    "temperature": ("τ", "temperature"),
    "beta": ("β", "weight of the KL, or of the critic in its place"),
    "alpha": ("α", "weight of the classes"),  # noqa: RUF001
    "labelled_weight": ("w", "weight of the labelled images"),
    "weight_decay": ("wd", "weight decay"),
}
"""Hyper-parameters' symbols in a table's cells, and what they mean."""


def legend(settings: Iterable[str]) -> str:
    """What the symbols in some settings mean: ``lr: learning rate, τ: temperature``."""
    parts = [part.strip() for each in settings for part in each.split(",")]
    used = [f"{own}: {word}" for own, word in SYMBOLS.values() if any(part.startswith(f"{own} ") for part in parts)]
    falling = any("×" in part for part in parts)  # noqa: RUF001
    return ", ".join([*used, *["a × b/n: a, times b every n updates"] * falling])  # noqa: RUF001


def short(value: object) -> str:
    """A value; of a schedule the initial one, and what is left of it after an update where it decays."""
    if not isinstance(value, Schedule):
        return f"{value:g}" if isinstance(value, float) else str(value)
    decay = f" × {value.decay:g}/{value.every}" if value.decay != 1 else ""  # noqa: RUF001
    return f"{value.initial:g}{decay}"


def length(preset: Preset, entries: Entries) -> str:
    """``50 epochs``, or that they are the most that rows with patience train."""
    patient = {line(*key): entry.config for key, entry in entries.items() if entry.config.patience}
    most = counted(preset.epochs, "epoch")
    if not patient:
        return most
    waits = " or ".join(f"{each:,}" for each in sorted({config.patience for config in patient.values()}))
    score = " or ".join(dict.fromkeys(METRICS[config.score_metric].label for config in patient.values()))
    until = f"until the validation {score} has not risen for {waits}"
    if len(patient) == len(entries):
        return f"At most {most}, {until}"
    return f"{most} ({', '.join(map(escape, patient))}: at most, {until})"


def told(preset: Preset, entries: Entries, places: int, metrics: Sequence[Metric]) -> str:
    """What a table's caption says of lengths, seeds, choices and bold numbers, and of rows that are not trained yet.

    ``places`` is the number of rows times that of tasks.
    """
    tested = any(metric.split == "test" for metric in metrics)
    samples = f"{counted(preset.samples, 'sample')} an image of the test images" if tested else "one sample an image"
    said = [f"{length(preset, entries)}; {samples}; {compared(len(preset.seeds))}."]
    if any(entry.trials for entry in entries.values()):
        trials, shared = ", ".join(map(str, preset.trial_seeds)), not set(preset.seeds).isdisjoint(preset.trial_seeds)
        named = [setting(entry) for entry in entries.values()]
        tuned = any(len({each.learning_rate for each in entry.trials}) > 1 for entry in entries.values())
        said.append(
            f"Settings ({legend(named)}) were chosen on the validation images, by runs of "
            f"{counted(preset.trial_epochs or preset.epochs, 'epoch')} with seed {trials}"
            f"{', which the table has too' * shared}{'; the learning rate was not' * (not tuned)}.{ends(named)}"
        )
    best = [escape(line(*key)) for key, entry in entries.items() if entry.config.keep == "best"]
    if best:
        said.append(f"{'All rows' if len(best) == len(entries) else ', '.join(best)}: best validation epoch.")
    said += list(dict.fromkeys(f"{entry.study}." for entry in entries.values() if entry.study))
    if any(not run.finished for entry in entries.values() for run in entry.runs):
        said.append(results.FEWER)
    if len(entries) < places:
        said.append(f"{len(entries)} of {places} rows and tasks are trained; the others are left out or dashes.")
    return " ".join(said)


def longer(tasks: Sequence[Task]) -> str:
    """What a caption says of tasks that take more epochs than the preset has; nothing where none does."""
    labels: dict[int, list[str]] = {}
    for task in tasks:
        if task.times > 1:
            labels.setdefault(task.times, []).append(escape(task.label))
    return "".join(
        f" {'; '.join(named)}: {times} times as many epochs, in trials too." for times, named in labels.items()
    )
