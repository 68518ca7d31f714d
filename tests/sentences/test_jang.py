"""The documentation's sentences on the tables after Jang et al, held to the committed results."""

from __future__ import annotations

import json

import pytest

from reports import (
    jang,
)
from reports.kit.results import line
from tests.readme import SAID, mean, results_of


def test_what_is_said_of_the_tables_after_jang() -> None:
    """Differences to print, the rank of rows, chosen rates, and the ELBO that the bound hides."""
    results, tuning = results_of("jang"), results_of("jang", "tuning.csv")
    bounds = {
        task: {
            row.removesuffix(f", {task}"): -mean(results, row, "test", "log_likelihood")
            for row in dict.fromkeys(results["row"])
            if row.endswith(task)
        }
        for task in ("SBN categorical", "VAE categorical")
    }
    ours = {line(row, task): value for task, rows in bounds.items() for row, value in rows.items()}
    over = {row: ours[row] - value for row, value in jang.PRINTED.items() if row in ours}
    assert over.pop("ST, VAE categorical") == pytest.approx(-0.9, abs=0.05)
    assert f"every other printed number is {min(over.values()):.1f} to {max(over.values()):.1f} nats below ours" in SAID
    orders = {task: sorted(rows, key=lambda row: rows[row]) for task, rows in bounds.items()}
    assert orders["SBN categorical"][:6] == ["Gumbel-S", "ST Gumbel-S", "ST", "Gauss-Newton", "ReinMax", "TP, mirror"]
    assert orders["VAE categorical"][:6] == ["Gumbel-S", "Gauss-Newton", "ST Gumbel-S", "ST", "TP, mirror", "ReinMax"]
    assert "Gauss-Newton is 4th of 12 on structured prediction and 2nd in the VAE;" in SAID
    assert "ReinMax and target propagation are 5th and 6th, and 6th and 5th." in SAID
    elbos = [
        mean(results, f"{row}, VAE categorical", "test", "elbo")
        for row in ("Gauss-Newton", "ST Gumbel-S", "TP, mirror", "Gumbel-S", "ReinMax")
    ]
    said = "Gauss-Newton has {:.1f}, ST-Gumbel-Softmax {:.1f}, target propagation {:.1f}, "
    said += "Gumbel-Softmax {:.1f} and ReinMax {:.1f}"
    assert said.format(*elbos) in SAID
    assert abs(mean(results, "DARN, VAE categorical", "test", "kl")) < 0.05
    assert mean(results, "DARN, linearised, VAE categorical", "test", "kl") > 40
    rates = {float(json.loads(each)["learning_rate"]) for each in results["parameters"]}
    assert f"inside it: {min(rates):g} to {max(rates):g}" in SAID
    tried = {float(json.loads(each)["learning_rate"]) for each in tuning["parameters"]}
    assert min(tried) < min(rates) <= max(rates) < max(tried)
    assert set(tuning["seed"]).isdisjoint(results["seed"])
