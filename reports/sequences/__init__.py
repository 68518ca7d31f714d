"""Generators of strings against a critic, by what passes the gradient through the symbols, beside n-gram models."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture, CriticConfig
from reports.kit.context import Part, ReportContext, strategies
from reports.kit.declared import Row, Task, lasting, settings
from reports.kit.report import Report
from reports.kit.results import by_name, line
from reports.kit.tidy import evaluation_rows
from reports.sequences import parts

TITLE = "Strings of symbols against a critic"
PAPERS = "Gulrajani et al. 2017"
ROWS = (
    Row("softmax", "softmax"),
    Row("Gumbel-Softmax", "gumbel-softmax", [{"temperature": Schedule(0.5)}]),
    Row("ST-Gumbel-Softmax", "straight-through-gumbel-softmax", [{"temperature": Schedule(1.0)}]),
    Row("ReinMax", "reinmax"),
    Row("score function", "score-function"),
)
"""What passes the gradient through the symbols."""
BASE = Config(
    architecture=Architecture(hidden=(256, 256), activation="relu"),
    batch_size=64,
    learning_rate=Schedule(1e-3),
    task="generator",
    data=DataConfig("expressions"),
    optimiser="adam-0-0.9",
    criticism=CriticConfig(critic_learning_rate=1e-3),
)
PAPER = dataclasses.replace(
    BASE,
    architecture=Architecture(hidden=(512, 512, 512), activation="relu", style=128),
    learning_rate=Schedule(1e-4),
    criticism=CriticConfig(),
)
"""The paper's rates, and wider networks."""


def preset(epochs: int, seeds: int, base: Config, *datasets: str) -> parts.StringsPreset:
    """All rows on some data sets; a split is scored with as many strings as it has."""
    data = {name: dataclasses.replace(base, data=DataConfig(name)) for name in datasets}  # type: ignore[arg-type]
    tasks = [Task(name, each) for name, each in data.items()]
    return parts.StringsPreset(epochs, tuple(range(seeds)), samples=1, rows=ROWS, tasks=tasks, splits=("test",))


def planned(preset: parts.StringsPreset) -> dict[str, list[Config]]:
    """The runs by row and data set."""
    return {
        line(row.label, task.label): lasting(settings(row, task, preset)[0], preset.epochs_on(task.label), preset.seeds)
        for task in preset.tasks
        for row in preset.rows
    }


def train(preset: parts.StringsPreset, row: str, bench: ReportContext) -> list[Run]:
    """The runs of a row on a data set."""
    return bench.train(planned(preset)[row], samples=preset.evaluated, whole=True)


def rows(preset: parts.StringsPreset) -> dict[str, Part]:
    """What trains each row on each data set."""
    return {row: partial(train, preset, row) for row in planned(preset)}


def make(preset: parts.StringsPreset, bench: ReportContext) -> None:
    """Train and score what is missing, then write tables, figures and the documents."""
    write(preset, bench, TITLE, Path(__file__).with_name("text.md"))


def write(preset: parts.StringsPreset, bench: ReportContext, title: str, text: Path) -> None:
    """A report on some data sets, with a text of its own."""
    runs = {row: train(preset, row, bench) for row in planned(preset)}
    frames = [
        evaluation_rows(bench.report, name, run, preset.evaluated) for name, group in runs.items() for run in group
    ]
    datasets, labels = [task.label for task in preset.tasks], [row.label for row in preset.rows]
    frames += [parts.reference(dataset, preset.seeds, bench) for dataset in datasets]
    results = pd.concat(frames, ignore_index=True)
    bench.write_results(results)
    figures = parts.draw(preset, bench, runs)
    final = [run for group in runs.values() for run in group]
    epochs = dict(preset.passes) or preset.epochs
    bench.write_provenance(final, epochs=epochs, samples={"test": "as many strings as the split has"})
    tables = [parts.scores(dataset, labels, results, preset) for dataset in datasets]
    tables.append(parts.examples(bench, {name: group[0] for name, group in runs.items()}))
    base = final[0].config
    values = {
        "preset": bench.preset,
        "datasets": datasets,
        "epochs": preset.epochs,
        "seeds": len(preset.seeds),
        "updates": f"{final[0].total_steps:,}",
        "base": base,
        "hidden": "-".join(map(str, base.architecture.hidden)),
        "welch": parts.held_against(results, labels),
    }
    values["steps"] = {run.config.data.dataset: f"{run.total_steps:,}" for run in final}
    values["passes"] = {name: preset.epochs_on(name) for name in datasets}
    names = [line(row, dataset) for dataset in datasets for row in (*labels, *parts.MODELS, parts.REAL)]
    cited = strategies(run.config for run in final)
    bench.write_text(title, text, tables, values | by_name(results, names), figures, cited, PAPERS)


PRESETS = {
    "quick": preset(6, 3, BASE, "expressions"),
    "laptop": preset(40, 3, BASE, "expressions", "molecules"),
    "full": preset(640, 5, PAPER, "expressions", "molecules"),
}
REPORT = Report(
    "sequences",
    "strings of symbols by generators against a critic, beside n-gram models",
    PRESETS,
    make,
    plan=lambda preset: [config for configs in planned(preset).values() for config in configs],
    parts=rows,
)
