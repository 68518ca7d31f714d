"""The generated part of a comparison's captions: its settings, its seeds, how settings were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from discrete_vae.tuning import METRICS
from reports.kit import results
from reports.kit.declared import Preset, Task, counted
from reports.kit.prose import escape
from reports.kit.results import Metric, compared, line
from reports.kit.setting import ends, legend, lengths, setting
from reports.kit.table import Cell
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


def told(preset: Preset, entries: Entries, metrics: Sequence[Metric], chosen_by: str, within: str = "") -> str:
    """What a table's caption says of lengths, samples, seeds, bold numbers and choices."""
    rows, spread = len({row for row, _ in entries}), any(metric.spread for metric in metrics)
    seeds = compared(len(preset.seeds), rows, spread, within)
    said = [f"{'; '.join([length(preset, entries), *samples(preset, entries, metrics), seeds])}."]
    shown = [setting(entry) for entry in entries.values()]
    if any(entry.trials for entry in entries.values()):
        said.append(f"Settings ({legend(shown)}) were chosen {choice(preset, entries, chosen_by)}.{ends(shown)}")
    elif words := legend(shown):
        said.append(f"Settings: {words}.")
    best = {key: entry for key, entry in entries.items() if entry.config.keep == "best"}
    if best:
        said.append(f"{'All rows' if len(best) == len(entries) else named(best)}: best validation epoch.")
    said += list(dict.fromkeys(f"{entry.study}." for entry in entries.values() if entry.study))
    return " ".join(said)


def named(entries: Entries) -> str:
    """Rows by their names, which hold commas."""
    return "; ".join(escape(line(*key)) for key in entries)


def length(preset: Preset, entries: Entries) -> str:
    """``50 epochs``; which rows have a length of their own, or at most this because they have patience."""
    own = {key: entry for key, entry in entries.items() if entry.row.lengths}
    patient: dict[str, dict[tuple[str, str], Entry]] = {}
    for key, entry in entries.items():
        if waits := entry.config.patience:
            score, span = label(entry.config.score_metric), counted(waits, "epoch")
            until = f"until the validation {score} has not risen for {span}"
            patient.setdefault(until, {})[key] = entry
    notes = [f"{named({key: entry})}: {counted(entry.config.epochs, 'epoch')}" for key, entry in own.items()]
    if len(own) == len(entries):
        return "; ".join(notes)
    if len(patient) == 1 and len(next(iter(patient.values()))) == len(entries):
        return "; ".join([f"At most {counted(preset.epochs, 'epoch')}, {next(iter(patient))}", *notes])
    notes += [f"{named(rows)}: at most, {until}" for until, rows in patient.items()]
    return counted(preset.epochs, "epoch") + (f" ({'; '.join(notes)})" if notes else "")


def samples(preset: Preset, entries: Entries, metrics: Sequence[Metric]) -> list[str]:
    """Samples an image; nothing where the data are points or strings."""
    if any(entry.config.data.judge for entry in entries.values()):
        return []
    if any(metric.split == "test" for metric in metrics):
        return [f"{counted(preset.samples, 'sample')} an image of the test images"]
    return ["one sample an image"]


def choice(preset: Preset, entries: Entries, metric: str) -> str:
    """How settings were chosen: ``by the validation ELBO of runs of 5 epochs with seed 100``."""
    tried = {key: entry for key, entry in entries.items() if entry.trials}
    usual = {key: entry for key, entry in tried.items() if not entry.row.lengths}
    own = [f"{named({key: entry})}: {lengths(entry)}" for key, entry in tried.items() if entry.row.lengths]
    most = "at most " * any(entry.config.patience for entry in usual.values())
    runs = f" of {most}{counted(preset.trial_epochs or preset.epochs, 'epoch')}" * bool(usual)
    shared = [seed for seed in preset.trial_seeds if seed in preset.seeds]
    notes = f" ({'; '.join(own)})" if own else ""
    told = f"by the validation {label(metric)} of runs{runs}{notes} with {_seeds(preset.trial_seeds)}"
    if shared:
        whole = len(shared) == len(preset.trial_seeds)
        told += f", {'which' if whole else f'of which {_seeds(shared)}'} the table has too"
    fixed = {key: entry for key, entry in tried.items() if len({each.learning_rate for each in entry.trials}) == 1}
    if len(fixed) == len(tried):
        return f"{told}; the learning rate was not"
    return told + (f"; the learning rate not of {named(fixed)}" if fixed else "")


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def label(metric: str) -> str:
    """A metric's name in words."""
    return METRICS[metric].label if metric in METRICS else metric.replace("_", " ")


def longer(tasks: Sequence[Task], entries: Entries) -> str:
    """What a caption says of tasks that take more epochs than the preset has; nothing where none does."""
    labels: dict[int, list[str]] = {}
    for task in tasks:
        if task.times > 1 and any(key[1] == task.label for key in entries):
            labels.setdefault(task.times, []).append(escape(task.label))
    trials = ", in trials too" * any(entry.trials for entry in entries.values())
    return "".join(f" {'; '.join(own)}: {times} times as many epochs{trials}." for times, own in labels.items())
