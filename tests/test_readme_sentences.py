"""The numbers in the documentation's sentences on results, and in the README's, are those of the committed results."""

from __future__ import annotations

import json
import re
from typing import Any

import pandas as pd
import pytest

from discrete_vae.evaluation import statistics
from reports import (
    jang,
    semi_supervised,
)
from reports.benchmarks.measurements import by_row
from reports.gauss_newton.tables import OURS
from reports.gauss_newton.tables import PAIRS as PAIRS_OF_NEWTON
from reports.kit.results import Metric, differences, line
from reports.moves.steps import stored
from reports.sequences import ROWS
from reports.target_propagation.settings import GUMBEL, LOCAL, MIRROR, REINMAX, STRAIGHT_THROUGH, Variant
from reports.target_propagation.tables import PAIRS
from reports.thesis import from_print
from reports.thesis.settings import PRESETS, PRINTED
from tests.readme import ROOT, SAID, TEXT, apart, mean, results_of, seeds_of, sentences, told

TABLES = sentences("\n".join(path.read_text() for path in (ROOT / "reports" / "results").glob("*/*.md")))
NUMBER = re.compile(r"-?\d+\.\d+(?= nats)|-?\d+\.\d+ ± \d+\.\d+")
"""What the README says in nats or with an interval."""


def test_numbers_of_the_readme_stand_on_the_pages_of_results() -> None:
    """These are held to the committed results below."""
    assert set(NUMBER.findall(sentences(TEXT))) <= set(NUMBER.findall(SAID)) | set(NUMBER.findall(TABLES))


def test_sentences_on_the_thesis() -> None:
    results = results_of("thesis")
    rows = half, tenth, rule, straight, learned = list(PRESETS["full"].table)
    gaps = {row: abs(from_print(results, row, row).value) for row in PRINTED}  # type: ignore[union-attr]
    assert max(gaps[half], gaps[rule]) < 1.1
    assert f"misses the print by {gaps[tenth]:.1f} nats" in SAID
    assert f"{told(apart(results, rule, half, 'validation', 'reconstruction_hard'))} nats worse than" in SAID
    assert f"is {told(apart(results, half, rule, 'validation', 'elbo'))} nats ahead of the rule" in SAID
    assert f"is {told(apart(results, learned, rule, 'validation', 'elbo'))} nats ahead of the rule" in SAID
    assert f"{told(apart(results, straight, half, 'test', 'elbo'))} nats ahead of Gumbel-Softmax" in SAID
    assert f"{told(apart(results, half, straight, 'test', 'log_likelihood'))} nats ahead of it" in SAID
    assert statistics.winner({row: Metric("test", "elbo").of(results, row) for row in rows}) == straight

    def line(row: str, split: str, metric: str) -> float:
        (value,) = Metric(split, metric).of(results, f"Sensitivity, {rule}, {row}").values()
        return value

    none = "10 epochs: beta = 0, y = pi, f(x')"
    training, validation = (line(none, split, "reconstruction_hard") for split in ("train", "validation"))
    assert f"(training {training:.1f}, validation {validation:.1f})" in SAID
    assert f"add up to {line(none, 'validation', 'code_entropy'):.0f} of 69 nats" in SAID
    long = {"beta from 0 to 0.05 over 2% of the run": "f(x')", "beta = 0.05": "f(x')"}
    ends = [
        line(f"50 epochs: {beta}, y = pi, {shown}", "validation", "reconstruction_hard") for beta, shown in long.items()
    ]
    sample = line("50 epochs: beta = 0.05, y = pi, f(sample of x')", "validation", "reconstruction_hard")
    above, below, sampled = (value - PRINTED[rule]["validation"] for value in (*ends, sample))
    assert f"ends {above:.1f} nat above the print, a constant 0.05 ends {-below:.1f} below it" in SAID
    assert f"ends {sampled:.1f} above it" in SAID


def test_sentences_on_target_propagation() -> None:
    results = results_of("target-propagation")
    found = {metric: differences(results, PAIRS, Metric("test", metric)) for metric in ("elbo", "log_likelihood")}

    def pair(first: Variant, second: Variant, metric: str, digits: int = 2) -> str:
        text = told(found[metric][first.label, second.label][0], digits)
        return text if text.startswith("-") else f"+{text}"

    values, p, corrected = found["elbo"][MIRROR.label, GUMBEL.label]
    assert f"is {told(values)} nats ahead of the best-tuned Gumbel-Softmax" in SAID
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

    def score(label: str, split: str, metric: str, chosen: str = "bound") -> str:
        return f"{mean(results, row(label, 50, chosen), split, metric):.1f}"

    for end in ("", ", bound (5)"):
        for split in ("test", "validation"):
            both = [score(label + end, split, "log_likelihood") for label in ("Gumbel-Softmax", newton)]
            first, second = both if split == "test" else reversed(both)
            assert f"{first} against {second}" in SAID
        rows = (row(newton + end, 50, "bound"), row("Gumbel-Softmax" + end, 50, "bound"))
        behind = apart(results, *rows, "test", "log_likelihood")
        assert f"({told(behind, 2)}, p = {statistics.paired_p(behind, dict.fromkeys(behind, 0.0)):.1g})" in SAID
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
    assert f"{told(end).split()[0]} nats of test ELBO ahead of the best-tuned Gumbel-Softmax" in SAID
    assert corrected[targets, "ReinMax", 50] > statistics.LEVEL > corrected[local, "ReinMax", 50]
    for epochs, later, most in ((10, row("ReinMax", 20), 0.8), (20, row("Gumbel-Softmax", 50), 0.2)):
        found = apart(results, row(newton, epochs), later, "test", "elbo")
        assert abs(statistics.interval(list(found.values())).mean) < most
        assert statistics.paired_p(found, dict.fromkeys(found, 0.0)) > statistics.LEVEL


def test_sentences_on_decoded_moves() -> None:
    results, steps = results_of("moves"), stored()

    def ratios(name: str) -> list[float]:
        return [found.ratio for each in steps.values() for found in each if found.name == name]

    eight, every = ratios("8"), ratios("all")
    said = f"With 8 of them a step takes {min(eight):.1f} to {max(eight):.1f} times as long, with all of them"
    assert f"{said} {min(every):.1f} to {max(every):.0f} times" in SAID
    behind = []
    for size in steps:
        rows = {head: line(head, size) for head in ("none", "8", "32", "all")}
        made = {head: row for head, row in rows.items() if (results["row"] == row).any()}
        elbo = {head: mean(results, row, "validation", "elbo") for head, row in made.items()}
        best = elbo.pop("none")
        behind.append(best - max(elbo.values()))
    assert f"the second-best column is {min(behind):.1f} to {max(behind):.1f} nats behind" in SAID


def _settings(results: pd.DataFrame, row: str) -> dict[str, Any]:
    """What differs from the defaults."""
    (found,) = results[results["row"] == row]["parameters"].unique()
    return dict(json.loads(found))


def test_sentences_on_the_reinmax_paper() -> None:
    results = results_of("reinmax")
    rows = ("ReinMax", "ST-GS", "Gumbel-Softmax", "Gauss-Newton")
    value = {row: mean(results, f"{row}, 10x30", "train", "elbo") for row in rows}
    assert f"ReinMax has {value['ReinMax'] - value['ST-GS']:.1f} nats less" in SAID
    assert f"and {value['ReinMax'] - value['Gumbel-Softmax']:.1f} less than Gumbel-Softmax" in SAID
    bound = {row: mean(results, f"{row}, 10x30", "test", "log_likelihood") for row in value}
    best, *rest = sorted(bound.values(), reverse=True)
    assert best == bound["Gumbel-Softmax"]
    assert f"{best:.1f}, before {rest[0]:.1f}, {rest[1]:.1f} and {rest[2]:.1f}" in SAID
    pair = "ReinMax, 10x30", "Gauss-Newton, 10x30"
    more = [apart(results, *pair, split, "elbo")[0] for split in ("train", "test")]
    assert f"has {more[0]:.1f} more than ReinMax, and on the test images {more[1]:.1f} more" in SAID
    seeds = pd.Series(seeds_of(results_of("target-propagation"), REINMAX.label, "test", "elbo"))
    assert f"five seeds of ReinMax differ by a standard deviation of {seeds.std():.1f} nats" in SAID


def test_sentences_on_classification() -> None:
    """No row but one is above the labels alone beyond the seeds' spread, tests of all rows corrected."""
    report = semi_supervised.REPORT
    gains = {
        row: (points, corrected)
        for (row, _), (points, _, corrected) in differences(
            results_of("semi-supervised"), report.pairs, report.metrics[0]
        ).items()
    }
    ordered = sorted(gains, key=lambda row: statistics.interval(list(gains[row][0].values())).mean)
    lowest, highest = (told(gains[row][0], 2) for row in (ordered[0], ordered[-1]))
    assert f"The lowest gain is {lowest} points" in SAID
    assert f"the highest {highest}" in SAID
    (sure,) = (row for row, (_, p) in gains.items() if p < statistics.LEVEL)
    assert f"only that of {sure} ({told(gains[sure][0], 2)}) is below 5%" in SAID


def test_sentences_on_strings() -> None:
    results = results_of("sequences")
    for dataset, metric in (("expressions", "valid"), ("molecules", "valid"), ("molecules", "unique")):
        models = [f"{order}-gram model" for order in (1, 2, 3, 4)]
        best = max(models, key=lambda model: mean(results, f"{model}, {dataset}", "test", metric))
        matched = Metric("test", metric).of(results, f"{best}, {dataset}")
        labels = [row.label for row in ROWS]
        shares = {row: Metric("test", metric).of(results, f"{row}, {dataset}") for row in labels}
        p_values = statistics.holm([statistics.welch_p(values, matched) for values in shares.values()])
        model = statistics.interval(list(matched.values())).mean
        signs = {
            row: 0 if p >= statistics.LEVEL else 1 if statistics.interval(list(values.values())).mean > model else -1
            for (row, values), p in zip(shares.items(), p_values, strict=True)
        }
        if (dataset, metric) == ("expressions", "valid"):
            assert best == "4-gram model"
            assert set(signs.values()) == {1}, "every generator writes more"
        elif metric == "valid":
            assert best == "2-gram model"
            assert set(signs.values()) == {-1}, "every generator writes fewer"
            assert f"the 2-gram model has {model:.1%}" in SAID
            four = seeds_of(results, "4-gram model, molecules", "test", "valid")
            assert max(statistics.holm([statistics.welch_p(values, four) for values in shares.values()])) < 0.05
        else:
            assert signs == dict.fromkeys(labels, 1) | {"score function": 0}
            own = statistics.interval(list(shares["score function"].values())).mean
            assert f"the score function ({own:.1%}) is not told apart from it (p = {max(p_values):.2f})" in SAID


MADE = ["modes", "near", "close"]
"""What is measured of generators' points."""


def test_sentences_on_critics() -> None:
    results = results_of("critics")

    values, p_values = {}, {}
    for data in ("8 Gaussians", "25 Gaussians"):
        for kind, split, metrics in (("critic alone", "centres", ["peaks", "dip"]), ("generator", "test", MADE)):
            rows = [f"{kind}, {data}, {constraint}" for constraint in ("gradient penalty", "weight clipping")]
            for metric in metrics:
                values[data, metric] = apart(results, *rows, split, metric)
                both = (Metric(split, metric).of(results, row) for row in rows)
                p_values[data, metric] = statistics.paired_p(*both)
    corrected = dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))
    assert len(values) == 10
    close, near = ("8 Gaussians", "close"), ("8 Gaussians", "near")
    told_close = f"({told(values[close], 2)} more, paired p = {p_values[close]:.1g}"
    assert f"{told_close}, but {corrected[close]:.2f} after Holm's" in SAID
    assert f"({told(values[near], 2)}, p = {p_values[near]:.1g})" in SAID
    (norm,) = seeds_of(results, "deep critic, clipping at 0.1", "validation", "gradient_norm_1").values()
    norms = results[results["row"] == "deep critic, gradient penalty"]["value"]
    assert f"stays between {norms.min():.1f} and {norms.max():.1f} through 12" in SAID
    assert f"it grows to {norm / 1e5:.1f} · 10⁵" in SAID
    peaks = seeds_of(results, "critic alone, 25 Gaussians, gradient penalty", "centres", "peaks")
    assert f"({', '.join(f'{peaks[seed]:.0f}' for seed in (0, 1))} and {peaks[2]:.0f})" in SAID


def test_sentences_on_a_critic_in_place_of_the_kl() -> None:
    results = results_of("adversarial-vae")

    def change(metric: str, digits: int = 0) -> list[str]:
        names = ("Gumbel-Softmax", "ST-Gumbel-Softmax")
        return [told(apart(results, f"{name}, critic", f"{name}, KL", "test", metric), digits) for name in names]

    entropies = [text.removeprefix("-") for text in change("code_entropy", 2)]
    assert f"as close to the prior as the KL does ({entropies[0]} and {entropies[1]} nats farther)" in SAID
    means = {
        metric: [text.partition(" ")[0].removeprefix("-") for text in change(metric)]
        for metric in ("reconstruction_hard", "elbo", "log_likelihood")
    }
    assert "Reconstructions gain {} and {} nats".format(*means["reconstruction_hard"]) in SAID
    assert (
        "are {} and {} nats behind on the ELBO, {} and {} on the bound".format(*means["elbo"], *means["log_likelihood"])
        in SAID
    )


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


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ("target-propagation", "the runs of the full one took {:.1f} hours in sum"),
        ("studies", "Its runs took {:.1f} hours in sum"),
    ],
)
def test_how_long_was_trained(report: str, sentence: str) -> None:
    seconds = json.loads((ROOT / "reports" / "results" / report / "provenance.json").read_text())["training_seconds"]
    assert sentence.format(seconds / 3600) in SAID


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
    assert orders["SBN categorical"][:6] == ["Gumbel-S", "ST Gumbel-S", "ST", "Gauss-Newton", "ReinMax", "TP, mirror"]
    assert orders["VAE categorical"][:6] == ["Gumbel-S", "Gauss-Newton", "ST Gumbel-S", "ST", "TP, mirror", "ReinMax"]
    assert "Gauss-Newton is 4th of 12 on structured prediction and 2nd in the VAE;" in SAID
    assert "ReinMax and target propagation are 5th and 6th, and 6th and 5th." in SAID
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


GAUSS_NEWTON = "gauss-newton-local-expectation", "target-propagation, Gauss-Newton"


def test_what_is_said_of_gradients() -> None:
    """Cosines of one draw at the defaults after 20 epochs, and which biases can be seen."""
    results = results_of("gradients")
    last = results[results["epoch"] == 20].drop_duplicates(["row", "metric"])  # the defaults come first
    values = last.pivot(index="row", columns="metric", values="value")
    cosine = values["cosine"]
    ordered = [name for name in cosine.sort_values(ascending=False).index if name not in GAUSS_NEWTON]
    best = ["unordered-set", "sum-and-sample", "local-expectation", "carms", "rloo", "rodeo"]
    assert ordered[:8] == [*best, "disarm-tree", "disarm-stick-breaking"]
    assert set(ordered[8:12]) == {"relax", "rebar, coupled", "rebar", "arsm"}
    told = (
        f"`unordered-set` with four different states ({cosine['unordered-set']:.2f}), `sum-and-sample` with three "
        f"states and a draw ({cosine['sum-and-sample']:.2f}) and `local-expectation` "
        f"({cosine['local-expectation']:.2f}), which takes N (K - 1) more "
        f"evaluations; after it come, apart from Gauss-Newton (below), CARMS ({cosine['carms']:.2f}) and leave-one-out "
        f"({cosine['rloo']:.2f}) with four samples each, RODEO ({cosine['rodeo']:.2f}), DisARM by a tree "
        f"({cosine['disarm-tree']:.2f}) and by stick-breaking ({cosine['disarm-stick-breaking']:.2f}) with two, "
        f"RELAX ({cosine['relax']:.2f}), "
        f"REBAR ({cosine['rebar']:.2f}; coupled {cosine['rebar, coupled']:.2f}) and ARSM ({cosine['arsm']:.2f})"
    )
    assert told in SAID
    ours, targets = GAUSS_NEWTON
    first = results[results["epoch"] == 1].drop_duplicates(["row", "metric"]).query("metric == 'cosine'")
    after = first.set_index("row")["value"]
    assert (
        f"has {cosine[ours]:.2f}, as target propagation with its geometry has ({cosine[targets]:.2f}); its bias is "
        f"{values['bias'][ours]:.2f} of the norm, and one draw has a standard deviation of "
        f"{values['variance'][ours] ** 0.5:.1f} times it. After 1 epoch its cosine is {after[ours]:.2f}, that of local "
        f"expectation {after['local-expectation']:.2f} and that of ReinMax {after['reinmax']:.2f}."
    ) in SAID
    second = values.loc[["reinmax", "zgr", "minimum-variance", "target-propagation, mirror"]]
    assert (second["bias"] < 2 * (second["variance"] / 1000) ** 0.5).all()
    assert {f"{value:.1f}" for value in second["variance"] ** 0.5} == {"4.5"}
    assert values["bias"]["straight-through"] > 1
    start = results[(results["epoch"] == 0) & (results["row"] == "straight-through") & (results["metric"] == "cosine")]
    assert f"(cosine of one draw {start['value'].iloc[0]:.2f})" in SAID


def test_sentences_on_a_gpu() -> None:
    found = by_row(results_of("throughput-h200"))
    recorded, compiled = (found[f"gumbel-softmax, 1 thread{end}"] for end in ("", ", compiled"))
    for metrics, said in (
        (recorded, "a recorded Gumbel-Softmax step takes {step_ms:.2f} ms, {step_over_floor:.1f} times its floor;"),
        (compiled, "compiled {step_ms:.2f} ms, {step_over_floor:.1f} times."),
        (found["target-propagation, 1 thread"], "Target propagation takes {step_ms:.2f} ms,"),
        (found["textbook, 1 thread"], "and the textbook loop {step_ms:.2f} ms."),
    ):
        assert said.format(**metrics) in SAID
        assert metrics["disturbed"] == 0
    newton = by_row(results_of("throughput-h100"))
    name = "gauss-newton-local-expectation, 1 thread"
    ratio = newton[f"{name}, beside Gumbel-Softmax"]["step_over_gumbel_softmax"]
    assert f"takes {newton[name]['step_ms']:.2f} ms, {ratio:.2f} times that of Gumbel-Softmax beside it" in SAID
    cores = by_row(results_of("throughput-short"))
    names = ["gauss-newton-local-expectation, 2 threads", "local-expectation, 2 threads"]
    ratios = [cores[f"{each}, beside Gumbel-Softmax"]["step_over_gumbel_softmax"] for each in names]
    own = cores[names[0]]["step_over_floor"]
    assert (
        f"takes {ratios[0]:.2f} times the step of Gumbel-Softmax on such cores, {own:.2f} times its own floor" in SAID
    )
    assert f"local expectation takes {ratios[1]:.0f} times" in SAID
    assert "A step takes 1.5 to 1.6 times" in SAID
    assert {round(each, 1) for each in (ratio, ratios[0])} == {1.5, 1.6}
    provenance = json.loads((ROOT / "reports" / "results" / "throughput-h200" / "provenance.json").read_text())
    settings = provenance["settings"]
    assert settings["machine"].startswith("NVIDIA H200, CUDA 13.0")
    assert "torch 2.11.0" in settings["machine"]
    options = f"--device {settings['device']} --threads {settings['threads']}"
    assert f"`{provenance['command']} {options}`, was cut before populations and evaluation" in SAID
    assert {name.partition(" = ")[0] for name in settings["not_measured"]} >= {"population, P", "evaluation, P"}
