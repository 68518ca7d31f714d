"""The documentation's sentences on the tables after Jang et al, held to the committed results."""

from __future__ import annotations

import json

import pytest

from reports import (
    jang,
)
from reports.kit.results import line
from tests.readme import PAGES, SAID, kept, mean, results_of, sentences


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
    assert f"inside it; the chosen rates are {min(rates):g} to {max(rates):g}." in SAID
    tried = {float(json.loads(each)["learning_rate"]) for each in tuning["parameters"]}
    assert min(tried) < min(rates) <= max(rates) < max(tried)
    assert set(tuning["seed"]).isdisjoint(results["seed"])


def test_what_is_said_of_500_epochs() -> None:
    """Of the rows of one seed, and of one that is kept beside them."""
    results, whole = results_of("jang"), results_of("jang-vae")

    def long(strategy: str, metric: str, rate: str) -> float:
        (found,) = (
            value
            for config, value in kept("jang", "test", metric)
            if (config["strategy"], config["learning_rate"], config["epochs"], config["seed"])
            == (strategy, rate, 500, 0)
        )
        return found

    rows = {
        "Gumbel-S": ("gumbel-softmax", "0.0333"),
        "ST Gumbel-S": ("straight-through-gumbel-softmax", "0.0333"),
        "ST": ("straight-through", "0.111"),
    }
    bounds = {row: -long(strategy, "log_likelihood", rate) for row, (strategy, rate) in rows.items()}
    printed = {row: jang.PRINTED[f"{row}, VAE categorical"] for row in rows}
    short = {row: -mean(results, f"{row}, VAE categorical", "test", "log_likelihood") for row in rows}
    assert sorted(bounds, key=bounds.__getitem__) == sorted(printed, key=printed.__getitem__) == list(rows)
    assert max(abs(bounds[row] - printed[row]) for row in ("Gumbel-S", "ST Gumbel-S")) < 1
    gumbel, hard, straight = (f"{bounds[row]:.1f} ({{}}{printed[row]}; {short[row]:.1f}" for row in rows)
    assert f"Gumbel-Softmax has a bound of {gumbel.format('print ')} in the table above)" in SAID
    assert f"ST-Gumbel-Softmax {hard.format('')}), whose patience ended it after 329 epochs" in SAID
    assert f"and ST {straight.format('')})" in SAID
    own = {
        row: -mean(whole, f"{row}, VAE categorical", "test", "log_likelihood") for row in ("Gauss-Newton", "ReinMax")
    }
    assert max(bounds["Gumbel-S"], *own.values()) < bounds["ST Gumbel-S"]
    behind = f"{own['Gauss-Newton'] - bounds['Gumbel-S']:.1f} behind that of Gumbel-Softmax"
    said = f"Gauss-Newton's bound of {own['Gauss-Newton']:.1f} is {behind}, ReinMax has {own['ReinMax']:.1f}"
    assert said in SAID
    curves = results_of("jang-vae", "curves_vae_categorical.csv").pivot_table("value", "epoch", "row")
    newton = curves.pop("Gauss-Newton")
    first = {row: (curve > newton[20]).idxmax() for row, curve in curves.items() if (curve > newton[20]).any()}
    takes = "ReinMax {ReinMax} epochs, ST-Gumbel-Softmax {ST Gumbel-S} and Gumbel-Softmax {Gumbel-S}".format(**first)
    assert f"Gauss-Newton has a validation ELBO of {newton[20]:.1f}; this takes {takes}." in SAID
    assert "ST" not in first
    passed = {row: (curve > newton.max()).idxmax() for row, curve in curves.items() if (curve > newton.max()).any()}
    assert list(passed) == ["Gumbel-S"]
    best = f"Its best is {newton.max():.1f} after {newton.idxmax()}"
    assert f"{best}, and only Gumbel-Softmax passes it, after {passed['Gumbel-S']}." in SAID
    said = f"the validation ELBO that takes Gumbel-Softmax {first['Gumbel-S']}, which passes its best after"
    assert f"{said} {passed['Gumbel-S']} (one seed)" in sentences(PAGES["which-strategy.md"])
    ahead = curves["ReinMax"] - curves["Gumbel-S"]
    later = ahead[ahead.index > 180]
    level = f"level with it from {later[later < 0].index.min()} to {later[later > 0].index.max()}"
    said = f"ReinMax is {ahead[40]:.1f} nats ahead of Gumbel-Softmax after 40 epochs, {level}"
    assert f"{said}, and {-ahead[500]:.1f} behind after 500" in SAID
    tuned = mean(results, "ReinMax, VAE categorical", "validation", "elbo")
    assert f"ReinMax' VAE took 0.027 and has a validation ELBO of {tuned:.1f}. At 0.01," in SAID
    assert f"it has {curves['ReinMax'][40]:.1f} after as many epochs" in SAID
    assert f"ended it after 329 epochs (the best is {curves['ST Gumbel-S'].idxmax()})" in SAID
    ends = [mean(results, "ST, VAE categorical", "test", metric) for metric in ("elbo", "kl")]
    assert (
        "After 40 epochs at 0.027 (the table above) it has a test ELBO of {:.1f} and a KL of {:.1f} nats".format(*ends)
        in SAID
    )
    ends = [long(*(rows["ST"][0], metric, rows["ST"][1])) for metric in ("elbo", "kl")]
    assert "after 500 epochs it has {:.1f} and {:.1f}, and a worse bound.".format(*ends) in SAID
    elbo, kl, bound = (long("straight-through", metric, "0.0333") for metric in ("elbo", "kl", "log_likelihood"))
    better = f"{bounds['ST'] + bound:.1f} nats better and {printed['ST'] + bound:.1f} below print"
    cost = f"the learning rate that the ELBO chose cost straight-through {bounds['ST'] + bound:.1f} nats"
    assert cost in sentences(PAGES["which-strategy.md"])
    assert f"an ELBO of {elbo:.1f}, a KL of {kl:.1f} and a bound of {-bound:.1f}, {better} (430 epochs," in SAID
    assert -bound - bounds["ST Gumbel-S"] < 0.5, "it is level"
    assert curves["Gumbel-S"].loc[490:].idxmax() > 495
