"""Generators of binarised MNIST against a critic, and critics that over-fit 1,000 of its digits."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.runs import Run
from reports.critics.settings import CLIPPING
from reports.digits import parts
from reports.digits.settings import CRITICS, DIGITS, FEW, PRESETS, Preset
from reports.kit.context import ReportContext, strategies
from reports.kit.report import Report
from reports.kit.results import by_name
from reports.kit.tidy import evaluation_rows, history_rows

TITLE = "Digits against a critic"
PAPERS = "Gulrajani et al. 2017; Arjovsky et al. 2017; Salimans et al. 2016"
EVALUATED = {DIGITS: {"test": 1}, FEW: dict.fromkeys(parts.SPLITS, 1)}
"""Samples a split, by the data; a split is judged with as many as it has."""
CURVES = {"wasserstein": ("train", "validation"), "inception_score": ("validation",)}
"""Metrics that are shown by epoch, with their splits."""


def train(preset: Preset, row: tuple[str, ...], bench: ReportContext) -> list[Run]:
    """A row's runs."""
    shown, configs = [(split, metric) for metric, splits in CURVES.items() for split in splits], preset.rows()[row]
    return bench.train(configs, samples=EVALUATED[row[0]], whole=True, epochs=preset.part(row).shown, metrics=shown)


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and score what is missing, then write tables, figures and the documents."""
    plan = preset.rows()
    runs = {row: train(preset, row, bench) for row in plan}
    results, histories = [], []
    for row, group in runs.items():
        shown = preset.part(row).shown
        for run in group:
            results.append(evaluation_rows(bench.report, ", ".join(row), run, EVALUATED[row[0]]))
            for split in ("train", "validation"):
                found = history_rows(", ".join(row), run, CURVES, split)
                histories.append(found[found["epoch"].isin(shown)])
    table = pd.concat(results, ignore_index=True)
    history = pd.concat([each for each in histories if len(each)], ignore_index=True)
    every = [run for group in runs.values() for run in group]
    bench.write_results(table)
    bench.write_results(history, "curves.csv")
    bench.write_provenance(every, samples={"test": "as many images as the split has"})
    parts.samples(bench, {row: configs[0] for row, configs in plan.items()}, every)
    parts.curves(bench, preset, history, table)
    first = next(iter(runs.values()))[0]
    few = next(group[0] for row, group in runs.items() if row[0] == FEW)
    values = {
        "preset": bench.preset,
        "digits": preset.digits,
        "few": preset.few,
        "updates": f"{first.total_steps:,}",
        "few_updates": f"{few.total_steps:,}",
        "steps": few.steps_per_epoch,
        "style": first.config.architecture.style,
        "clip": CRITICS[CLIPPING].weight_clip,
    }
    tables = [parts.scores(table, list(plan), len(preset.digits.seeds)), parts.distances(table, list(plan))]
    figures = [parts.SAMPLES, parts.CURVES, parts.OVERFITTING]
    text, cited = Path(__file__).with_name("text.md"), strategies(run.config for run in every)
    names = [", ".join(row) for row in plan]
    bench.write_text(TITLE, text, tables, values | by_name(table, names), figures, cited, PAPERS)


REPORT = Report(
    "digits",
    "digits against a critic by a classifier's scores, and critics that over-fit, after Gulrajani et al. 2017",
    PRESETS,
    make,
    plan=lambda preset: [config for configs in preset.rows().values() for config in configs],
    parts=lambda preset: {", ".join(row): partial(train, preset, row) for row in preset.rows()},
)
