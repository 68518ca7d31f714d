"""The documentation's sentences on semi-supervised classification, held to the committed results."""

from __future__ import annotations

from discrete_vae.evaluation import statistics
from reports import (
    semi_supervised,
)
from reports.kit.results import differences
from tests.readme import SAID, results_of, told


def test_sentences_on_classification() -> None:
    """No row but one is above the labels alone beyond the seeds' spread, tests of all rows corrected."""
    report = semi_supervised.REPORT
    gains = {
        row: (points, corrected)
        for (row, _), (points, _, corrected) in differences(
            results_of("semi-supervised"), report.pairs, report.metrics[0]
        ).items()
    }
    ordered = sorted(gains, key=lambda row: statistics.interval(list(gains[row][0].values())).mean)
    lowest, highest = (told(gains[row][0], 2) for row in (ordered[0], ordered[-1]))
    assert f"The lowest gain is {lowest} points" in SAID
    assert f"the highest {highest}" in SAID
    (sure,) = (row for row, (_, p) in gains.items() if p < statistics.LEVEL)
    assert f"only that of {sure} ({told(gains[sure][0], 2)}) is below 5%" in SAID
