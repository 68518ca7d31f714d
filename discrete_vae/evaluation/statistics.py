"""Means over seeds, their 95% intervals, and tests of differences between rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its stats are imported at their first use, for they take a second

LEVEL = 0.05
MINIMUM_SEEDS = 3
"""With fewer paired differences their standard deviation is too uncertain, and no winner is named."""

Seeds = Mapping[int, float]
"""One number a seed."""


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` seeds and half the width of its 95% interval, None for a single seed."""

    mean: float
    half_width: float | None
    count: int
    """Seeds."""

    def text(self, digits: int, interval: bool = True) -> str:
        """``-103.1 ± 0.2``, or the mean alone."""
        half = f" ± {self.half_width:.{digits}f}" if interval and self.half_width is not None else ""
        return f"{self.mean:.{digits}f}{half}"


def interval(values: Sequence[float]) -> Interval:
    """Student's t interval for the mean. Raises ``ValueError`` for no values."""
    count = len(values)
    if count == 0:
        raise ValueError("no values to take the mean of")
    mean = float(np.mean(values))
    if count == 1:
        return Interval(mean, None, 1)
    error = float(np.std(values, ddof=1)) / math.sqrt(count)
    return Interval(mean, float(scipy.stats.t.ppf(1 - LEVEL / 2, count - 1)) * error, count)


def paired_p(first: Seeds, second: Seeds) -> float:
    """Two-sided p-value of the paired t-test over the seeds that both have.

    NaN where there is no test: of fewer than two, and where all differ by the same, such as 8 and 0 with every seed.
    """
    differences = np.array([first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())])
    if len(differences) < 2:
        return math.nan
    mean, deviation = float(differences.mean()), float(differences.std(ddof=1))
    if deviation <= 1e-9 * abs(mean):  # rounding at the most
        return math.nan if mean else 1.0
    t = mean / (deviation / math.sqrt(len(differences)))
    return float(2 * scipy.stats.t.sf(abs(t), len(differences) - 1))


def welch_p(first: Seeds, second: Seeds) -> float:
    """Two-sided p-value of Welch's t-test, for independent seeds; NaN for fewer than two, and without any spread."""
    one, other = (list(each.values()) for each in (first, second))
    if min(len(one), len(other)) < 2:
        return math.nan
    return float(scipy.stats.ttest_ind(one, other, equal_var=False).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjustment of p-values for testing them together, in the order given.

    NaN is no test: it stays, and counts for none.
    """
    adjusted = [math.nan] * len(p_values)
    tests = sorted((i for i, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__)
    running = 0.0
    for rank, index in enumerate(tests):
        running = max(running, min(1.0, (len(tests) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def winner(rows: Mapping[str, Seeds]) -> str | None:
    """The row with the highest mean, if it differs from every other row at 5% after Holm's correction; or None."""
    rows = {name: values for name, values in rows.items() if values}
    if len(rows) < 2:
        return None
    best = max(rows, key=lambda name: float(np.mean(list(rows[name].values()))))
    others = [name for name in rows if name != best]
    if min(len(rows[best].keys() & rows[other].keys()) for other in others) < MINIMUM_SEEDS:
        return None
    adjusted = holm([paired_p(rows[best], rows[other]) for other in others])
    return best if all(p < LEVEL for p in adjusted) else None
