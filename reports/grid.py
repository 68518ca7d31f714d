"""Strategies times tasks with a grid of learning rates: what reports of other papers' tables share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from reports.grid_tables import Values, grid_table, markdown, relations_table
from reports.kit.context import ReportContext, strategies
from reports.kit.latex import render
from reports.kit.search import (
    STEPS,
    TEMPERATURE,
    TRIAL_SEED,
    edges,
    rate_axis,
    require_other_seeds,
    seeds_told,
    widened,
)
from reports.kit.tables import by_seed, changes, evaluation_rows


@dataclass(frozen=True, eq=False)
class Row:
    """A strategy, and the options that are tried of it in each cell."""

    label: str
    strategy: str
    options: Sequence[dict[str, Any]] = ({},)
    shared_rate: bool = False
    """Whether the strategy's parameters take the model's learning rate, as a mirror's have to."""


@dataclass(frozen=True, eq=False)
class Cell:
    """A column of the table: a task on some data."""

    label: str
    base: Config
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Options that are set in this column where a row would try others."""

    def configs(self, row: Row, rates: Sequence[float], epochs: int, seed: int) -> list[Config]:
        """The runs of every setting of a row's options at every learning rate."""
        kind = STRATEGIES[row.strategy].Options
        tried = (
            options | {name: value for name, value in self.fixed.items() if name in options} for options in row.options
        )
        return [
            self.base.refitted(
                strategy=row.strategy,
                options=options,
                learning_rate=Schedule(rate),
                auxiliary_learning_rate=Schedule(rate if row.shared_rate else 1e-3),
                epochs=epochs,
                seed=seed,
            )
            for options in dict.fromkeys(kind(**options) for options in tried)
            for rate in rates
        ]


@dataclass(frozen=True)
class Preset:
    """How much of the table is computed."""

    cells: Sequence[Cell]
    rows: Sequence[Row]
    rates: Sequence[float]
    trial_epochs: int
    """Length of the runs that a setting is chosen by."""
    epochs: int
    seeds: tuple[int, ...]
    samples: int
    """Samples an image of the bound on the test images."""
    trial_seed: int = TRIAL_SEED
    """Of the runs that a setting is chosen by; none of ``seeds``."""
    growth: int = STEPS
    """How many values a grid grows by on each side at the most."""

    def __post_init__(self) -> None:
        require_other_seeds([self.trial_seed], self.seeds)

    @property
    def evaluated(self) -> Mapping[str, int]:
        """Samples an image on each split."""
        return {"train": 1, "validation": 1, "test": self.samples}

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return (
            f"{len(self.cells)} tasks, {len(self.rows)} strategies, {len(self.rates)} learning rates chosen after "
            f"{self.trial_epochs} epochs, {self.epochs} epochs, {len(self.seeds)} seed{'s' * (len(self.seeds) > 1)}, "
            f"{self.samples:,} importance samples"
        )


def data_of(preset: Preset) -> list[DataConfig]:
    """The data of a preset's columns."""
    return [cell.base.data for cell in preset.cells]


@dataclass(frozen=True)
class Paper:
    """What a paper's table shows, and its numbers."""

    template: str
    shown: tuple[str, str]
    """Split and metric of its numbers, which it gives with the other sign."""
    published: Mapping[tuple[str, str], float]
    """By row and column."""
    relations: Sequence[tuple[str, str]]
    """Rows that it compares: the worse one first."""


Chosen = Mapping[tuple[str, str], Config]
"""The best setting, by the labels of row and column."""


def tune(preset: Preset, bench: ReportContext) -> tuple[dict[tuple[str, str], list[Run]], list[tuple[str, str, Run]]]:
    """Choose each row's setting in each column by the validation ELBO of trials, and train it in full with every seed.

    Where the best learning rate, or the best of several constant temperatures, lies at the end of its grid, the grid
    grows (``selection.widened``). Gives the runs by row and column, and all trials.
    """
    chosen: dict[tuple[str, str], list[Run]] = {}
    trials: list[tuple[str, str, Run]] = []
    for cell in preset.cells:
        for row in preset.rows:
            train = partial(bench.train, epochs=(preset.trial_epochs,))
            tried = train(cell.configs(row, preset.rates, preset.trial_epochs, preset.trial_seed))
            tried = widened(tried, train, validation, [rate_axis(row.shared_rate), TEMPERATURE], preset.growth)
            trials += [(row.label, cell.label, run) for run in tried]
            best = max(tried, key=validation)
            finals = [dataclasses.replace(best.config, epochs=preset.epochs, seed=seed) for seed in preset.seeds]
            chosen[row.label, cell.label] = (
                bench.train(finals, samples=preset.evaluated) if best.failure is None else [best]
            )
    return chosen, trials


def validation(run: Run) -> float:
    """The last validation ELBO; minus infinity for a run that failed."""
    if run.failure is not None:
        return float("-inf")
    history = run.history()
    found = history[(history["split"] == "validation") & (history["metric"] == "elbo")]
    return float(found["value"].iloc[-1])


def make(preset: Preset, bench: ReportContext, paper: Paper) -> None:
    """Train and evaluate what is missing, then write the table with the paper's numbers beside it, and the document."""
    chosen, trials = tune(preset, bench)
    samples = preset.evaluated
    final = [run for runs in chosen.values() for run in runs]
    results = pd.concat(
        [
            evaluation_rows(bench.report, f"{row}, {cell}", run, samples)
            for (row, cell), runs in chosen.items()
            for run in runs
        ],
        ignore_index=True,
    )
    tried = tuning([(f"{row}, {cell}", run) for row, cell, run in trials])
    bench.write_results(results)
    bench.write_results(tried, "tuning.csv")
    bench.write_provenance([*(run for _, _, run in trials), *final], samples=samples, epochs=preset.epochs)
    words(preset, bench, paper, results, tried, {key: runs[0].config for key, runs in chosen.items()})


def words(
    preset: Preset, bench: ReportContext, paper: Paper, results: pd.DataFrame, tried: pd.DataFrame, chosen: Chosen
) -> None:
    """Write tables and document from what was measured."""
    values = shown(preset, results, paper)
    parts = {
        f"{bench.report}_table.tex": grid_table(preset, values, chosen, paper, bench.report),
        f"{bench.report}_relations.tex": relations_table(preset, values, paper, f"{bench.report}-relations"),
    }
    for name, part in parts.items():
        bench.write(name, part)
    bench.write(f"{bench.report}.md", markdown(preset, values, paper))
    rates = sorted({Schedule.parse(json.loads(text)["learning_rate"]).initial for text in tried["parameters"]})
    data = sorted({f"{cell.base.data.dataset}, {cell.base.data.binarisation}" for cell in preset.cells})
    source = render(
        paper.template,
        epochs=preset.epochs,
        trial_epochs=preset.trial_epochs,
        seeds=len(preset.seeds),
        rates=", ".join(f"{rate:g}" for rate in rates),
        data="; ".join(data),
        samples=f"{preset.samples:,}",
        vimco=any(row.strategy == "vimco" for row in preset.rows),
        choice=choice(preset, results, tried),
        order=order(preset, values),
        collapsed=collapsed(preset, results),
    )
    bench.write_document(source, list(parts), strategies(chosen.values()))


def choice(preset: Preset, results: pd.DataFrame, tried: pd.DataFrame) -> str:
    """What was tried of whom, with which seeds, and which choices lie at the end of a grid."""
    temperatures = {
        row: {json.loads(text)["options"].get("temperature") for text in trials["parameters"]}
        for row, trials in tried.groupby("row", sort=False)
    }
    names = [str(row) for row, known in temperatures.items() if len(known) > 1]
    several = (
        "Several temperatures were tried of every row."
        if len(names) == len(temperatures)
        else f"Several temperatures or schedules of it were tried of {'; '.join(names)} only."
        if names
        else "One temperature was tried of each row."
    )
    lengths = sorted({json.loads(text)["epochs"] for text in tried["parameters"]})
    length = f"Settings were chosen after {', '.join(map(str, lengths))} of {preset.epochs} epochs."
    return " ".join(filter(None, [length, several, seeds_told(tried, results), edges(tried, results)]))


def order(preset: Preset, values: Values) -> str:
    """The rows of each column from the best to the worst, and how far that can be trusted."""
    told = []
    for cell in preset.cells:
        means = {
            row.label: statistics.interval(list(found.values())).mean
            for row in preset.rows
            if (found := values[row.label, cell.label])
        }
        told.append(f"{cell.label}: {'; '.join(sorted(means, key=lambda label: means[label]))}.")
    trust = (
        "no order is tested, with one seed"
        if len(preset.seeds) == 1
        else f"an order of means over {len(preset.seeds)} seeds, tested only where a number is bold"
    )
    return f"From the best to the worst ({trust}). {' '.join(told)}"


COLLAPSED = 1.0
"""Nats: with a KL below this a code of a VAE says nothing of its image."""


def collapsed(preset: Preset, results: pd.DataFrame) -> str:
    """Which VAEs' codes say nothing, so that their rows do not measure an estimator; empty for none."""
    found = []
    for cell in preset.cells:
        for row in preset.rows if cell.base.task == "vae" else ():
            values = by_seed(results, f"{row.label}, {cell.label}", "test", "kl")
            mean = statistics.interval(list(values.values())).mean if values else COLLAPSED
            found += [f"{row.label}, {cell.label} (KL {mean:.2f} nats)"] if mean < COLLAPSED else []
    return f"Collapsed, so that the row does not say how good its estimator is: {'; '.join(found)}." if found else ""


def shown(preset: Preset, results: pd.DataFrame, paper: Paper) -> Values:
    """What the table shows, of tidy results."""
    return {
        (row.label, cell.label): {
            seed: -value for seed, value in by_seed(results, f"{row.label}, {cell.label}", *paper.shown).items()
        }
        for cell in preset.cells
        for row in preset.rows
    }


def tuning(trials: Sequence[tuple[str, Run]]) -> pd.DataFrame:
    """The trials' validation ELBOs by row, as tidy rows; none for a run that failed."""
    return pd.DataFrame(
        {
            "row": row,
            "strategy": run.config.strategy,
            "parameters": changes(run.config),
            "seed": run.config.seed,
            "split": "validation",
            "metric": "elbo",
            "value": None if run.failure is not None else validation(run),
            "run": run.config.name,
            "epoch": run.config.epochs,
        }
        for row, run in trials
    )
