"""The documentation's sentences on the decoder's first bias, held to the committed results."""

from __future__ import annotations

import json
import math
from collections import Counter

from reports.data_bias import NETWORKS, ROWS
from tests.readme import SAID, apart, kept, results_of, seeds_of, told

FAILED = -200
"""ELBO of a run that has learned one image for all codes."""


def runs() -> dict[tuple[str, str, str], list[float]]:
    """The test ELBO of every seed, by network, start and row."""
    results = results_of("data-bias")
    return {
        (network, start, row.label): list(
            seeds_of(results, f"{row.label}, {network}, {start}", "test", "elbo").values()
        )
        for network in NETWORKS
        for start in ("zero", "data")
        for row in ROWS
    }


def test_sentences_on_runs_that_fail() -> None:
    failed = Counter({key: sum(value < FAILED for value in values) for key, values in runs().items()})
    assert +failed == {("conv", "zero", "Gumbel-Softmax"): 1, ("conv", "zero", "Gauss-Newton"): 2}
    assert "From zero 3 of the 20 runs end with an ELBO below -200 (Gumbel-Softmax once, Gauss-Newton twice)" in SAID


def test_sentences_on_what_is_gained() -> None:
    found = {key: [value for value in values if value > FAILED] for key, values in runs().items()}

    def gained(network: str) -> list[float]:
        means = {key: sum(values) / len(values) for key, values in found.items()}
        return sorted(means[network, "data", row.label] - means[network, "zero", row.label] for row in ROWS)

    conv = gained("conv")
    assert f"the means of the rows are {conv[0]:.1f} to {conv[-1]:.1f} nats higher than those of the runs" in SAID
    results = results_of("data-bias")
    dense = [told(apart(results, f"{row.label}, MLP, data", f"{row.label}, MLP, zero", "test", "elbo")) for row in ROWS]
    said = "{} nats of test ELBO for Gumbel-Softmax, {} for ST and {} for ReinMax, paired over seeds. "
    said += "For Gauss-Newton no gain is shown ({})."
    assert said.format(*dense) in SAID


def test_sentences_on_codes_of_runs_that_fail() -> None:
    results = results_of("data-bias").query("split == 'test'").pivot_table("value", ["row", "seed"], "metric")
    lost = results[results["elbo"] < -270]
    assert len(lost) == 2
    assert {round(each) for each in lost["elbo"]} == {-275}
    assert max(abs(lost["kl"] - 30 * math.log(10))) < 0.1
    assert lost["code_entropy"].max() < 0.01
    assert f"30 ln 10 = {30 * math.log(10):.1f} nats" in SAID


def test_sentences_on_other_rates() -> None:
    """Trials with convolutions: of the report on more data, and from zero those that it keeps."""
    found: dict[tuple[str, bool, str], float] = {}
    for config, value in kept("more-data", "validation", "elbo", 2):
        architecture, rate = config["architecture"], config["learning_rate"].split(",")[0]
        place = architecture["backbone"], config["data"]["dataset"], config["epochs"], architecture.get("data_bias")
        if place == ("conv", "mnist", 2, None) and (config["weight_decay"] == "0" or rate == "0.0107"):
            found[config["strategy"], False, rate] = value
    trials = results_of("more-data", "tuning.csv")
    trials = trials[trials["row"].str.endswith(", MNIST, conv") & (trials["epoch"] == 2)]
    for strategy, parameters, value in trials[["strategy", "parameters", "value"]].itertuples(index=False):
        config = json.loads(parameters)
        rate = config["learning_rate"].split(",")[0]
        if rate == "0.0107" or "weight_decay" not in config:
            found[strategy, True, rate] = value
    ends = {strategy: value for (strategy, bias, rate), value in found.items() if bias and rate == "0.0107"}
    assert len(ends) == 6
    newton = "gauss-newton-local-expectation"
    assert f"{ends.pop(newton):.1f}" == "-204.9"
    assert min(ends.values()) > -150
    assert found[newton, False, "0.0107"] > -150
    more = sorted(
        value - found[strategy, False, rate]
        for (strategy, bias, rate), value in found.items()
        if bias and rate == "0.0015"
    )
    assert f"the rows from the data were {more[0]:.1f} to {more[-1]:.1f} nats ahead" in SAID


def test_sentences_on_longer_runs() -> None:
    """Gauss-Newton on MNIST, whose rows the report on more data keeps."""
    ends: dict[bool, dict[int, float]] = {True: {}, False: {}}
    for config, value in kept("more-data", "test", "elbo"):
        architecture, data = config["architecture"], config["data"]["dataset"]
        if (config["strategy"], architecture["backbone"], data) == ("gauss-newton-local-expectation", "conv", "mnist"):
            ends[architecture.get("data_bias", False)][config["seed"]] = value
    said = "have a test ELBO of {:.1f}, {:.1f} and {:.1f}; from zero they have {:.1f}, {:.1f} and {:.1f}"
    assert said.format(*(ends[bias][seed] for bias in (True, False) for seed in range(3))) in SAID
