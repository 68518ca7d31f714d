"""The documentation's sentences on the tables after Jang et al, held to the committed results."""

from __future__ import annotations

import json

import pytest

from reports import (
    jang,
)
from reports.kit.results import line
from tests.readme import SAID, kept, mean, results_of


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
    first = ["Gumbel-S", "ST Gumbel-S", "Annealed ST, slope 2", "ST", "Gauss-Newton", "ReinMax", "TP, mirror"]
    assert orders["SBN categorical"][:7] == first
    assert orders["VAE categorical"][:6] == ["Gumbel-S", "Gauss-Newton", "ST Gumbel-S", "ST", "TP, mirror", "ReinMax"]
    assert "Gauss-Newton is 5th of 13 on structured prediction and 2nd in the VAE." in SAID
    assert "ReinMax is 6th and target propagation 7th, in the VAE 6th and 5th." in SAID
    open_ones = [over[f"{row}, {task}"] for row in ("SF", "MuProp") for task in ("SBN categorical", "VAE categorical")]
    said = "SF ({:.1f} in structured prediction and {:.1f} in the VAE), MuProp ({:.1f} and {:.1f})"
    assert said.format(*open_ones) in SAID
    said = "in structured prediction Gumbel-S ({:.1f}) and ST Gumbel-S ({:.1f})"
    assert said.format(*(over[f"{row}, SBN categorical"] for row in ("Gumbel-S", "ST Gumbel-S"))) in SAID
    mean_of_logs = -mean(results, "Gumbel-S, SBN categorical", "test", "elbo")
    more = mean_of_logs - jang.PRINTED["Gumbel-S, SBN categorical"]
    assert f"is {mean_of_logs:.1f} for Gumbel-S, {more:.0f} above print" in SAID
    sbn, vae = (
        [bounds[task][row] for row in ("Annealed ST, slope 2", "Annealed ST", "ST")]
        for task in ("SBN categorical", "VAE categorical")
    )
    assert "comes to {:.1f} nats in place of {:.1f}, level with ST ({:.1f})".format(*sbn) in SAID
    assert f"and {over['Annealed ST, SBN categorical'] + sbn[0] - sbn[1]:.1f} above print" in SAID
    assert "it is {:.1f} in place of {:.1f}, still behind ST's {:.1f}".format(*vae) in SAID
    assert 1.04**4 < 1.2, "the slope in the fifth epoch"
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


def test_what_is_said_of_500_epochs() -> None:
    """Of the one row that is kept."""
    bounds = {
        config["strategy"]: -value
        for config, value in kept("jang", "test", "log_likelihood")
        if (config["epochs"], config["seed"]) == (500, 0)
    }
    short = -mean(results_of("jang"), "Gumbel-S, VAE categorical", "test", "log_likelihood")
    printed = jang.PRINTED["Gumbel-S, VAE categorical"]
    said = (
        f"Gumbel-Softmax has a bound of {bounds['gumbel-softmax']:.1f}, where the paper prints {printed} and the table "
    )
    assert f"{said}above has {short:.1f}" in SAID
    elbos = {
        epoch: value
        for epoch in range(490, 501)
        for config, value in kept("jang", "validation", "elbo", epoch)
        if (config["epochs"], config["seed"], config["strategy"]) == (500, 0, "gumbel-softmax")
    }
    assert max(elbos, key=lambda epoch: elbos[epoch]) > 495
