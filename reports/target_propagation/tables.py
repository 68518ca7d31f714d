"""The target-propagation report's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from reports.kit.results import Difference, Metric, cells, compared, differences_table, paired
from reports.kit.setting import ends
from reports.kit.table import DASH, Cell, Column, Number, Table
from reports.target_propagation.settings import FINALISTS, LOCAL, MIRROR, RATE, Preset, Trial, Value, Variant
from reports.target_propagation.tuning import WORST, Tried

ELBO, BOUND = Metric("test", "elbo", "test", "ELBO"), Metric("test", "log_likelihood", "test", "IW bound")
METRICS = (
    Metric("train", "elbo", "train", "ELBO"),
    Metric("validation", "elbo", "valid.", "ELBO"),
    ELBO,
    BOUND,
    Metric("test", "kl", "test", "KL", better=0, spread=False),
)
DIAGNOSTICS = {
    "elbo": ("ELBO", 1, 1),
    "kl": ("KL", 1, 1),
    "signal_cosine": ("cosine", 1, 2),
    "signal_ratio": ("length", 1, 2),
    "inverse_trace_positive": ("trace, %", 100, 0),
    "outside_simplex": ("outside, %", 100, 0),
    "mean_correction": ("correction", 1, 3),
    "code_entropy": ("entropy", 1, 1),
    "active_latents": ("active", 1, 0),
}
"""Metrics of a run's history: head, scale and digits."""
KNOBS = {"temperature": "τ", "beta": "β", "step": "α = β", RATE: "feedback's rate"}  # noqa: RUF001
PAIRS = [(one.label, other.label) for one in (MIRROR, LOCAL) for other in FINALISTS if other not in (MIRROR, LOCAL)]
"""Both variants of target propagation by a mirror, each less every rival."""


def setting(variant: Variant, trial: Trial, tried: bool = True) -> str:
    """``0.006†, τ 1 to 0.5``: a dagger beside what lies at the end of all that is ``tried`` of the variant."""
    every = [*variant.trials, *variant.known]
    rates, starts = ({_start(each) for each in values} for values in zip(*every, strict=True))
    rate, start = trial.learning_rate, _start(trial.value)
    ends = ["†" * (tried and each in (min(known), max(known))) for each, known in ((rate, rates), (start, starts))]
    falls = f" to {math.prod(trial.value):g}" if isinstance(trial.value, tuple) else ""
    return f"{rate:g}{ends[0]}, {KNOBS[variant.knob]} {start:g}{falls}{ends[1]}"


def _start(value: Value) -> float:
    return value[0] if isinstance(value, tuple) else value


def results_table(preset: Preset, results: pd.DataFrame, settings: Mapping[str, str]) -> Table:
    """The finalists by their labels, with their settings."""
    columns = [cells(results, list(settings), metric) for metric in METRICS]
    rows = [[row, text, *(column[row] for column in columns)] for row, text in settings.items()]
    caption = (
        f"{preset.epochs} epochs. Hard samples, exact KL, nats an image, higher is better; "
        f"{compared(len(preset.seeds))}. The test ELBO and the importance-weighted (IW) bound take "
        f"{preset.samples:,} samples. Settings: the learning rate, and the variant's own hyper-parameter."
        f"{ends(settings.values())}"
    )
    heads = [Column("", text=True), Column("setting", text=True), *(metric.column for metric in METRICS)]
    return Table("results", caption, heads, rows)


def relations_table(results: pd.DataFrame, seeds: int) -> Table:
    """Every pair of rows that are there, by both yardsticks."""
    pairs = [pair for pair in PAIRS if set(results["row"]).issuperset(pair)]
    columns = [Difference(ELBO, "test ELBO"), Difference(BOUND, "test IW bound")]
    caption = f"Differences on the test images in nats; positive: the first row is ahead. Shown: {paired(seeds)}"
    return differences_table("differences", caption, results, pairs, columns)


def variants_table(short: Mapping[str, Tried]) -> Table:
    """The best short run of every variant with its diagnostics, best first."""
    rows: list[list[Cell]] = []
    for label, tried in sorted(short.items(), key=lambda item: -item[1].score):
        shown = ((tried.last(metric), scale, digits) for metric, (_, scale, digits) in DIAGNOSTICS.items())
        numbers = (DASH if value == WORST else Number(scale * value, digits=digits) for value, scale, digits in shown)
        rows.append([label, setting(tried.variant, tried.trial), *numbers])
    found = ends(setting(tried.variant, tried.trial) for tried in short.values())
    caption = f"The best short run of every variant, one seed: validation ELBO and KL in nats, and its signal.{found}"
    heads = [
        Column("", text=True),
        Column("setting", text=True),
        *(Column(head) for head, _, _ in DIAGNOSTICS.values()),
    ]
    return Table("variants", caption, heads, rows).without("entropy", "active")
