"""The documentation's sentences on target propagation, held to the committed results."""

from __future__ import annotations

from discrete_vae.evaluation import statistics
from reports.kit.results import Metric, differences
from reports.target_propagation.settings import GUMBEL, LOCAL, MIRROR, REINMAX, STRAIGHT_THROUGH, Variant
from reports.target_propagation.tables import PAIRS
from tests.readme import SAID, results_of, told


def test_sentences_on_target_propagation() -> None:
    results = results_of("target-propagation")
    found = {metric: differences(results, PAIRS, Metric("test", metric)) for metric in ("elbo", "log_likelihood")}

    def pair(first: Variant, second: Variant, metric: str, digits: int = 2) -> str:
        text = told(found[metric][first.label, second.label][0], digits)
        return text if text.startswith("-") else f"+{text}"

    values, p, corrected = found["elbo"][MIRROR.label, GUMBEL.label]
    assert f"is {told(values)} nats ahead of Gumbel-Softmax" in SAID
    assert f"p = {p:.1g}; {corrected:.2g} after Holm's correction for {len(found['elbo'])} tests" in SAID
    values, p, _ = found["elbo"][LOCAL.label, GUMBEL.label]
    assert f"it is {told(values)} nats ahead (p = {p:.1g})" in SAID
    for rival in (STRAIGHT_THROUGH, REINMAX):
        for variant in (MIRROR, LOCAL):
            assert pair(variant, rival, "elbo") in SAID
            assert found["elbo"][variant.label, rival.label][2] > statistics.LEVEL
    for variant in (MIRROR, LOCAL):
        assert pair(variant, GUMBEL, "log_likelihood") in SAID
        assert all(
            found["log_likelihood"][variant.label, rival.label][2] > statistics.LEVEL
            for rival in (GUMBEL, STRAIGHT_THROUGH, REINMAX)
        )
    corrected = found["log_likelihood"][LOCAL.label, GUMBEL.label][2]
    assert f"but {corrected:.2f} after Holm's correction" in SAID
    signals = results_of("target-propagation", "signals.csv")
    last = signals[(signals["epoch"] == 10) & (signals["metric"] == "elbo")].set_index("row")["value"]
    for inverse, names in (
        ("encoder", ("Euclidean (thesis)", "Fisher-Rao", "log-ratio", "matching")),
        ("mirror", ("second-order", "Euclidean", "Fisher-Rao", "log-ratio", "matching")),
    ):
        values = [(name.partition(" (")[0], last[f"TP, {inverse}, {name}"]) for name in names]
        assert ", ".join(f"{name} {value:.1f}" for name, value in values) in SAID
        assert [value for _, value in values] == sorted((value for _, value in values), reverse=True)
