"""The documentation's sentences on the table of the ReinMax paper, held to the committed results."""

from __future__ import annotations

import pandas as pd

from reports import reinmax
from reports.target_propagation.settings import REINMAX
from tests.readme import SAID, apart, kept, mean, results_of, seeds_of


def test_sentences_on_the_reinmax_paper() -> None:
    results = results_of("reinmax")
    rows = ("ReinMax", "ST-GS", "Gumbel-Softmax", "Gauss-Newton")
    value = {row: mean(results, f"{row}, 10x30", "train", "elbo") for row in rows}
    assert f"ReinMax has {value['ReinMax'] - value['ST-GS']:.1f} nats less" in SAID
    assert f"It has {value['ReinMax'] - value['Gumbel-Softmax']:.1f} less than Gumbel-Softmax" in SAID
    level = apart(results, "ReinMax, 10x30", "Gumbel-Softmax, 10x30", "test", "elbo")
    assert abs(level[0]) < 0.1
    bound = {row: mean(results, f"{row}, 10x30", "test", "log_likelihood") for row in value}
    best, *rest = sorted(bound.values(), reverse=True)
    assert best == bound["Gumbel-Softmax"]
    assert sorted(bound, key=lambda row: -bound[row]) == ["Gumbel-Softmax", "ST-GS", "ReinMax", "Gauss-Newton"]
    said = "{:.1f}; ST-GS has {:.1f}, ReinMax {:.1f} and Gauss-Newton {:.1f}"
    assert said.format(best, *rest) in SAID
    pair = "ReinMax, 10x30", "Gauss-Newton, 10x30"
    more = [apart(results, *pair, split, "elbo")[0] for split in ("train", "test")]
    assert f"has {more[0]:.1f} more than ReinMax, and on the test images {more[1]:.1f} more" in SAID
    seeds = pd.Series(seeds_of(results_of("target-propagation"), REINMAX.label, "test", "elbo"))
    assert f"five seeds of ReinMax differ by a standard deviation of {seeds.std():.1f} nats" in SAID


def test_what_is_said_of_another_column() -> None:
    found = {config["seed"]: -value for config, value in kept("reinmax", "train", "elbo")}
    printed, other = (reinmax.PRINTED[f"{row}, 8x4"] for row in ("ST-GS", "GST-1.0"))
    said = f"has {found[0]:.1f} and {found[1]:.1f} with two seeds, where the paper prints {printed}."
    assert f"{said} These seeds are {found[0] - found[1]:.1f} apart" in SAID
    assert f"ST-GS and GST-1.0 in that column {printed - other:.1f}." in SAID
