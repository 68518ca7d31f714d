"""Bias, variance and direction of every strategy's gradient along training, against the exact one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import environment
from discrete_vae.runs.spreadsheets import read_csv
from discrete_vae.strategies import STRATEGIES
from reports.benchmarks.measurements import keep
from reports.gradients import figures
from reports.gradients.measures import Problem, measure
from reports.gradients.settings import PRESETS, Preset, Row
from reports.kit.cache import PROVENANCE, provenance
from reports.kit.context import RESULTS, ReportContext
from reports.kit.provenance import ENVIRONMENT
from reports.kit.report import Report
from reports.kit.results import by_name
from reports.kit.table import Cell, Column, Number, Table
from reports.kit.tidy import changes

KEY = ["row", "strategy", "parameters", "seed", "model", "epoch"]
"""What a measurement is of: the model is the run that trained it, or none for the model that training begins with."""
CAPTION = (
    "The gradient in the logits beside the exact one, which is a sum over all states. Bias: norm of the mean error "
    "relative to the norm of the exact gradient, without the share of the draws' own noise. <: no bias is detectable; "
    "a smaller one than this would be hidden. Variance: of one draw, relative to the square of the exact gradient. "
    "Cosine: of one draw, for all images together. Step: time of estimate and gradient on 100 images, divided by that "
    "of Gumbel-Softmax."
)


def known(preset: Preset, bench: ReportContext) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Measurements in tables that are as precise as the preset's, and their environments."""
    for folder in (bench.out, RESULTS / bench.report):
        told = provenance(folder).get("settings", {}) if (folder / PROVENANCE).is_file() else {}
        if told.items() >= preset.precision.items() and not bench.retrain:
            return read_csv(folder / "results.csv").fillna({"model": ""}), told["measured_on"]
    return pd.DataFrame(columns=[*KEY, "metric", "value"]), []


def measured(
    preset: Preset, bench: ReportContext, row: Row, epochs: int, problem: Callable[[], Problem]
) -> dict[str, Any]:
    """Metrics of a row on one model, and their environment, which the runs' folder keeps."""
    own = Config(row.strategy, row.options, preset.base.architecture)
    asked = {"row": own.to_dict(), "model": preset.base.to_dict(), "epochs": epochs, **preset.precision}

    def take() -> dict[str, Any]:
        return {"metrics": measure(problem(), row, preset), "environment": environment(bench.device)}

    return keep(bench.runs / "gradients", asked, take, "metrics", "environment")


def make(preset: Preset, bench: ReportContext) -> None:
    """Train the models and measure what tables do not have; then write table, figure and text."""
    models = bench.train(preset.models)
    table, environments = known(preset, bench)
    there = {key: dict(zip(own["metric"], own["value"], strict=True)) for key, own in table.groupby(KEY)}
    stages, found = [0, *preset.epochs], list[dict[str, Any]]()
    with terminal_progress() as progress, progress.counting("gradients", len(stages) * len(preset.rows)) as done:
        for epochs, run in zip(stages, (None, *models), strict=True):
            problem = cache(partial(Problem.of, preset, run, bench))
            for row in preset.rows:
                own = changes(Config(row.strategy, row.options, preset.base.architecture))
                key = (row.label, row.strategy, own, preset.base.seed, run.config.name if run else "", epochs)
                if (metrics := there.get(key)) is None:
                    kept = measured(preset, bench, row, epochs, problem)
                    place = {name: kept["environment"].get(name) for name in ENVIRONMENT}
                    environments += [place] * (place not in environments)
                    metrics = kept["metrics"]
                line = dict(zip(KEY, key, strict=True)) | {"split": "validation", "temperature": row.temperature}
                found += [line | {"metric": metric, "value": value} for metric, value in metrics.items()]
                done(1)
    results = pd.DataFrame(found)
    bench.write_results(results)
    bench.write_provenance(models, **preset.precision, measured_on=environments)
    unbiased = {row.strategy for row in preset.rows if STRATEGIES[row.strategy].claim.unbiased}
    figures.plane(bench.out, results, unbiased, stages, preset.draws)
    first = {row.label: row.temperature or 0 for row in reversed(preset.rows)}
    defaults = results[results["temperature"].fillna(0) == results["row"].map(first)]
    values = {"preset": preset, "name": bench.preset, "stages": ", ".join(map(str, stages))}
    values |= by_name(defaults.assign(split=[f"epoch {epoch}" for epoch in defaults["epoch"]]), list(first))
    used = [(row.strategy, row.options) for row in preset.rows]
    title, text = "Gradients of categorical latents: bias and variance", Path(__file__).with_name("text.md")
    bench.write_text(title, text, [gradients_table(preset, defaults)], values, [figures.PLANE], used)


def gradients_table(preset: Preset, defaults: pd.DataFrame) -> Table:
    """Each strategy at its defaults: bias, variance and cosine at every stage, and the time of its step."""
    values, stages = defaults.set_index(["row", "epoch", "metric"])["value"], dict.fromkeys(defaults["epoch"])
    columns, body = [Column("", text=True)], []
    for stage in stages:
        columns += [Column(head, f"after {stage} epoch{'s' * (stage != 1)}") for head in ("bias", "variance", "cosine")]
    for row in dict.fromkeys(defaults["row"]):
        cells: list[Cell] = [row]
        for stage in stages:
            bias, variance, cosine = (float(values[row, stage, metric]) for metric in ("bias", "variance", "cosine"))
            noise = 2 * (variance / preset.draws) ** 0.5
            cells += [short(bias) if bias > noise else f"<{short(max(noise, 0.001)).plain()}"]
            cells += [short(variance), short(cosine)]
        step = values[row].xs("step_over_gumbel_softmax", level="metric").median()
        body.append([*cells, Number(float(step), digits=1)])
    return Table("gradients_table", CAPTION, [*columns, Column("step")], body)


def short(value: float) -> Number:
    """Two or three digits, whatever the size."""
    return Number(value, digits=3 if abs(value) < 0.1 else 2 if value < 10 else 1 if value < 100 else 0)


REPORT = Report("gradients", "bias, variance and direction of every strategy's gradient along training", PRESETS, make)
