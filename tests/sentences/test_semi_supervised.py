"""The documentation's sentences on semi-supervised classification, held to the committed results."""

from __future__ import annotations

import json

import pandas as pd

from discrete_vae.evaluation import statistics
from reports import semi_supervised
from reports.kit.kept import KEPT, PROVENANCE, ROWS
from reports.kit.results import differences
from reports.kit.table import DASH
from tests.readme import SAID, kept, results_of, told


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


def test_validation_numbers_of_the_papers_networks() -> None:
    """Of every run that was trained to its end: the epoch of the best validation accuracy, and the ELBO there."""
    folder, labels = KEPT / "semi-supervised", {row.strategy: row.label for row in semi_supervised.PAPER_ROWS[1:]}
    numbers = pd.read_csv(folder / ROWS).dropna(subset=["epoch"])
    best: dict[str, dict[int, tuple[int, float, float]]] = {}
    for run in json.loads((folder / PROVENANCE).read_text())["runs"]:
        config = run["configuration"]
        if run["seed"] > 2:  # a trial
            continue
        own = numbers[numbers["run"] == run["run"]].pivot(index="epoch", columns="metric", values="value")
        epoch = own["accuracy"].idxmax()
        label = semi_supervised.ALONE if config["task"] == "labels-alone" else labels[config["strategy"]]
        values = int(epoch), own["accuracy"][epoch], own.get("elbo", own["accuracy"])[epoch]
        best.setdefault(label, {})[run["seed"]] = values
    assert len(best) == 1 + len(labels)
    table = (folder / "validation.md").read_text()
    printed = semi_supervised.PRINTED
    for label, runs in best.items():
        epochs, accuracies, elbos = zip(*(runs[seed] for seed in (0, 1, 2)), strict=True)
        alone = label == semi_supervised.ALONE
        cells = [
            label,
            f"{100 * sum(accuracies) / 3:.1f}",
            f"{printed['accuracy'][label]:.1f}" if label in printed["accuracy"] else DASH,
            DASH if alone else f"{sum(elbos) / 3:.1f}",
            f"{printed['elbo'][label]:.1f}" if label in printed["elbo"] else DASH,
            ", ".join(f"{100 * each:.1f}" for each in accuracies),
            ", ".join(map(str, epochs)),
        ]
        assert f"| {' | '.join(cells)} |".replace("-1", "\N{MINUS SIGN}1") in table
    others = [run for label in ("ST Gumbel-S", "Gauss-Newton", "RLOO (4)") for run in best[label].values()]
    assert (sum(epoch <= 8 for epoch, *_ in others), len(others)) == (5, 9)
    scored = {
        config["seed"]: 100 * value
        for config, value in kept("semi-supervised", "test", "accuracy")
        if config["task"] == "labels-alone"
    }
    tests = [f"{scored[seed]:.1f}" for seed in (0, 1, 2)]
    assert f"with {sum(scored.values()) / 3:.1f}% ({tests[0]}, {tests[1]} and {tests[2]})" in SAID
    better = sum(elbo for *_, elbo in best["Gumbel-S"].values()) / 3 - printed["elbo"]["Gumbel-S"]
    assert f"explains the images {better:.0f} nats better than printed" in SAID
