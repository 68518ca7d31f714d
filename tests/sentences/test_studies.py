"""The documentation's sentences on the committed study, held to the committed results."""

from __future__ import annotations

import pandas as pd

from discrete_vae.evaluation import statistics
from tests.readme import ROOT, SAID, seeds_of, told


def test_sentences_on_the_study() -> None:
    results = pd.read_csv(ROOT / "reports" / "results" / "studies" / "results.csv", dtype={"trial": str})
    values: dict[tuple[str, str], statistics.Seeds] = {}
    counts = []
    for study, trials in results[results["state"] == "complete"].groupby("row", sort=False):
        winner = trials.groupby("trial")["value"].mean().idxmax()
        counts.append(trials["trial"].nunique())
        own = results[(results["row"] == study) & (results["trial"] == winner) & (results["state"] == "again")]
        for metric in ("elbo", "log_likelihood"):
            values[str(study).partition("/")[2], metric] = seeds_of(own, str(study), "test", metric)

    def difference(first: str, second: str, metric: str) -> str:
        one, other = values[first, metric], values[second, metric]
        return told({seed: one[seed] - other[seed] for seed in one})

    gumbel, target, straight = "gumbel-softmax", "target-propagation", "straight-through-gumbel-softmax"
    assert f"is {difference(target, gumbel, 'elbo')} nats ahead of Gumbel-Softmax on the test ELBO" in SAID
    assert f"and {difference(target, straight, 'elbo')} ahead of its straight-through kin" in SAID
    assert f"is {difference(gumbel, target, 'log_likelihood')} ahead of target propagation" in SAID
    assert f"and {difference(gumbel, straight, 'log_likelihood')} of straight-through" in SAID
    assert f"not told apart ({difference(target, straight, 'log_likelihood')})" in SAID
    fifths = [-(-count // 5) for count in counts]
    parts = [f"{fifth} of {count}" for fifth, count in zip(fifths, counts, strict=True)]
    assert f"({', '.join(parts[:2])} and {parts[2]})" in SAID
