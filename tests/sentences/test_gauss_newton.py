"""The documentation's sentences on Gauss-Newton targets, held to the committed results."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.gauss_newton.tables import OURS
from reports.gauss_newton.tables import PAIRS as PAIRS_OF_NEWTON
from reports.kit.results import Metric, differences, line
from reports.target_propagation.settings import GUMBEL, REINMAX
from tests.readme import ROOT, SAID, apart, mean, results_of, seeds_of, told


def test_sentences_on_gauss_newton_targets() -> None:
    results = results_of("gauss-newton")
    newton, targets, local = OURS

    def row(label: str, epochs: int, chosen: str = "ELBO") -> str:
        return line(label, f"{epochs} epochs, by {chosen}")

    def ahead(label: str, other: str, *lengths: int, split: str = "test") -> list[str]:
        return [told(apart(results, row(label, each), row(other, each), split, "elbo"), 2) for each in lengths]

    lead = ahead(newton, "ReinMax", 10, 20, 50)
    assert f"Gauss-Newton is {lead[0]} nats ahead of ReinMax after 10 epochs, {lead[1]} after 20 and {lead[2]}" in SAID
    (gumbel,) = ahead(newton, "Gumbel-Softmax", 50)
    assert f"and {gumbel} ahead of Gumbel-Softmax after 50" in SAID
    for label, said in (
        (targets, "As target propagation it is {}, {} and {} ahead"),
        (local, "layer-local {}, {} and {} ("),
    ):
        assert said.format(*ahead(label, "ReinMax", 10, 20, 50)) in SAID
    corrected = {}
    for epochs in (10, 20, 50):
        pairs = [(row(one, epochs), row(other, epochs)) for one, other in PAIRS_OF_NEWTON]
        found = differences(results, pairs, Metric("test", "elbo"))
        corrected |= {
            (*names, epochs): found[pair][2]
            for names, pair in zip(PAIRS_OF_NEWTON, pairs, strict=True)
            if pair in found
        }
    assert max(corrected[newton, "ReinMax", epochs] for epochs in (10, 20, 50)) < 0.0031
    assert f"(p = {corrected[targets, 'ReinMax', 50]:.2g} corrected for the last)" in SAID
    assert f"({corrected[local, 'ReinMax', 50]:.2g} corrected)" in SAID
    (train,) = ahead(newton, "ReinMax", 50, split="train")
    assert f"{train.split()[0]} nats on the training images" in SAID
    leads = [apart(results, row(newton, 50), row("ReinMax", 50), split, "elbo") for split in ("train", "test")]
    assert (
        f"its distance between the two is {told({seed: leads[0][seed] - leads[1][seed] for seed in leads[0]}, 2)}"
        in SAID
    )
    decays = (ROOT / "reports" / "results" / "gauss-newton" / "decays.md").read_text().replace("\N{MINUS SIGN}", "-")
    gained = dict[str, float]()
    for label in ("Gauss-Newton", "ReinMax", "RLOO (4)", "Gumbel-Softmax", "ST-Gumbel-Softmax"):
        found = next(each for each in decays.splitlines() if each.startswith(f"| {label} |"))
        without, *decayed = (float(each) for each in found.replace("*", "").split("|")[6:9])
        gained[label] = max(decayed) - without
    own, *others = gained.values()
    assert (
        f"the best decay adds {own:.1f} nats to Gauss-Newton after 50 epochs, and {min(others):.1f} to "
        f"{max(others):.1f} to ReinMax, leave-one-out and both Gumbel-Softmax estimators"
    ) in SAID

    def score(label: str, split: str, metric: str, chosen: str = "bound") -> str:
        return f"{mean(results, row(label, 50, chosen), split, metric):.1f}"

    pairs = [
        tuple(row(label + end, 50, "bound") for label in labels)
        for labels, end in (
            ((newton, "Gumbel-Softmax"), ""),
            ((newton, "Gumbel-Softmax"), ", bound (5)"),
            ((targets, newton), ", bound (5)"),
        )
    ]
    tests = differences(results, pairs, Metric("test", "log_likelihood"))
    (_, p, holm), (_, _, holm_of_five), _ = tests.values()
    assert holm > statistics.LEVEL
    assert f"p = {p:.1g}, but {holm:.1g} after Holm's correction for the three tests of this section" in SAID
    for end, of_both in (("", "{1} against {0}"), (", bound (5)", "{0} against {1}")):
        for split in ("test", "validation"):
            both = [score(label + end, split, "log_likelihood") for label in ("Gumbel-Softmax", newton)]
            assert split == "validation" or of_both.format(*both) in SAID
        rows = (row(newton + end, 50, "bound"), row("Gumbel-Softmax" + end, 50, "bound"))
        assert f"({told(apart(results, *rows, 'test', 'log_likelihood'), 2)}, " in SAID
    assert f", {holm_of_five:.1g} corrected). With 100 samples" in SAID
    earlier, added = results_of("target-propagation"), []
    for label, before in (("ReinMax", REINMAX.label), ("Gumbel-Softmax", GUMBEL.label)):
        now, then = _settings(results, row(label, 50)), _settings(earlier, before)
        assert now.pop("weight_decay") == "0.03"
        assert now == then
        decayed, plain = seeds_of(results, row(label, 50), "test", "elbo"), seeds_of(earlier, before, "test", "elbo")
        added.append(told({seed: decayed[seed] - plain[seed] for seed in plain}))
    assert f"0.03 adds {added[0]} nats of test ELBO to ReinMax and {added[1]} to Gumbel-Softmax" in SAID
    curve = results_of("gauss-newton", "learning_curves.csv").groupby(["row", "epoch"])["value"].mean()
    passed = int((curve[newton] > curve["ReinMax"][50]).idxmax())
    assert f"it passes the validation ELBO of ReinMax' end after {passed}." in SAID
    provenance = json.loads((ROOT / "reports" / "results" / "gauss-newton" / "provenance.json").read_text())
    seconds = {entry["run"]: entry["training_seconds"] for entry in provenance["runs"]}

    def spent(label: str) -> float:
        runs = results[results["row"] == row(label, 50)]["run"].unique()
        return sum(seconds[run] for run in runs) / len(runs)

    times = [f"{spent(label) / spent('Gumbel-Softmax'):.1f} times" for label in OURS]
    assert "took {} those of Gumbel-Softmax, as target propagation {}, layer-local {}".format(*times) in SAID
    slow = [mean(results, row("RLOO (4)", epochs), "test", "elbo") for epochs in (10, 20, 50)]
    assert "a test ELBO of {:.1f} after 10 epochs, {:.1f} after 20 and {:.1f} after 50".format(*slow) in SAID
    rows = [row(f"{label}, bound (5)", 50, "bound") for label in (targets, newton)]
    both = apart(results, *rows, "test", "log_likelihood")
    p = statistics.paired_p(both, dict.fromkeys(both, 0.0))
    assert f"It then has {mean(results, rows[0], 'test', 'log_likelihood'):.1f}, and is not told apart" in SAID
    assert f"(+{told(both, 2)}, p = {p:.1g})" in SAID
    end = apart(results, row(targets, 50), row("Gumbel-Softmax", 50), "test", "elbo")
    assert f"{told(end).split()[0]} nats of test ELBO ahead of Gumbel-Softmax" in SAID
    assert corrected[targets, "ReinMax", 50] > statistics.LEVEL > corrected[local, "ReinMax", 50]
    for epochs, later, most in ((10, row("ReinMax", 20), 0.8), (20, row("Gumbel-Softmax", 50), 0.2)):
        found = apart(results, row(newton, epochs), later, "test", "elbo")
        assert abs(statistics.interval(list(found.values())).mean) < most
        assert statistics.paired_p(found, dict.fromkeys(found, 0.0)) > statistics.LEVEL


def _settings(results: pd.DataFrame, row: str) -> dict[str, Any]:
    """What differs from the defaults."""
    (found,) = results[results["row"] == row]["parameters"].unique()
    return dict(json.loads(found))
