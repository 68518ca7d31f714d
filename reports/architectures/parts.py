"""Tables and figure of the report on random architectures: successes by threshold, scores by choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy
from matplotlib.artist import Artist
from matplotlib.ticker import MaxNLocator

from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from reports.architectures.settings import SPACE
from reports.critics.settings import CLIPPING, PENALTY
from reports.kit.context import ReportContext
from reports.kit.figures import COLOURS, DASHES, figure, legend_below
from reports.kit.results import p_text
from reports.kit.table import DASH, Cell, Column, Number, Table

SCORE, FIGURE = "inception_score", "architectures_scores"
THRESHOLDS = (2.0, 3.0, 5.0, 7.0, 8.0)
"""Least scores that count as a success; 1 is the lowest that there is."""
FAILED = 0.0
"""Stands for the score of a run whose numbers were not finite."""
CONSTRAINTS = (PENALTY, CLIPPING)
SHOWN = ("backbone", "hidden", "channels", "activation", "normalisation")


def scores(results: pd.DataFrame, trials: list[int]) -> pd.DataFrame:
    """Inception scores of the test's generated images: a line a trial, a column a constraint."""
    own = results[(results["metric"] == SCORE) & (results["split"] == "test")]
    found = {name: own[own["row"] == name].set_index("trial")["value"] for name in CONSTRAINTS}
    return pd.DataFrame(found).reindex(pd.Index(trials)).fillna(FAILED)


def real(results: pd.DataFrame) -> float:
    """The score of the test's own images, by the same classifier."""
    return float(results.loc[results["metric"] == f"{SCORE}_real", "value"].max())


def failures(runs: Mapping[tuple[str, int], Run]) -> dict[str, int]:
    """Runs whose numbers were not finite, by constraint."""
    return {name: sum(run.failure is not None for key, run in runs.items() if key[0] == name) for name in CONSTRAINTS}


def counts(found: pd.DataFrame, threshold: float) -> tuple[int, int, int, int]:
    """How many architectures reach a score under clipping only, under the penalty only, under both, and under none."""
    penalty, clipping = (found[name] >= threshold for name in CONSTRAINTS)
    each = clipping & ~penalty, penalty & ~clipping, penalty & clipping, ~penalty & ~clipping
    return tuple(int(which.sum()) for which in each)  # type: ignore[return-value]


def p_of(found: pd.DataFrame, threshold: float) -> float:
    """p-value of McNemar's exact test, by which a lone success is as likely under either constraint."""
    clipping, penalty, *_ = counts(found, threshold)
    return float(scipy.stats.binomtest(clipping, clipping + penalty).pvalue) if clipping + penalty else 1.0


def successes(found: pd.DataFrame) -> Table:
    """A line a threshold."""
    corrected = statistics.holm([p_of(found, threshold) for threshold in THRESHOLDS])
    body: list[list[Cell]] = []
    for threshold, holm in zip(THRESHOLDS, corrected, strict=True):
        told = [Number(count, None, 0) for count in counts(found, threshold)]
        body.append([f"{threshold:.1f}", *told, p_text(p_of(found, threshold)), p_text(holm)])
    caption = (
        f"Of {len(found)} different random architectures, how many reach a score under which constraint; one seed. "
        "$p$: McNemar's exact test of one constraint alone against the other alone, by itself and after Holm's "
        "correction for all thresholds."
    )
    heads = ("clipping only", "penalty only", "both", "neither", "$p$", "Holm")
    return Table("successes", caption, [Column("least score", text=True), *map(Column, heads)], body)


def choices(found: pd.DataFrame, runs: Mapping[tuple[str, int], Run]) -> Table:
    """Median score of the architectures that have a value of an option."""
    shapes = [runs[PENALTY, trial].config.architecture for trial in found.index]
    drawn = [name for name in SHOWN if f"architecture.{name}" in SPACE]
    body: list[list[Cell]] = []
    for name in drawn:
        values = [getattr(shape, name) if name != "hidden" else len(shape.hidden) for shape in shapes]
        if name == "channels":  # of convolutions alone
            values = [value if shape.backbone == "conv" else None for value, shape in zip(values, shapes, strict=True)]
        for value in sorted({each for each in values if each is not None}):
            own = found[[each == value for each in values]]
            told = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            label = "dense layers" if name == "hidden" else name
            medians = [Number(float(own[each].median()), None, 2) if len(own) else DASH for each in CONSTRAINTS]
            body.append([f"{label} {told}", Number(len(own), None, 0), *medians])
    caption = (
        "Median Inception score of the architectures with a value of an option, by constraint; one seed. A run whose "
        f"numbers were not finite counts as {FAILED:g}."
    )
    heads = [Column("", text=True), Column("architectures"), *map(Column, CONSTRAINTS)]
    return Table("choices", caption, heads, body)


def draw(bench: ReportContext, found: pd.DataFrame, of_real: float) -> None:
    """How many architectures reach at least a score, against the score."""
    handles = dict[str, Artist]()
    with figure(bench.out, FIGURE, height=2.5, width=4.5) as drawing:
        axes = drawing.subplots()
        for i, name in enumerate(CONSTRAINTS):
            ordered = np.sort(found[name].to_numpy())
            places = np.concatenate([[1.0], ordered, [ordered[-1]]])
            reached = [int((ordered >= place).sum()) for place in places[:-1]] + [0]
            style: dict[str, Any] = {"color": COLOURS[2 * i], "linestyle": DASHES[i]}
            (handles[name],) = axes.step(places, reached, where="pre", **style)
        handles["test digits"] = axes.axvline(of_real, color="0.5", linewidth=0.8, linestyle=DASHES[2])
        axes.set(xlabel="least Inception score", ylabel="architectures", xlim=(1, None), ylim=(0, len(found) + 1))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(drawing, handles)
