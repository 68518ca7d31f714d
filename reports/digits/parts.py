"""Tables and figures of the report on digits against a critic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator

from discrete_vae.config import Config
from discrete_vae.runs import Run
from reports.digits.settings import DIGITS, FEW, Preset
from reports.kit.context import ReportContext
from reports.kit.figures import COLOURS, DASHES, bare, figure, legend_below
from reports.kit.results import Metric, compared, metrics_table
from reports.kit.table import Cell, Number, Section, Table

HEADS = {"inception_score": "score", "label_entropy": "H, image", "marginal_entropy": "H, mean"}
"""Scores of images by a classifier, by the metric."""
WAYS = {"": "drawn", "_argmax": "likeliest"}
SCORES = [
    Metric("test", f"{name}{suffix}", head, way, better=1 if name == "inception_score" else 0)
    for suffix, way in WAYS.items()
    for name, head in HEADS.items()
]
SPLITS = ("train", "validation", "test")
REAL = "test digits"
SAMPLES, CURVES, OVERFITTING = "digits_samples", "digits_scores", "digits_overfitting"
IMAGES = 5, 8
"""Rows and columns of images that a panel shows."""


def name_of(row: Sequence[str]) -> str:
    """A row's name without its data set."""
    return ", ".join(row[1:])


def scores(results: pd.DataFrame, rows: Sequence[tuple[str, ...]], seeds: int) -> Table:
    """Scores of generated digits, with those of the test's own below."""
    named = {", ".join(row): name_of(row) for row in rows if row[0] == DIGITS}
    found = results[results["row"].isin(list(named))].assign(row=results["row"].map(named))
    caption = (
        f"Generated digits, as many as the test has, by a classifier; {compared(seeds)}. Score: Inception score. "
        "H: entropy in nats; of an image, the mean of that of p(class | image); of the mean, that of the mean of "
        "these. Drawn: from the pixels' probabilities. Likeliest: every pixel at its likelier value."
    )
    table = metrics_table("scores", caption, found, list(named.values()), SCORES, seeds)
    own: list[Cell] = [real(results, name) for name in HEADS]
    rows_of = [*table.rows, Section(), [REAL, *own, *own]]
    return Table(table.name, table.caption, table.columns, rows_of)


def real(results: pd.DataFrame, name: str) -> Cell:
    """The classifier's score of the test's digits, which is the same for all runs."""
    found = results[(results["metric"] == f"{name}_real") & results["row"].str.startswith(f"{DIGITS}, ")]
    return Number(float(found.loc[found["split"] == "test", "value"].iloc[0]), None, 2)


def distances(results: pd.DataFrame, rows: Sequence[tuple[str, ...]]) -> Table:
    """The critic's distance on three splits, of 1,000 digits."""
    named = {", ".join(row): name_of(row) for row in rows if row[0] == FEW}
    found = results[results["row"].isin(list(named))].assign(row=results["row"].map(named))
    caption = (
        "The critic's distance between digits and generated ones at the end, trained on 1,000 digits; one seed. Each "
        "critic has a unit of its own: numbers of two rows do not compare."
    )
    metrics = [Metric(split, "wasserstein", better=0) for split in SPLITS]
    return metrics_table("distances", caption, found, list(named.values()), metrics)


def samples(bench: ReportContext, configs: Mapping[tuple[str, ...], Config], runs: Sequence[Run]) -> None:
    """Digits of the test, and drawn ones of the first seed of each row."""
    if bench.drawn([SAMPLES], runs):
        return
    trained = {row: bench.train([config], weights=True)[0] for row, config in configs.items() if row[0] == DIGITS}
    rows, columns = IMAGES
    count = rows * columns
    first = next(iter(trained.values())).config.data
    panels = {REAL: bench.dataset(first).test.pixels[:count].cpu().float()}
    panels |= {
        name_of(row): bench.draw(run, count, "figure") if run.finished else torch.zeros(count, 784)
        for row, run in trained.items()
    }
    with figure(bench.out, SAMPLES, height=1.45) as drawing:
        for axes, (name, images) in zip(drawing.subplots(1, len(panels)), panels.items(), strict=True):
            grid = images.view(rows, columns, 28, 28).transpose(1, 2).reshape(rows * 28, columns * 28)
            axes.imshow(1 - grid.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(name.replace(", ", ",\n"), fontsize=7)
            bare(axes)


def curves(bench: ReportContext, preset: Preset, history: pd.DataFrame, results: pd.DataFrame) -> None:
    """The score of validation draws along training, and the critics' distances of 1,000 digits: two figures."""
    handles = dict[str, Artist]()
    own = history[(history["metric"] == "inception_score") & (history["split"] == "validation")]
    with figure(bench.out, CURVES, height=2.3, width=4.5) as drawing:
        axes = drawing.subplots()
        for i, row in enumerate(row for row in preset.rows() if row[0] == DIGITS):
            mean = own[own["row"] == ", ".join(row)].groupby("epoch")["value"].mean()
            (handles[name_of(row)],) = axes.plot(mean, color=COLOURS[i], linestyle=DASHES[i])
        line = real(results, "inception_score")
        assert isinstance(line, Number)
        handles[REAL] = axes.axhline(line.value, color="0.5", linewidth=0.8, linestyle=DASHES[2])
        axes.set(xlabel="epoch", ylabel="Inception score")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(drawing, handles, 2)
    few, handles = [row for row in preset.rows() if row[0] == FEW], {}
    with figure(bench.out, OVERFITTING, height=2.2, width=5.0) as drawing:
        for axes, row in zip(drawing.subplots(1, len(few)), few, strict=True):
            for i, split in enumerate(("train", "validation")):
                which = (history["row"] == ", ".join(row)) & (history["split"] == split)
                found = history[which & (history["metric"] == "wasserstein")].groupby("epoch")["value"].mean()
                style = {"color": COLOURS[2 * i], "linestyle": DASHES[i]}
                (handles[split],) = axes.plot(found, **style)
            axes.set(xlabel="epoch", ylabel="critic's distance", title=row[-1])
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(drawing, handles)
