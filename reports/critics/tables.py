"""The critics report's tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.critics.settings import CLIPPING, MIXTURES, PENALTY
from reports.kit.results import TESTED, Metric, cells, difference, p_text
from reports.kit.table import DASH, Cell, Column, Number, Table

MEASURES = [
    Metric("centres", "peaks", "peaks", "critic alone", better=0, digits=1),
    Metric("centres", "dip", "dip", "critic alone", better=0),
    Metric("test", "modes", "modes", "generator", better=0, digits=1),
    Metric("test", "near", "near", "generator", better=0),
    Metric("test", "close", "close", "generator", better=0),
]
"""Of critics alone and of generators' points; the group is the first part of the row's name."""
SPLITS = ("train", "validation", "test")
NAMES = [Column("", text=True), Column("", text=True)]


def coverage(results: pd.DataFrame) -> Table:
    """Of how many modes critics have a peak, and of how many generators make points."""
    body: list[Sequence[Cell]] = []
    for dataset in MIXTURES.values():
        for constraint in (PENALTY, CLIPPING):
            rows = [f"{metric.group}, {dataset}, {constraint}" for metric in MEASURES]
            own = [cells(results, [row], metric)[row] for row, metric in zip(rows, MEASURES, strict=True)]
            body.append([dataset, constraint, *own])
    caption = "Centres that critics and generators find. Mean ± 95% interval over seeds."
    return Table("coverage", caption, [*NAMES, *(metric.column for metric in MEASURES)], body)


def relations(results: pd.DataFrame) -> Table:
    """Every measure of the first table, penalty less clipping."""
    keys = [(dataset, metric) for dataset in MIXTURES.values() for metric in MEASURES]
    pairs = [
        [metric.of(results, f"{metric.group}, {dataset}, {constraint}") for constraint in (PENALTY, CLIPPING)]
        for dataset, metric in keys
    ]
    p_values = [statistics.paired_p(*both) for both in pairs]
    body: list[Sequence[Cell]] = []
    for (dataset, metric), both, *tests in zip(keys, pairs, p_values, statistics.holm(p_values), strict=True):
        values = difference(*both)
        told = [p_text(p) if len(values) >= statistics.MINIMUM_SEEDS else DASH for p in tests]
        body.append([dataset, metric.head, Number.mean(values, metric.digits, signed=True), *told])
    heads = [*NAMES, *map(Column, ("difference", "$p$", "Holm"))]
    return Table("differences", f"Penalty less clipping: {TESTED}", heads, body)


def distances(results: pd.DataFrame) -> Table:
    """The critic's distance between images and made ones at the end."""
    rows = [row for row in results["row"].unique() if row.startswith("images, ")]
    columns = [cells(results, rows, Metric(split, "wasserstein", better=0)) for split in SPLITS]
    caption = (
        "The critic's distance between digits and generated images at the end, on three splits, in a unit of its own: "
        "numbers of two rows do not compare."
    )
    body = [[row.removeprefix("images, "), *(column[row] for column in columns)] for row in rows]
    return Table("distances", caption, [NAMES[0], *map(Column, SPLITS)], body)
