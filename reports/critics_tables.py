"""The critics report's tables, as LaTeX and, for the README, as Markdown."""

from __future__ import annotations

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.critics_settings import CLIPPING, MIXTURES, PENALTY, POINTS
from reports.kit.latex import Latex
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, RULE, Panel, Row, by_seed, mean_ci, p_text, table

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
            cells = [mean_ci(by_seed(results, alone(constraint, dataset), "centres", name)) for name in SURFACE]
            cells += [mean_ci(by_seed(results, made(constraint, dataset), "test", name)) for name in MADE]
            body.append([POINTS[dataset], constraint, *cells])
    heads = [
        Latex(r"& & \multicolumn{2}{c}{critic alone} & \multicolumn{3}{c}{points of a generator} \\"),
        Latex(r"\cmidrule(lr){3-4}\cmidrule(lr){5-7}"),
        Latex("& & " + " & ".join([*SURFACE.values(), *MADE.values()]) + r" \\"),
    ]
    return table("critics", caption, [Panel(Latex("llrrrrr"), heads, body)])


def differences(results: pd.DataFrame) -> dict[tuple[str, str], tuple[statistics.Seeds, float, float]]:
    """Penalty less clipping by data set and measure, over seeds: p of the paired test, and after Holm's correction."""
    found = {}
    for dataset in MIXTURES:
        for metric in (*SURFACE, *MADE):
            name, split = (alone, "centres") if metric in SURFACE else (made, "test")
            one, other = (by_seed(results, name(each, dataset), split, metric) for each in (PENALTY, CLIPPING))
            if one.keys() & other.keys():
                found[dataset, metric] = one, other
    p_values = [statistics.paired_p(*pair) for pair in found.values()]
    return {
        key: ({seed: one[seed] - other[seed] for seed in one.keys() & other.keys()}, p, corrected)
        for (key, (one, other)), p, corrected in zip(found.items(), p_values, statistics.holm(p_values), strict=True)
    }


def relations(results: pd.DataFrame) -> Latex:
    """Every measure of the first table, penalty less clipping."""
    body: list[Row | Latex] = []
    for (dataset, metric), (values, p, corrected) in differences(results).items():
        tested = len(values) >= statistics.MINIMUM_SEEDS
        tests = [p_text(p), p_text(corrected)] if tested else [MISSING, MISSING]
        body.append([POINTS[dataset], (SURFACE | MADE)[metric], mean_ci(values), *tests])
    caption = Latex(
        r"Penalty less clipping: mean $\pm$ 95\% interval over seeds, paired; $p$ of the paired $t$-test by itself, "
        "and after Holm's correction for all tests of the table. "
        f"Fewer than {statistics.MINIMUM_SEEDS} seeds are not tested."
    )
    heads = [Latex(r"& & difference & $p$ & Holm \\")]
    return table("critics_relations", caption, [Panel(Latex("llrrr"), heads, body)])


def distances(results: pd.DataFrame, rows: list[str], caption: Latex) -> Latex:
    """The critic's distance between images and made ones at the end."""
    body = [[row, *(mean_ci(by_seed(results, row, split, "wasserstein")) for split in SPLITS)] for row in rows]
    return table("critics_images", caption, [Panel(Latex("lrrr"), [Latex("& " + " & ".join(SPLITS) + r" \\")], body)])


def markdown(results: pd.DataFrame) -> str:
    """The table for the README."""
    heads = ["", "", "critic: peaks", "dip", "generator: modes", "near", "close"]
    lines = []
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
    return markdown_table(heads, lines, left=2)
