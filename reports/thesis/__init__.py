"""Table 5.1 of F. Nitta's bachelor thesis (2017) and its figures, measured again and scored on hard samples too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.evaluation.statistics import interval
from discrete_vae.runs import Run
from reports.kit.context import Part, ReportContext, strategies
from reports.kit.figures import symbols
from reports.kit.histories import learning_curves
from reports.kit.images import heat_map, reconstructions
from reports.kit.names import network
from reports.kit.prose import Prose
from reports.kit.report import Report
from reports.kit.results import Metric, by_name, cells, compared
from reports.kit.table import DASH, Cell, Column, Number, Section, Table
from reports.kit.tidy import COLUMNS, evaluation_rows
from reports.thesis import figures, settings
from reports.thesis.settings import PRINTED, TARGET_PROPAGATION, THESIS_EPOCHS, Line, Preset

RELAXED, HARD = (
    [Metric(split, f"reconstruction_{kind}", head, f"{kind} samples") for split, head in settings.SPLITS.items()]
    for kind in ("relaxed", "hard")
)
RECONSTRUCTION = [*RELAXED, *HARD]
KL, ELBO = Metric("validation", "kl", "KL", "validation", better=0), Metric("validation", "elbo", "ELBO", "validation")
BOUNDS = [KL, ELBO, Metric("test", "elbo", "ELBO", "test"), Metric("test", "log_likelihood", "IW bound", "test")]
SHORT = {"train": 1, "validation": 1}
"""Samples a split for the sensitivity to open settings."""
DRAWN = {"elbo": "validation ELBO", "reconstruction_hard": "validation reconstruction, hard samples"}


def train_table(preset: Preset, bench: ReportContext) -> list[Run]:
    """The runs of the thesis' table."""
    configs = [config for group in preset.table.values() for config in group]
    return bench.train(configs, samples=preset.evaluated, whole=True)


def train_sensitivity(preset: Preset, bench: ReportContext) -> list[Run]:
    """The runs that show what the thesis' open settings do."""
    return bench.train([line.config for line in preset.sensitivity], samples=SHORT, whole=True)


def parts(preset: Preset) -> dict[str, Part]:
    """What trains each table."""
    return {"table": partial(train_table, preset), "sensitivity": partial(train_sensitivity, preset)}


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and evaluate what is missing, then write tables, figures and documents."""
    lines, found = preset.sensitivity, train_table(preset, bench) + train_sensitivity(preset, bench)
    runs = {run.config: run for run in found}
    rows = {row: [runs[config] for config in group] for row, group in preset.table.items()}
    frames = [evaluation_rows(bench.report, row, run, preset.evaluated) for row in rows for run in rows[row]]
    frames += [evaluation_rows(bench.report, line.name, runs[line.config], SHORT) for line in lines]
    results = pd.concat([printed(rows), *frames], ignore_index=True)
    bench.write_results(results)
    drawn = [*learning_curves(bench, rows, DRAWN), *pictures(bench, rows)]
    bench.write_provenance(found, samples=preset.evaluated, epochs=preset.epochs)
    note = told(preset.epochs, dict.fromkeys(run for run in found if not run.finished))
    values = {
        "preset": bench.preset,
        "epochs": preset.epochs,
        "seeds": len(preset.seeds),
        "seed": preset.seeds[0],
        "network": network(preset.base.architecture),
        "batch": preset.base.batch_size,
        "rate": preset.base.learning_rate,
        "note": Prose(note),
        "figures": drawn,
        "digit": int(bench.dataset(preset.base.data).test.labels[0]),
        "example": ", ".join(f"{each:g}" for each in figures.EXAMPLE),
        "reading": symbols(settings.THESIS_TARGET_PROPAGATION.label),
        "learned": symbols(settings.LEARNED_INVERSE_READING.label),
        "printed": lambda row, split="validation": Number(PRINTED[row][split]),
        "from_print": lambda row, name: from_print(results, row, name),
    }
    values |= by_name(results, [*rows, *(line.name for line in lines)])
    tables = [*table_5_1(results, list(rows), preset, note), sensitivity(results, lines)]
    text = Path(__file__).with_name("text.md")
    title = "Training a VAE with a discrete latent space: Table 5.1, measured again"
    bench.write_text(title, text, tables, values, drawn, strategies(run.config for run in found))


def printed(rows: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """The thesis' numbers as tidy rows; it does not say on which samples, so their metric is ``reconstruction``."""
    found = [
        (f"{row} (thesis, printed)", rows[row][0].config.strategy, settings.SOURCE, split, "reconstruction", value)
        for row, values in PRINTED.items()
        for split, value in values.items()
    ]
    columns = ["row", "strategy", "parameters", "split", "metric", "value"]
    return pd.DataFrame(found, columns=columns).reindex(columns=COLUMNS)


def pictures(bench: ReportContext, rows: Mapping[str, Sequence[Run]]) -> list[str]:
    """Figures 5.1 and 5.2, of the first seed's weights, as far as its runs finished; and 4.6 and 2.3."""
    first = {row: rows[row][0] for row in sorted(rows, key=lambda row: row != TARGET_PROPAGATION)}  # as in the thesis
    first = {row: run for row, run in first.items() if run.finished}
    names = ["figure_5_1"] * (TARGET_PROPAGATION in first) + ["figure_5_2"] * bool(first)
    if not bench.drawn(names, first.values()):
        again = bench.train([run.config for run in first.values()], weights=True)
        first, data = dict(zip(first, again, strict=True)), bench.dataset(again[0].config.data)
        reconstructions(bench.out, first, data, "figure_5_2")
        if TARGET_PROPAGATION in first:
            heat_map(bench.out, first[TARGET_PROPAGATION], data, "figure_5_1")
    figures.temperatures(bench.out)
    figures.sigmoid(bench.out)
    return [*names, "figure_4_6", "figure_2_3"]


def told(epochs: int, failed: Iterable[Run]) -> str:
    """How long was trained, that the thesis trained longer where it did, and what is missing."""
    length = f"Trained for {epochs} epoch{'s' * (epochs != 1)}"
    short = f"**{length} only**, where the thesis trained for {THESIS_EPOCHS}: not comparable with its numbers."
    said = f"{length}, as in the thesis." if epochs == THESIS_EPOCHS else short
    names = ", ".join(f"{run.config.name} (seed {run.config.seed})" for run in failed)
    return f"{said} Left out, for a loss that was not finite: {names}." if names else said


def numbers(results: pd.DataFrame, rows: Sequence[str], metrics: Sequence[Metric]) -> dict[str, list[Cell]]:
    """The cells of rows."""
    columns = [cells(results, rows, metric) for metric in metrics]
    return {row: [column[row] for column in columns] for row in rows}


def table_5_1(results: pd.DataFrame, rows: Sequence[str], preset: Preset, note: str) -> list[Table]:
    """The thesis' numbers beside ours, and the bounds of the same models."""
    shown = compared(len(preset.seeds))
    heads = [Column("", text=True), *(Column(head, "printed") for head in settings.SPLITS.values())]
    prints = {row: [Number(each) for each in values.values()] for row, values in PRINTED.items()}
    found = numbers(results, rows, RECONSTRUCTION)
    body = [[symbols(row), *prints.get(row, [DASH] * 2), *found[row]] for row in rows]
    caption = (
        "Table 5.1 of the thesis, measured again: reconstruction log-likelihoods in nats an image, higher is better. "
        f"{note} Shown: {shown}. Relaxed samples: what Gumbel-Softmax trains with; a dash where a strategy trains with "
        "hard samples."
    )
    table = Table("table_5_1", caption, [*heads, *(metric.column for metric in RECONSTRUCTION)], body)
    bounds = numbers(results, rows, BOUNDS)
    caption = (
        f"KL and bounds of the same models, in nats an image. {note} Shown: {shown}. The ELBO is that of hard "
        "samples with the exact KL; validation with one sample, test with "
        f"{preset.samples:,} samples, which the importance-weighted (IW) bound takes as well."
    )
    body = [[symbols(row), *bounds[row]] for row in rows]
    return [table, Table("bounds", caption, [heads[0], *(metric.column for metric in BOUNDS)], body)]


def sensitivity(results: pd.DataFrame, lines: Sequence[Line]) -> Table:
    """The effect of the choices that the thesis leaves open."""
    metrics = [*RECONSTRUCTION, KL, ELBO]
    found, body = numbers(results, [line.name for line in lines], metrics), list[Sequence[Cell] | Section]()
    for row, group in groupby(lines, key=lambda line: line.printed):
        body.append(
            Section(f"{symbols(row)}; printed: {' / '.join(Number(each).plain() for each in PRINTED[row].values())}")
        )
        for line in group:
            away = from_print(results, row, line.name)
            body.append([symbols(line.label), Number(line.config.epochs, digits=0), *found[line.name], away])
    caption = (
        "Settings that the thesis leaves open: reconstruction log-likelihood, KL and ELBO in nats an image. One seed a "
        f"line. Lines of fewer than {THESIS_EPOCHS} epochs are not comparable with the print. The last column is our "
        "validation reconstruction less the printed one, relaxed for Gumbel-Softmax and hard for target propagation. "
        "$y$ and $x'$: the code and the prediction in equation 3.7, $\\hat y = 2y - f(x')$; $z$ is the one-hot sample. "
        "lr: learning rate."
    )
    heads = [Column("setting", text=True), Column("epochs"), *(each.column for each in metrics), Column("from print")]
    return Table("sensitivity", caption, heads, body)


def from_print(results: pd.DataFrame, row: str, name: str) -> Cell:
    """The mean validation reconstruction of ``name``, from relaxed samples if it has them, less a row's printed one."""
    values = RELAXED[1].of(results, name) or HARD[1].of(results, name)
    if not values:
        return DASH
    return Number(interval(list(values.values())).mean - PRINTED[row]["validation"], signed=True)


def plan(preset: Preset) -> list[Config]:
    """The runs of both tables."""
    return [*(each for group in preset.table.values() for each in group), *(line.config for line in preset.sensitivity)]


SUMMARY = "the thesis' Table 5.1 and figures, measured again"
REPORT = Report("thesis", SUMMARY, settings.PRESETS, make, plan=plan, parts=parts)
