"""Where decoded moves pay: Gauss-Newton local expectation on the ReinMax paper's grid, at equal time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.kit.context import ReportContext, strategies
from reports.kit.declared import Task, counted
from reports.kit.report import Report
from reports.kit.results import Metric, by_name, line
from reports.kit.table import DASH, Cell, Column, Number, Table
from reports.kit.tidy import evaluation_rows
from reports.moves.steps import STRATEGY, stored
from reports.reinmax import BUNDLED, GRAYSCALE

RATE = Schedule(5e-4)
"""The paper's learning rate at most sizes."""


@dataclass(frozen=True)
class Preset:
    """How much is computed."""

    epochs: int
    """Of the runs without decoded moves; the others have as many as take the same time, rounded, if not to none."""
    tasks: Sequence[Task]
    seed: int = 0

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{counted(self.epochs, 'epoch')} without decoded moves and as long with some, {len(self.tasks)} sizes"

    def runs(self) -> dict[tuple[str, str], Config]:
        """By size and moves."""
        found, steps = {}, stored()
        for task in self.tasks:
            for step in steps[task.label]:
                if epochs := round(self.epochs / step.ratio):
                    options = STRATEGIES[STRATEGY].Options(moves=step.moves)
                    fields = {"epochs": epochs, "seed": self.seed, "learning_rate": RATE}
                    found[task.label, step.name] = task.base.refitted(strategy=STRATEGY, options=options, **fields)
        return found


SAMPLES = {"train": 1, "validation": 1}


def train(configs: Sequence[Config], bench: ReportContext) -> list[Run]:
    """Train and evaluate what is missing."""
    return bench.train(configs, samples=SAMPLES, whole=True)


def make(preset: Preset, bench: ReportContext) -> None:
    """Train what is missing, then write numbers, the table and the documents."""
    wanted = preset.runs()
    runs = train(list(wanted.values()), bench)
    named = {line(head, size): run for (size, head), run in zip(wanted, runs, strict=True)}
    results = pd.concat([evaluation_rows(bench.report, *each, SAMPLES) for each in named.items()], ignore_index=True)
    bench.write_results(results)
    bench.write_provenance(runs, samples=SAMPLES, epochs=preset.epochs)
    values = {"preset": bench.preset, "settings": preset} | by_name(results, list(named))
    text, cited = Path(__file__).with_name("text.md"), strategies(wanted.values())
    bench.write_text("Which moves to decode", text, [table(preset, results)], values, [], cited, "Liu et al. 2023")


def table(preset: Preset, results: pd.DataFrame) -> Table:
    """Validation ELBO and epochs, a size a line, in columns by moves."""
    runs, heads = preset.runs(), ("none", "8", "32", "all")
    metric, body = Metric("validation", "elbo"), []
    for size in dict.fromkeys(size for size, _ in runs):
        values = {head: metric.of(results, line(head, size)) for head in heads}
        best = max((next(iter(each.values())) for each in values.values() if each), default=None)
        cells: list[Cell] = [size]
        for head, own in values.items():
            found = next(iter(own.values()), None)
            cells += (
                [DASH, DASH]
                if found is None
                else [Number(found, bold=found == best), Number(runs[size, head].epochs, digits=0)]
            )
        body.append(cells)
    columns = [Column("", text=True)]
    columns += [Column(each, f"{head} decoded") for head in heads for each in ("ELBO", "epochs")]
    caption = (
        "Validation ELBO in nats, one seed, for runs that take about the same time on a CPU; bold: the size's best. "
        f"Sizes: categories x variables; moves of a sample: N (K - 1). Learning rate {RATE}."
    )
    return Table("results", caption, columns, body)


PRESETS = {
    "quick": Preset(2, [BUNDLED["8x4"]]),
    "laptop": Preset(16, list(GRAYSCALE.values())),
}
SUMMARY = "Gauss-Newton local expectation: which moves to decode, by the number of variables and categories"
REPORT = Report(
    "moves",
    SUMMARY,
    PRESETS,
    make,
    data=lambda preset: [task.base.data for task in preset.tasks],
    plan=lambda preset: list(preset.runs().values()),
    parts=lambda preset: {line(head, size): partial(train, [run]) for (size, head), run in preset.runs().items()},
)
