"""Where decoded moves pay: Gauss-Newton local expectation on the ReinMax paper's grid, at equal time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.kit.context import ReportContext, strategies
from reports.kit.declared import Task, counted
from reports.kit.report import Report
from reports.kit.results import Metric, by_name, line
from reports.kit.table import DASH, Cell, Column, Number, Table
from reports.kit.tidy import evaluation_rows
from reports.reinmax import BUNDLED, GRAYSCALE

STRATEGY = "gauss-newton-local-expectation"
STEPS: Mapping[str, Sequence[tuple[str, int, float]]] = {
    "8x4": [("none", 0, 1), ("8", 8, 1.99), ("all", 28, 5.55)],
    "4x24": [("none", 0, 1), ("8", 8, 1.96), ("32", 32, 6.53), ("all", 72, 12.37)],
    "8x16": [("none", 0, 1), ("8", 8, 2.04), ("32", 32, 5.11), ("all", 112, 20.55)],
    "16x12": [("none", 0, 1), ("8", 8, 1.93), ("32", 32, 4.67), ("all", 180, 31.45)],
    "64x8": [("none", 0, 1), ("8", 8, 1.87), ("32", 32, 4.16), ("all", 504, 70.96)],
    "10x30": [("none", 0, 1), ("8", 8, 1.92), ("32", 32, 4.26), ("all", 270, 42.06)],
}
"""By size: the moves that are decoded, and the time of a step beside that of none, on one thread of an idle Intel Xeon
with AVX-512 (median of 5 to 12 steps)."""
RATE = Schedule(5e-4)
"""The paper's learning rate at most sizes."""


@dataclass(frozen=True)
class Preset:
    """How much is computed."""

    epochs: int
    """Of the runs without decoded moves; the others have as many as take the same time, if that is one at least."""
    tasks: Sequence[Task]
    seed: int = 0

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{counted(self.epochs, 'epoch')} without decoded moves and as long with some, {len(self.tasks)} sizes"

    def runs(self) -> dict[tuple[str, str], Config]:
        """By size and moves."""
        found = {}
        for task in self.tasks:
            for head, moves, cost in STEPS[task.label]:
                if epochs := round(self.epochs / cost):
                    options = STRATEGIES[STRATEGY].Options(moves=moves)
                    fields = {"epochs": epochs, "seed": self.seed, "learning_rate": RATE}
                    found[task.label, head] = task.base.refitted(strategy=STRATEGY, options=options, **fields)
        return found


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and evaluate what is missing, then write numbers, the table and the documents."""
    wanted, samples = preset.runs(), {"train": 1, "validation": 1}
    runs = bench.train(list(wanted.values()), samples=samples)
    named = {line(head, size): run for (size, head), run in zip(wanted, runs, strict=True)}
    results = pd.concat([evaluation_rows(bench.report, *each, samples) for each in named.items()], ignore_index=True)
    bench.write_results(results)
    bench.write_provenance(runs, samples=samples, epochs=preset.epochs)
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
        "Validation ELBO in nats, one seed, for runs that take the same time on a processor; bold: the size's best. "
        f"Sizes: categories x variables; moves of a sample: N (K - 1). Learning rate {RATE}."
    )
    return Table("results", caption, columns, body)


PRESETS = {
    "quick": Preset(2, [BUNDLED["8x4"]]),
    "laptop": Preset(24, list(GRAYSCALE.values())),
}
SUMMARY = "Gauss-Newton local expectation: which moves to decode, by the number of variables and categories"
REPORT = Report(
    "moves",
    SUMMARY,
    PRESETS,
    make,
    data=lambda preset: [task.base.data for task in preset.tasks],
    plan=lambda preset: list(preset.runs().values()),
)
