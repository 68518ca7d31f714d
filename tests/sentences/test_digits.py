"""The documentation's sentences on digits against a critic, held to the committed results."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from discrete_vae.runs import Run
from reports.digits.settings import DIGITS, FEW, PRESETS
from tests.readme import ROOT, SAID, results_of, seeds_of

PENALTY, CLIPPING, SOFTMAX = (
    f"digits, {row}"
    for row in (
        "ST-Gumbel-Softmax, gradient penalty",
        "ST-Gumbel-Softmax, weight clipping",
        "softmax, gradient penalty",
    )
)


def first(rows: Iterable[tuple[str, ...]], data: str) -> tuple[str, ...]:
    """The first row of these data."""
    return next(row for row in rows if row[0] == data)


def test_sentences_on_digits() -> None:
    results = results_of("digits")

    def score(row: str, metric: str = "inception_score", split: str = "test") -> float:
        (value,) = seeds_of(results, row, split, metric).values()
        return value

    real = score(PENALTY, "inception_score_real")
    assert f"a score of {score(PENALTY):.2f} against {score(CLIPPING):.2f}, and {real:.2f} of the test digits" in SAID
    assert f"({score(PENALTY):.2f} and {score(SOFTMAX):.2f})" in SAID
    curves = pd.read_csv(ROOT / "reports" / "results" / "digits" / "curves.csv")
    curves = curves[curves["metric"] == "inception_score"]
    for row in (PENALTY, CLIPPING, SOFTMAX):
        by_epoch = curves[curves["row"] == row].set_index("epoch")["value"]
        grown = by_epoch[10] - by_epoch[5]
        assert grown > 0.3 if row != CLIPPING else abs(grown) < 0.15
    rows = PRESETS["laptop"].rows()
    updates, few_updates = (Run(Path(), rows[row][0]).total_steps for row in (first(rows, DIGITS), first(rows, FEW)))
    assert f"10 epochs are {updates:,} updates of the generator" in SAID
    assert f"train {200_000 / updates:.0f} times as long" in SAID
    assert f"for 400 epochs ({few_updates:,} updates of the generator)" in SAID


def test_sentences_on_critics_that_overfit() -> None:
    results = results_of("digits")

    def distances(constraint: str) -> list[float]:
        row = f"{FEW}, ST-Gumbel-Softmax, {constraint}"
        splits = ("train", "validation", "test")
        return [value for split in splits for value in seeds_of(results, row, split, "wasserstein").values()]

    train, validation, test = distances("gradient penalty")
    told = f"{train:.2f} on the training digits, {validation:.2f} and {test:.2f} on validation and test digits"
    assert told in SAID
    assert max(map(abs, distances("weight clipping"))) < 0.05
