"""The critics report's tables, as LaTeX and, for the README, as Markdown."""

from __future__ import annotations

import pandas as pd

from reports import statistics
from reports.critics_settings import CLIPPING, MIXTURES, PENALTY, POINTS
from reports.latex import Latex
from reports.tables import RULE, Panel, Row, by_seed, spread, table

SURFACE = {"peaks": "peaks", "dip": "dip"}
MADE = {"modes": "modes", "near": "near", "close": "close"}
"""Metrics of a critic alone, and of a generator's points on the test split, with their heads."""
SPLITS = ("train", "validation", "test")


def alone(constraint: str, dataset: str) -> str:
    """Name of the rows of critics alone."""
    return f"critic alone, {POINTS[dataset]}, {constraint}"


def made(constraint: str, dataset: str) -> str:
    """Name of the rows of generators of points."""
    return f"generator, {POINTS[dataset]}, {constraint}"


def coverage(results: pd.DataFrame, caption: Latex) -> Latex:
    """Of how many modes critics have a peak, and of how many generators make points."""
    body: list[Row | Latex] = []
    for dataset in MIXTURES:
        body += [RULE] if body else []
        for constraint in (PENALTY, CLIPPING):
            cells = [spread(by_seed(results, alone(constraint, dataset), "centres", name)) for name in SURFACE]
            cells += [spread(by_seed(results, made(constraint, dataset), "test", name)) for name in MADE]
            body.append([POINTS[dataset], constraint, *cells])
    heads = [
        Latex(r"& & \multicolumn{2}{c}{critic alone} & \multicolumn{3}{c}{points of a generator} \\"),
        Latex(r"\cmidrule(lr){3-4}\cmidrule(lr){5-7}"),
        Latex("& & " + " & ".join([*SURFACE.values(), *MADE.values()]) + r" \\"),
    ]
    return table("critics", caption, [Panel(Latex("llrrrrr"), heads, body)])


def distances(results: pd.DataFrame, rows: list[str], caption: Latex) -> Latex:
    """The critic's distance between images and made ones at the end."""
    body = [[row, *(spread(by_seed(results, row, split, "wasserstein")) for split in SPLITS)] for row in rows]
    return table("critics_images", caption, [Panel(Latex("lrrr"), [Latex("& " + " & ".join(SPLITS) + r" \\")], body)])


def markdown(results: pd.DataFrame) -> str:
    """The table for the README."""
    heads = ["", "", "critic: peaks", "dip", "generator: modes", "near", "close"]
    lines = [heads, ["---"] * 2 + ["---:"] * 5]
    for dataset in MIXTURES:
        for constraint in (PENALTY, CLIPPING):
            found = [by_seed(results, alone(constraint, dataset), "centres", name) for name in SURFACE]
            found += [by_seed(results, made(constraint, dataset), "test", name) for name in MADE]
            digits = (1, 2, 1, 2, 2)
            cells = [
                statistics.interval(list(each.values())).text(count) if each else ""
                for each, count in zip(found, digits, strict=True)
            ]
            lines.append([POINTS[dataset], constraint, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
