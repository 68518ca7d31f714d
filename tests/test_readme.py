"""The README's Python examples run as they stand, and its numbers are those of the committed results."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from discrete_vae.cli import command as cli
from discrete_vae.cli.options import configuration, parameters, suited, task_of
from discrete_vae.cli.own_images import own_images
from discrete_vae.cli.train import varied
from discrete_vae.errors import InputError
from discrete_vae.evaluation import statistics
from discrete_vae.progress import terminal_progress
from discrete_vae.strategies import STRATEGIES
from reports import __main__ as reports_command
from reports import (
    adversarial_vae,
    critics_tables,
    grid,
    grid_tables,
    jang,
    reinmax,
    semi_supervised,
    semi_supervised_tables,
    sequences,
    sequences_tables,
    speed_by_classes,
    thesis_readme,
    thesis_settings,
)
from reports.latex import Latex
from reports.tables import by_seed
from reports.target_propagation_settings import CHOSEN, GUMBEL, LOCAL, MIRROR, REINMAX, STRAIGHT_THROUGH, Variant
from reports.target_propagation_tables import markdown, relations, setting
from studies import __main__ as studies_command

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "reports" / "results" / "thesis"
TEXT = (ROOT / "README.md").read_text()
SAID = " ".join(TEXT.split()).replace("\N{MINUS SIGN}", "-")
"""The sentences, whatever their line breaks, with plain minus signs."""
EXAMPLES = [
    textwrap.dedent(found)
    for found in re.findall(r"```python\n(.*?)```", TEXT + (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
]


def results_of(report: str, name: str = "results.csv") -> pd.DataFrame:
    """A committed table."""
    return pd.read_csv(ROOT / "reports" / "results" / report / name)


def apart(results: pd.DataFrame, first: str, second: str, split: str, metric: str) -> statistics.Seeds:
    """One row less another, over the seeds of both."""
    one, other = (by_seed(results, row, split, metric) for row in (first, second))
    return {seed: one[seed] - other[seed] for seed in one.keys() & other.keys()}


def told(values: statistics.Seeds, digits: int = 1, scale: float = 1.0) -> str:
    """``2.9 ± 1.2``."""
    return statistics.interval([scale * value for value in values.values()]).text(digits)


def mean(results: pd.DataFrame, row: str, split: str, metric: str) -> float:
    """Over seeds."""
    return statistics.interval(list(by_seed(results, row, split, metric).values())).mean


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_examples_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[number], "README.md", "exec"), {})


def test_the_strategy_of_the_contributors_guide_holds_its_claim() -> None:
    """It is biased, and its second derivative is the surrogate's; options and a population's values go through."""
    names: dict[str, Any] = {}
    (block,) = (example for example in EXAMPLES if "OneHotPathwise" in example)
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    smooth = names["Smooth"]
    logits = torch.randn(3, 4, 2, 5, requires_grad=True)
    strategy = smooth(torch.tensor([0.5, 1.0, 2.0]))
    assert strategy.scheduled() == ("temperature",)
    estimate = strategy.estimate(logits, lambda z: (z * torch.arange(5)).sum((-1, -2)).square())
    (first,) = torch.autograd.grad(estimate.loss.sum(), logits, create_graph=True)
    assert torch.autograd.grad(first.square().sum(), logits)[0].any()
    with pytest.raises(InputError, match="temperature is 0"):
        smooth(0.0)


def test_there_are_examples() -> None:
    assert EXAMPLES


COMMANDS = {
    "discrete-vae": cli.application,
    "python -m studies": lambda task: studies_command.app,
    "python -m reports": lambda task: reports_command.app,
}


def commands() -> list[str]:
    """The commands in the README's blocks, their lines joined and without what the shell makes of them."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition(" #")[0].strip() for line in lines if line.startswith(tuple(COMMANDS))]


@pytest.mark.parametrize("command", commands())
def test_commands_are_understood(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option is there and its value is taken; those of a training make a configuration."""
    if (path := "path/to/images") in command:
        monkeypatch.chdir(tmp_path)
        (tmp_path / path).mkdir(parents=True)
        for seed in range(140):
            pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / path / f"{seed}.png")
    start = next(each for each in COMMANDS if command.startswith(each))
    words = shlex.split(command.removeprefix(start))
    task = task_of(words)
    _, bound, _ = COMMANDS[start](task).parse_args(words, exit_on_error=False, print_error=False)
    if words[0] == "train":
        values = {each.name: each.default for each in parameters(words[1], task)} | suited(bound.kwargs) | bound.kwargs
        with terminal_progress() as progress:
            own = own_images(values, None, False, torch.device("cpu"), progress)
        made = configuration(words[1], task, values, None if own is None else own.config)
        assert varied(made, bound.kwargs.get("vary", ()))


def test_the_table_is_that_of_the_committed_results() -> None:
    results = pd.read_csv(RESULTS / "results.csv")
    rows = [row for row in thesis_settings.PRESETS["full"].rows() if row in set(results["row"])]
    assert len(rows) == 5
    made = thesis_readme.table(results, rows)
    assert made == (RESULTS / "table_5_1.md").read_text()
    assert made in TEXT


def test_target_propagation_is_that_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "target-propagation"
    chosen = json.loads((folder / "provenance.json").read_text())["settings"]["chosen"]
    made = markdown(pd.read_csv(folder / "results.csv"), {row: Latex(text) for row, text in chosen.items()})
    assert made == (folder / "target_propagation.md").read_text()
    assert made in TEXT
    # What presets without a search take is what this one found.
    for variant, trial in CHOSEN.items():
        assert setting(variant, trial) == chosen[variant.label]


@pytest.mark.parametrize("report", [jang, reinmax])
def test_other_papers_tables_are_those_of_the_committed_results(report) -> None:
    preset, folder = report.PRESETS["laptop"], ROOT / "reports" / "results" / report.REPORT.name
    results = pd.read_csv(folder / "results.csv")
    values = grid.shown(preset, results, report.PAPER)
    made = grid_tables.markdown(preset, values, report.PAPER)
    assert made == (folder / f"{report.REPORT.name}.md").read_text()
    assert made in TEXT


def test_classification_is_that_of_the_committed_results() -> None:
    """And every row with images of unknown class beats the labels alone with every seed."""
    rows, folder = semi_supervised.PRESETS["laptop"].rows, ROOT / "reports" / "results" / "semi-supervised"
    values = semi_supervised_tables.shown(rows, pd.read_csv(folder / "results.csv"))
    made = semi_supervised_tables.markdown(rows, values)
    assert made == (folder / "semi-supervised.md").read_text()
    assert made in TEXT
    alone = values["Labels alone"]["accuracy"]
    for row in rows:
        assert row.task == "labels-alone" or all(
            value > alone[seed] for seed, value in values[row.label]["accuracy"].items()
        )


def test_speed_by_classes_is_that_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "speed-by-classes"
    results = pd.read_csv(folder / "results.csv")
    found = {
        count: {
            f"speed {line.strategy}": line.value
            for line in results[(results["row"] == f"K = {count}") & (results["metric"] == "speed")].itertuples()
        }
        for count in speed_by_classes.PRESETS["full"].classes
    }
    made = speed_by_classes.markdown(found)
    assert made == (folder / "speed-by-classes.md").read_text()
    assert made in TEXT


def test_critics_are_those_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "critics"
    made = critics_tables.markdown(pd.read_csv(folder / "results.csv"))
    assert made == (folder / "critics.md").read_text()
    assert made in TEXT


def test_strings_are_those_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "sequences"
    preset = sequences.PRESETS["laptop"]
    labels = [row.label for row in preset.rows]
    made = sequences_tables.markdown(preset.datasets, labels, pd.read_csv(folder / "results.csv"))
    assert made == (folder / "sequences.md").read_text()
    assert made in TEXT


def test_critics_in_place_of_the_kl_are_those_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "adversarial-vae"
    results = pd.read_csv(folder / "results.csv")
    weights = {row: json.loads(rows["parameters"].iloc[0]) for row, rows in results.groupby("row", sort=False)}
    made = adversarial_vae.markdown(
        adversarial_vae.PRESETS["laptop"],
        {str(row): each["beta"] if each["task"] == "adversarial-vae" else "" for row, each in weights.items()},
        results,
    )
    assert made == (folder / "adversarial-vae.md").read_text()
    assert made in TEXT


def test_the_table_of_strategies_has_them_all_with_their_papers() -> None:
    lines = TEXT.partition("| strategy | paper |")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    rows = rows[2 : rows.index([])]
    assert {row[0].strip("`") for row in rows} == set(STRATEGIES)
    for name, paper, sample, _ in rows:
        claim = STRATEGIES[name.strip("`")].claim
        papers = claim.paper.replace("Lazaro", "L\N{LATIN SMALL LETTER A WITH ACUTE}zaro").split("; ")
        assert papers == ["textbook"] or any(each in paper for each in papers), name
        assert claim.relaxed == sample.startswith(("relaxed", "the probabilities")), name


def test_the_ratios_are_those_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "throughput"
    table = (folder / "strategies.md").read_text()
    assert table in TEXT
    ratios = pd.read_csv(folder / "results.csv").query("metric == 'step_over_floor'").set_index("row")["value"]
    heads = [head.strip() for head in table.splitlines()[0].split("|")[2:-1]]
    compared = 0
    for line in table.splitlines()[2:-1]:
        name, *cells = (cell.strip().strip("`") for cell in line.split("|")[1:-1])
        for head, cell in zip(heads, cells, strict=True):
            assert cell == f"{ratios[f'{name}, {head}']:.2f}"
            compared += 1
    assert compared == 20


def test_the_study_is_that_of_the_committed_results() -> None:
    """Its table, and in it the means over the fresh seeds of the winners."""
    folder = ROOT / "reports" / "results" / "studies"
    made = (folder / "studies.md").read_text()
    assert made in TEXT
    results = pd.read_csv(folder / "results.csv", dtype={"trial": str})
    for study, trials in results[results["state"] == "complete"].groupby("row"):
        winner = trials.groupby("trial")["value"].mean().idxmax()
        again = results[(results["row"] == study) & (results["trial"] == winner) & (results["state"] == "again")]
        for metric in ("elbo", "log_likelihood"):
            values = again[(again["split"] == "test") & (again["metric"] == metric)]["value"]
            assert len(values) == 5
            (line,) = (line for line in made.splitlines() if line.startswith(f"| {str(study).partition('/')[2]} "))
            assert f" {values.mean():.2f} ± " in line


def test_what_the_storage_costs_is_what_was_measured() -> None:
    results = pd.read_csv(ROOT / "reports" / "results" / "storage-overhead" / "results.csv")
    values = results.set_index(["row", "metric"])["value"]
    one, four = values["1 workers"], values["4 workers"]
    assert f"{one['seconds']:.2f} s of one worker's time and {four['seconds']:.2f} s with four" in TEXT.replace(
        "\n", " "
    )
    assert f"{one['trials_per_second']:.1f} and {four['trials_per_second']:.1f} trials a second" in TEXT
    assert f"{one['share']:.2%} and {four['share']:.2%} of" in TEXT.replace("\n", " ")
    assert four["share"] < 0.01


def test_sentences_on_the_thesis() -> None:
    results = results_of("thesis")
    rows = (
        thesis_settings.GUMBEL_HALF,
        thesis_settings.GUMBEL_TENTH,
        thesis_settings.TARGET_PROPAGATION,
        thesis_settings.STRAIGHT_THROUGH,
        thesis_settings.LEARNED_INVERSE,
    )
    half, tenth, rule, straight, learned = rows
    printed = thesis_settings.PRINTED
    gaps = {
        row: abs(mean(results, row, "validation", printed[row].metric) - printed[row].validation) for row in printed
    }
    assert max(gaps[half], gaps[rule]) < 1.1
    assert f"misses the print by {gaps[tenth]:.1f} nats" in SAID
    assert f"{told(apart(results, rule, half, 'validation', 'reconstruction_hard'))} nats worse than" in SAID
    assert f"is {told(apart(results, half, rule, 'validation', 'elbo'))} nats ahead of the rule" in SAID
    assert f"is {told(apart(results, learned, rule, 'validation', 'elbo'))} nats ahead of the rule" in SAID
    assert f"{told(apart(results, straight, half, 'test', 'elbo'))} nats ahead of Gumbel-Softmax" in SAID
    assert f"{told(apart(results, half, straight, 'test', 'log_likelihood'))} nats ahead of it" in SAID
    assert statistics.winner({row: by_seed(results, row, "test", "elbo") for row in rows}) == straight

    def line(row: str, split: str, metric: str) -> float:
        (value,) = by_seed(results, f"Sensitivity, {rule}, {row}", split, metric).values()
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
    above, below, sampled = (value - printed[rule].validation for value in (*ends, sample))
    assert f"ends {above:.1f} nat above the print, a constant 0.05 ends {-below:.1f} below it" in SAID
    assert f"ends {sampled:.1f} above it" in SAID


def test_sentences_on_target_propagation() -> None:
    results = results_of("target-propagation")
    found = {metric: relations(results, metric) for metric in ("elbo", "log_likelihood")}

    def pair(first: Variant, second: Variant, metric: str, digits: int = 2) -> str:
        text = told(found[metric][first, second].difference, digits)
        return text if text.startswith("-") else f"+{text}"

    gumbel = found["elbo"][MIRROR, GUMBEL]
    assert f"is {told(gumbel.difference)} nats ahead of the best-tuned Gumbel-Softmax" in SAID
    assert f"p = {gumbel.p:.1g}; {gumbel.corrected:.2g} after Holm's correction for {len(found['elbo'])} tests" in SAID
    local = found["elbo"][LOCAL, GUMBEL]
    assert f"it is {told(local.difference)} nats ahead (p = {local.p:.1g})" in SAID
    for rival in (STRAIGHT_THROUGH, REINMAX):
        for variant in (MIRROR, LOCAL):
            assert pair(variant, rival, "elbo") in SAID
            assert found["elbo"][variant, rival].corrected > statistics.LEVEL
    for variant in (MIRROR, LOCAL):
        assert pair(variant, GUMBEL, "log_likelihood") in SAID
        assert all(
            found["log_likelihood"][variant, rival].corrected > statistics.LEVEL
            for rival in (GUMBEL, STRAIGHT_THROUGH, REINMAX)
        )
    assert f"but {found['log_likelihood'][LOCAL, GUMBEL].corrected:.2f} after Holm's correction" in SAID
    signals = results_of("target-propagation", "signals.csv")
    last = signals[(signals["epoch"] == 10) & (signals["metric"] == "elbo")].set_index("row")["value"]
    for inverse, names in (
        ("encoder", ("Euclidean (thesis)", "Fisher-Rao", "log-ratio", "matching")),
        ("mirror", ("second-order", "Euclidean", "Fisher-Rao", "log-ratio", "matching")),
    ):
        values = [(name.partition(" (")[0], last[f"TP, {inverse}, {name}"]) for name in names]
        assert ", ".join(f"{name} {value:.1f}" for name, value in values) in SAID
        assert [value for _, value in values] == sorted((value for _, value in values), reverse=True)


def test_sentences_on_the_reinmax_paper() -> None:
    results = results_of("reinmax")
    value = {row: mean(results, f"{row}, 10x30", "train", "elbo") for row in ("ReinMax", "ST-GS", "Gumbel-Softmax")}
    assert f"ReinMax has {value['ReinMax'] - value['ST-GS']:.1f} nats less" in SAID
    assert f"and {value['ReinMax'] - value['Gumbel-Softmax']:.1f} less than Gumbel-Softmax" in SAID
    bound = {row: mean(results, f"{row}, 10x30", "test", "log_likelihood") for row in value}
    best, *rest = sorted(bound.values(), reverse=True)
    assert best == bound["Gumbel-Softmax"]
    assert f"{best:.1f}, before {rest[0]:.1f} and {rest[1]:.1f}" in SAID
    seeds = pd.Series(by_seed(results_of("target-propagation"), REINMAX.label, "test", "elbo"))
    assert f"five seeds of ReinMax differ by a standard deviation of {seeds.std():.1f} nats" in SAID


def test_sentences_on_classification() -> None:
    """No row but one is above the labels alone beyond the seeds' spread, tests of all rows corrected."""
    rows = semi_supervised.PRESETS["laptop"].rows
    values = semi_supervised_tables.shown(rows, results_of("semi-supervised"))
    gains = semi_supervised_tables.gains(rows, values)
    ordered = sorted(gains, key=lambda row: statistics.interval(list(gains[row][0].values())).mean)
    lowest, highest = (told(gains[row][0], 2) for row in (ordered[0], ordered[-1]))
    assert f"the lowest gain is {lowest} points" in SAID
    assert f"the highest {highest}" in SAID
    (sure,) = (row for row, (_, p) in gains.items() if p < statistics.LEVEL)
    assert f"only that of {sure} ({told(gains[sure][0], 2)}) is below 5%" in SAID


def test_sentences_on_strings() -> None:
    results = results_of("sequences")
    for dataset, metric in (("expressions", "valid"), ("molecules", "valid"), ("molecules", "unique")):
        best = sequences_tables.strongest(dataset, results, metric)
        matched = by_seed(results, f"{best}, {dataset}", "test", metric)
        labels = [row.label for row in sequences.PRESETS["laptop"].rows]
        shares = {row: by_seed(results, f"{row}, {dataset}", "test", metric) for row in labels}
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
            four = by_seed(results, "4-gram model, molecules", "test", "valid")
            assert max(statistics.holm([statistics.welch_p(values, four) for values in shares.values()])) < 0.05
        else:
            assert signs == dict.fromkeys(labels, 1) | {"score function": 0}
            own = statistics.interval(list(shares["score function"].values())).mean
            assert f"the score function ({own:.1%}) is not told apart from it (p = {max(p_values):.2f})" in SAID


def test_sentences_on_critics() -> None:
    results = results_of("critics")

    def rows(kind: str, dataset: str) -> list[str]:
        return [f"{kind}, {dataset}, {constraint}" for constraint in ("gradient penalty", "weight clipping")]

    found = critics_tables.differences(results)
    assert len(found) == 10
    (close, close_p, corrected), (near, near_p, _) = (found["8-gaussians", metric] for metric in ("close", "near"))
    assert f"({told(close, 2)} more, paired p = {close_p:.1g}, but {corrected:.2f} after Holm's" in SAID
    assert f"({told(near, 2)}, p = {near_p:.1g})" in SAID
    (norm,) = by_seed(results, "deep critic, clipping at 0.1", "validation", "gradient_norm_1").values()
    norms = results[results["row"] == "deep critic, gradient penalty"]["value"]
    assert f"stays between {norms.min():.1f} and {norms.max():.1f} through 12" in SAID
    assert f"it grows to {norm / 1e5:.1f} · 10^5" in SAID
    peaks = by_seed(results, rows("critic alone", "25 Gaussians")[0], "centres", "peaks")
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
            values[str(study).partition("/")[2], metric] = by_seed(own, str(study), "test", metric)

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
    over = {key: bounds[key[1]][key[0]] - value for key, value in jang.PAPER.published.items() if key[1] in bounds}
    assert over.pop(("ST", "VAE categorical")) == pytest.approx(-0.9, abs=0.05)
    assert f"every other printed number is {min(over.values()):.1f} to {max(over.values()):.1f} nats below ours" in SAID
    orders = {task: sorted(rows, key=lambda row: rows[row]) for task, rows in bounds.items()}
    for order in orders.values():
        assert order[:3] == ["Gumbel-S", "ST Gumbel-S", "ST"]
    assert orders["SBN categorical"][3:5] == ["ReinMax", "TP, mirror"]
    assert orders["VAE categorical"][3:5] == ["TP, mirror", "ReinMax"]
    assert "ReinMax and target propagation are 4th and 5th of 11 on structured prediction, and 5th and 4th" in SAID
    elbos = [
        mean(results, f"{row}, VAE categorical", "test", "elbo")
        for row in ("ST Gumbel-S", "TP, mirror", "Gumbel-S", "ReinMax")
    ]
    said = "ST-Gumbel-Softmax has {:.1f}, target propagation {:.1f}, Gumbel-Softmax {:.1f} and ReinMax {:.1f}"
    assert said.format(*elbos) in SAID
    assert abs(mean(results, "DARN, VAE categorical", "test", "kl")) < 0.05
    assert mean(results, "DARN, linearised, VAE categorical", "test", "kl") > 40
    rates = {float(json.loads(each)["learning_rate"]) for each in results["parameters"]}
    assert f"inside it: {min(rates):g} to {max(rates):g}" in SAID
    tried = {float(json.loads(each)["learning_rate"]) for each in tuning["parameters"]}
    assert min(tried) < min(rates) <= max(rates) < max(tried)
    assert set(tuning["seed"]).isdisjoint(results["seed"])


def test_what_is_said_of_gradients() -> None:
    """Cosines of one draw at the defaults after 20 epochs, and which biases can be seen."""
    results = results_of("gradients")
    last = results[results["epoch"] == 20].drop_duplicates(["row", "metric"])  # the defaults come first
    values = last.pivot(index="row", columns="metric", values="value")
    cosine = values["cosine"]
    ordered = list(cosine.sort_values(ascending=False).index[:2])
    assert ordered == ["local-expectation", "rloo"]
    told = (
        f"`local-expectation` ({cosine['local-expectation']:.2f}), which takes N (K - 1) more evaluations; after it "
        f"come leave-one-out with four samples ({cosine['rloo']:.2f}), RELAX ({cosine['relax']:.2f}), "
        f"REBAR ({cosine['rebar']:.2f}; coupled {cosine['rebar, coupled']:.2f}) and ARSM ({cosine['arsm']:.2f})"
    )
    assert told in SAID
    second = values.loc[["reinmax", "zgr", "minimum-variance", "target-propagation, mirror"]]
    assert (second["bias"] < 2 * (second["variance"] / 1000) ** 0.5).all()
    assert {f"{value:.1f}" for value in second["variance"] ** 0.5} == {"4.5"}
    assert values["bias"]["straight-through"] > 1
    start = results[(results["epoch"] == 0) & (results["row"] == "straight-through") & (results["metric"] == "cosine")]
    assert f"(cosine of one draw {start['value'].iloc[0]:.2f})" in SAID
