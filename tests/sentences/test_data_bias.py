"""The documentation's sentences on the decoder's first bias, held to the committed results."""

from __future__ import annotations

from collections import Counter

from reports.data_bias import NETWORKS, ROWS
from tests.readme import SAID, kept, results_of, seeds_of

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

    conv, dense = gained("conv"), gained("MLP")
    assert f"the means of the rows are {conv[0]:.1f} to {conv[-1]:.1f} nats higher than those of the runs" in SAID
    assert f"gains less**: {dense[0]:.1f} to {dense[-1]:.1f} nats of test ELBO after two epochs" in SAID


def test_sentences_on_longer_runs() -> None:
    """Gauss-Newton on MNIST, whose rows the report on more data keeps."""
    ends: dict[bool, dict[int, float]] = {True: {}, False: {}}
    for config, value in kept("more-data", "test", "elbo"):
        architecture, data = config["architecture"], config["data"]["dataset"]
        if (config["strategy"], architecture["backbone"], data) == ("gauss-newton-local-expectation", "conv", "mnist"):
            ends[architecture.get("data_bias", False)][config["seed"]] = value
    said = "have a test ELBO of {:.1f}, {:.1f} and {:.1f}; from zero they have {:.1f}, {:.1f} and {:.1f}"
    assert said.format(*(ends[bias][seed] for bias in (True, False) for seed in range(3))) in SAID
