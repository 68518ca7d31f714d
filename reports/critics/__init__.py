"""Critics under a gradient penalty and under weight clipping, after sections 3 and 4 of Gulrajani et al. (2017)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.runs import Run
from reports.critics import figures, tables
from reports.critics.measures import measured
from reports.critics.settings import PRESETS, Preset
from reports.kit.context import ReportContext, strategies
from reports.kit.report import Report
from reports.kit.results import by_name
from reports.kit.tidy import evaluation_rows

TITLE = "Critics with a gradient penalty and with clipped weights"
PAPERS = "Gulrajani et al. 2017; Arjovsky et al. 2017"
EVALUATED = {"generator": {"test": 1}, "images": dict.fromkeys(tables.SPLITS, 1)}
"""Samples a split, by the first part of a row's name."""
CURVED, CURVES = "images", [(split, "wasserstein") for split in ("train", "validation")]
"""The first part of the names of rows that are drawn by epoch, and what of them is."""


def train(preset: Preset, row: tuple[str, ...], bench: ReportContext) -> list[Run]:
    """A row's runs, with the distances by epoch if it is drawn."""
    return bench.train(
        preset.rows()[row],
        samples=EVALUATED.get(row[0], {}),
        whole=True,
        epochs=range(1, preset.images.epochs + 1) if row[0] == CURVED else (),
        metrics=CURVES,
    )


def make(preset: Preset, bench: ReportContext) -> None:
    """Train, evaluate and measure what is missing, then write tables, figures and the documents."""
    runs = {row: train(preset, row, bench) for row in preset.rows()}
    every, frames, histories = [run for group in runs.values() for run in group], [], []
    for row, group in runs.items():
        for run in group:
            frames.append(evaluation_rows(bench.report, ", ".join(row), run, EVALUATED.get(row[0], {})))
            frames.append(measured(bench, row, run))
            if row[0] == CURVED:
                found = run.history().query("metric == 'wasserstein'")
                histories.append(found.assign(row=", ".join(row[1:]), seed=run.config.seed, run=run.config.name))
    results = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    bench.write_results(results)
    history = pd.concat(histories, ignore_index=True)
    bench.write_results(history, "curves.csv")
    bench.write_provenance(every, constraints=list(preset.constraints), clips=list(preset.clips))
    if not bench.drawn(figures.OF_WEIGHTS, every):
        figures.draw(bench, {row: group[0].config for row, group in runs.items()}, results)
    figures.curves(bench, history)
    parts = {name: getattr(preset, name) for name in ("critics", "generators", "deep", "images")}
    parts |= {name: getattr(preset, name) for name in ("penalty", "generated")}
    values = {"preset": bench.preset, "bound": preset.clips[0], **parts}
    values |= by_name(results, list(results["row"].unique()))
    text, cited = Path(__file__).with_name("text.md"), strategies(run.config for run in every)
    bench.write_text(
        TITLE, text, tables.tables(results), values, [*figures.OF_WEIGHTS, "critics_curves"], cited, PAPERS
    )


REPORT = Report(
    "critics",
    "critics by gradient penalty and by weight clipping, after Gulrajani et al. 2017",
    PRESETS,
    make,
    plan=lambda preset: [config for configs in preset.rows().values() for config in configs],
    parts=lambda preset: {", ".join(row): partial(train, preset, row) for row in preset.rows()},
)
