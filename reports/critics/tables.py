"""The critics report's tables."""

from __future__ import annotations

import pandas as pd

from reports.critics.settings import CLIPPING, MIXTURES, PENALTY
from reports.kit.results import Metric, difference_cells, metrics_table, tested, tests_of
from reports.kit.table import Cell, Column, Table

MEASURES = [
    Metric("centres", "peaks", "peaks", "critic alone", better=0, digits=1),
    Metric("centres", "dip", "dip", "critic alone", better=0),
    Metric("test", "modes", "modes", "generator", better=0, digits=1),
    Metric("test", "near", "near", "generator", better=0),
    Metric("test", "close", "close", "generator", better=0),
]
"""Of critics alone and of generators' points."""
SPLITS = ("train", "validation", "test")


def tables(results: pd.DataFrame) -> list[Table]:
    """What critics and generators find of the centres, penalty less clipping, and the critic's distances of images."""
    images = [row for row in results["row"].unique() if row.startswith("images, ")]
    found = results.assign(row=results["row"].str.partition(", ")[2])  # whether a critic or a generator: by the metric
    rows = [f"{dataset}, {constraint}" for dataset in MIXTURES.values() for constraint in (PENALTY, CLIPPING)]
    coverage = "Centres that critics and generators find; mean ± 95% interval over seeds."
    distances = (
        "The critic's distance between digits and generated images at the end, on three splits, in a unit of its own: "
        "numbers of two rows do not compare."
    )
    metrics = [Metric(split, "wasserstein", better=0) for split in SPLITS]
    return [
        metrics_table("coverage", coverage, found, rows, MEASURES),
        relations(found),
        metrics_table("distances", distances, found, [row.removeprefix("images, ") for row in images], metrics),
    ]


def relations(found: pd.DataFrame) -> Table:
    """Every measure of the centres, penalty less clipping; Holm's correction is for all of them."""
    pairs = {
        (dataset, metric): [metric.of(found, f"{dataset}, {constraint}") for constraint in (PENALTY, CLIPPING)]
        for dataset in MIXTURES.values()
        for metric in MEASURES
    }
    body: list[list[Cell]] = [
        [f"{dataset}: {metric.head}", *difference_cells(*found, digits=metric.digits)]
        for (dataset, metric), found in tested(pairs).items()
    ]
    heads = [Column("", text=True), *map(Column, ("difference", "$p$", "Holm"))]
    return Table("differences", f"Penalty less clipping: {tests_of('in the column')}", heads, body)
