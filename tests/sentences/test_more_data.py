"""The documentation's sentences on more data, held to the committed results and the kept runs."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from reports.more_data import ROWS as STRATEGIES
from tests.readme import PAGES, ROOT, SAID, apart, kept, mean, results_of, seeds_of, sentences, told

MNIST, FASHION, FEW, BIASED = "MNIST, MLP", "Fashion, MLP", "Omniglot, small, MLP", "Omniglot, small, MLP, data bias"


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return results_of("more-data")


def ahead(results: pd.DataFrame, row: str, task: str) -> str:
    """Of ReinMax, as the table of differences has it: two digits."""
    return told(apart(results, f"{row}, {task}", f"ReinMax, {task}", "test", "elbo"), 2)


def test_sentences_on_the_order(results: pd.DataFrame) -> None:
    """Of rows that are not target propagation."""

    def order(task: str) -> list[str]:
        rows = [row for row in STRATEGIES if not row.startswith("TP")]
        return sorted(rows, key=lambda row: -mean(results, f"{row}, {task}", "test", "elbo"))

    first, both = ["Gauss-Newton", "ReinMax"], {"Gumbel-Softmax", "ST-Gumbel-Softmax"}
    for task in (MNIST, FASHION):
        assert (order(task)[:2], set(order(task)[2:4]), order(task)[4]) == (first, both, "ST")
    assert (
        abs(mean(results, f"ST, {BIASED}", "test", "elbo") - mean(results, f"ReinMax, {BIASED}", "test", "elbo")) < 0.2
    )
    earlier = results_of("gauss-newton")
    named = {row: mean(earlier, f"{row}, 50 epochs, by ELBO", "test", "elbo") for row in (*first, *both)}
    assert sorted(named, key=lambda row: -named[row])[:2] == first


def test_sentences_on_gauss_newton(results: pd.DataFrame) -> None:
    assert f"It is {ahead(results, 'Gauss-Newton', MNIST)} nats on MNIST" in SAID
    differences = (ROOT / "reports/results/more-data/differences.md").read_text().split("*Fashion, MLP*")[1]
    line = next(each for each in differences.splitlines() if each.startswith("| Gauss-Newton less ReinMax"))
    holm = line.split("|")[4].strip()
    assert f"{ahead(results, 'Gauss-Newton', FASHION)} on Fashion-MNIST, which the correction for five pairs" in SAID
    assert f"leaves at p = {holm}" in SAID
    assert f"all runs learn, and Gauss-Newton is {ahead(results, 'Gauss-Newton', BIASED)} ahead" in SAID


def test_sentences_on_target_propagation(results: pd.DataFrame) -> None:
    ours = [ahead(results, "TP, Gauss-Newton", task) for task in (MNIST, BIASED)]
    assert f"it is {ours[0]} and {ours[1]} ahead of ReinMax" in SAID
    behind = told({k: -v for k, v in apart(results, *pair(FASHION), "test", "elbo").items()}, 2)
    assert f"On Fashion-MNIST it is {behind} behind" in SAID
    found = [
        value
        for config, value in kept("more-data", "test", "elbo")
        if (config["strategy"], config["data"]["dataset"]) == ("target-propagation", "fashion-mnist")
        and config["learning_rate"] == "0.004,decay=0.1,unit=run"
    ]
    newton = mean(results, f"Gauss-Newton, {FASHION}", "test", "elbo")
    assert len(found) == 3
    assert f"test ELBO of {told(dict(enumerate(found)))}, like Gauss-Newton's {newton:.1f}" in SAID
    lower = sum(found) / len(found) - mean(results, f"TP, Gauss-Newton, {FASHION}", "test", "elbo")
    assert f"with which it ends {lower:.0f} nats lower after 10" in sentences(PAGES["which-strategy.md"])
    chosen = {row: rate(results, row, FASHION) for row in STRATEGIES}
    assert chosen.pop("TP, Gauss-Newton") == "0.000562"
    assert set(chosen.values()) == {"0.004"}


def pair(task: str) -> tuple[str, str]:
    return f"TP, Gauss-Newton, {task}", f"ReinMax, {task}"


def rate(results: pd.DataFrame, row: str, task: str) -> str:
    """The initial learning rate of a row's final runs."""
    (found,) = {
        json.loads(each)["learning_rate"].split(",")[0]
        for each in results[results["row"] == f"{row}, {task}"]["parameters"]
    }
    return found


def test_sentences_on_the_bound(results: pd.DataFrame) -> None:
    def first(task: str) -> tuple[str, float]:
        bounds = {row: mean(results, f"{row}, {task}", "test", "log_likelihood") for row in STRATEGIES}
        best = max(bounds, key=bounds.__getitem__)
        return best, bounds[best] - bounds["Gauss-Newton"]

    best, more = first(FASHION)
    assert best == "Gumbel-Softmax"
    assert f"Gumbel-Softmax is first on Fashion-MNIST**, {more:.1f} nats ahead of Gauss-Newton" in SAID
    assert {first(task)[0] for task in (MNIST, FEW, BIASED)} <= {"Gauss-Newton", "TP, Gauss-Newton"}


def test_sentences_on_runs_that_fail(results: pd.DataFrame) -> None:
    ends = {
        task: sorted(
            (v, row) for row in STRATEGIES for v in seeds_of(results, f"{row}, {task}", "test", "elbo").values()
        )
        for task in (FEW, BIASED)
    }
    assert {rate(results, row, FEW) for row in STRATEGIES} == {"0.0107"}
    assert {rate(results, row, BIASED) for row in STRATEGIES} == {"0.0015"}
    failed, others = ends[FEW][:4], ends[FEW][4:]
    assert {row for _, row in failed[:2]} == {"ReinMax", "ST-Gumbel-Softmax"}
    assert failed[1][0] < -240
    assert {row for _, row in failed[2:]} == {"TP, Gauss-Newton"}
    assert f"two of target propagation end at {failed[3][0]:.1f} and {failed[2][0]:.1f}" in SAID
    assert min(others)[0] > -151
    assert len(ends[BIASED]) == 18
    assert min(ends[BIASED])[0] > -154
    tuning = results_of("more-data", "tuning.csv")
    trials = tuning[tuning["epoch"] == 8].groupby("row")["value"].max()
    best = {task: [trials[f"{row}, {task}"] for row in STRATEGIES] for task in (FEW, BIASED)}
    assert f"between {min(best[BIASED]):.1f} and {max(best[BIASED]):.1f}, from 0 between" in SAID
    assert f"from 0 between {min(best[FEW]):.1f} and {max(best[FEW]):.1f}" in SAID
    newton = [mean(results, f"Gauss-Newton, {task}", "test", "elbo") for task in (BIASED, FEW)]
    assert f"(Gauss-Newton {newton[0]:.1f}, not {newton[1]:.1f})" in SAID


def test_sentences_on_the_first_convolutions() -> None:
    finals = [
        (config["seed"], value)
        for config, value in kept("more-data", "validation", "elbo", 10)
        if (config["architecture"]["backbone"], config["data"]["dataset"], config["epochs"]) == ("conv", "mnist", 10)
        and not config["architecture"].get("data_bias")
    ]
    assert len(finals) == 18
    failed = [(seed, value) for seed, value in finals if value < -190]
    assert len(failed) == 4
    assert len({seed for seed, _ in failed}) == 1
    assert min(value for _, value in finals if value >= -190) > -140
