"""The documentation's sentences on the table of the ReinMax paper, held to the committed results."""

from __future__ import annotations

import pandas as pd

from reports import reinmax
from reports.kit.kept import KEPT, ROWS
from reports.target_propagation.settings import REINMAX
from tests.readme import PAGES, SAID, apart, mean, results_of, seeds_of, sentences


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


def test_what_is_said_of_few_variables() -> None:
    results = results_of("reinmax-few")
    both = ("ReinMax", "ST-GS")
    three = ("ReinMax", "ST", "ST-GS")
    ours, prints = (
        [value(f"{row}, 8x4") for row in three]
        for value in (lambda row: -mean(results, row, "train", "elbo"), reinmax.PRINTED.__getitem__)
    )
    above = [one - other for one, other in zip(ours, prints, strict=True)]
    assert "ReinMax by {:.1f}, ST by {:.1f} and ST-GS by {:.1f} nats".format(*above) in SAID
    behind = [own[i] - own[0] for i in (1, 2) for own in (ours, prints)]
    assert "ST is {:.1f} nats behind ReinMax (print {:.1f}), ST-GS {:.1f} ({:.1f})".format(*behind) in SAID
    wide = [mean(results_of("reinmax"), f"{row}, 10x30", "train", "elbo") for row in both]
    assert max(abs(-value - reinmax.PRINTED[f"{row}, 10x30"]) for row, value in zip(both, wide, strict=True)) < 0.2
    one, other = seeds_of(results, "ST-GS, 8x4", "train", "elbo").values()
    assert f"The two seeds of ST-GS are {abs(one - other):.1f} nats apart" in SAID
    curves = {row: curve(results, f"{row}, 8x4") for row in (*three, "Gauss-Newton", "Gumbel-Softmax")}
    gained = sorted(value for row in three for value in curves[row][160] - curves[row][128])
    assert f"the last 32 epochs here gained {gained[0]:.1f} to {gained[-1]:.1f} nats of validation ELBO" in SAID
    newton, rival = curves["Gauss-Newton"], curves["ReinMax"]
    said = "a validation ELBO of {:.1f} and {:.1f} (ReinMax {:.1f} and {:.1f}), at the end {:.1f} and {:.1f}."
    assert said.format(*newton[40], *rival[40], *newton[160]) in SAID

    def train(row: str, metric: str) -> list[float]:
        return list(seeds_of(results, f"{row}, 8x4", "train", metric).values())

    (certain,) = {f"{value:.1f}" for value in train("Gauss-Newton", "kl")}
    said = f"the KL is {certain} nats, where four such variables can say 8.3, while the code's entropy falls to "
    entropies = train("Gauss-Newton", "code_entropy"), train("ReinMax", "code_entropy")
    assert (said + "{:.1f} and {:.1f} nats (ReinMax {:.1f} and {:.1f})").format(*entropies[0], *entropies[1]) in SAID
    relaxed = curves["Gumbel-Softmax"]
    values = *relaxed.max(axis=1), *relaxed.idxmax(axis=1), *relaxed[160]
    said = "their best validation ELBO, {:.1f} and {:.1f}, after {:.0f} and {:.0f} epochs, and end at {:.1f} and {:.1f}"
    assert said.format(*values) in SAID
    bounds = (
        seeds_of(results, f"{row}, 8x4", "test", "log_likelihood").values() for row in ("Gumbel-Softmax", "ReinMax")
    )
    said = "on test images is {:.1f} and {:.1f}, that of ReinMax {:.1f} and {:.1f}"
    assert said.format(*(value for own in bounds for value in own)) in SAID
    lead = mean(results, "ReinMax, 8x4", "train", "elbo") - mean(results, "Gauss-Newton, 8x4", "train", "elbo")
    guide = sentences(PAGES["which-strategy.md"])
    assert f"where it ends {lead:.1f} nats behind ReinMax on the training images after 160 epochs" in guide


def curve(results: pd.DataFrame, row: str) -> pd.DataFrame:
    """The validation ELBO by epoch of a row's runs, whose histories are kept: a line a seed, a column an epoch."""
    seeds = results[results["row"] == row].drop_duplicates("run").set_index("run")["seed"]
    table = pd.read_csv(KEPT / "reinmax" / ROWS).query("split == 'validation' and metric == 'elbo' and epoch > 0")
    own = table[table["run"].isin(seeds.index)]
    return own.assign(seed=own["run"].map(seeds)).pivot(index="seed", columns="epoch", values="value")
