"""The README's text, and the committed results that it is compared with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.kit.results import Metric

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "reports" / "results" / "thesis"
TEXT = (ROOT / "README.md").read_text()
SAID = " ".join(TEXT.split()).replace("\N{MINUS SIGN}", "-")
"""The sentences, whatever their line breaks, with plain minus signs."""


def results_of(report: str, name: str = "results.csv") -> pd.DataFrame:
    """A committed table."""
    return pd.read_csv(ROOT / "reports" / "results" / report / name)


def seeds_of(results: pd.DataFrame, row: str, split: str, metric: str) -> statistics.Seeds:
    """One metric of one row, by seed."""
    return Metric(split, metric).of(results, row)


def apart(results: pd.DataFrame, first: str, second: str, split: str, metric: str) -> statistics.Seeds:
    """One row less another, over the seeds of both."""
    one, other = (Metric(split, metric).of(results, row) for row in (first, second))
    return {seed: one[seed] - other[seed] for seed in one.keys() & other.keys()}


def told(values: statistics.Seeds, digits: int = 1, scale: float = 1.0) -> str:
    """``2.9 ± 1.2``."""
    return statistics.interval([scale * value for value in values.values()]).text(digits)


def mean(results: pd.DataFrame, row: str, split: str, metric: str) -> float:
    """Over seeds."""
    return statistics.interval(list(Metric(split, metric).of(results, row).values())).mean
