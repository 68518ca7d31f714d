"""The guides say what the committed results say, what the strategies claim, and what the commands do."""

from __future__ import annotations

import itertools
import json
import math
import re
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, load
from discrete_vae.evaluation import statistics
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.training import train
from reports import semi_supervised
from reports.__main__ import REPORTS
from reports.benchmarks.measurements import by_row
from reports.gauss_newton.tables import OURS
from reports.gauss_newton.tables import PAIRS as PAIRS_OF_NEWTON
from reports.gradients.settings import MODEL
from reports.kit import cost
from reports.kit.results import Metric, differences, line
from reports.more_data import REPORT as MORE_DATA
from reports.thesis.settings import PRESETS
from tests.readme import ROOT, apart, mean, results_of, seeds_of, told

TEXT = (ROOT / "docs" / "which-strategy.md").read_text().replace("\N{MINUS SIGN}", "-")
SAID = " ".join(TEXT.split())
"""The sentences, whatever their line breaks, with plain minus signs."""


def row(label: str, epochs: int = 50, chosen: str = "ELBO") -> str:
    """A row of the results on Gauss-Newton targets."""
    return line(label, f"{epochs} epochs, by {chosen}")


def test_the_lead_of_gauss_newton() -> None:
    results = results_of("gauss-newton")
    newton, targets, local = OURS
    lead = [told(apart(results, row(newton, n), row("ReinMax", n), "test", "elbo"), 2) for n in (10, 20, 50)]
    said = "it is {} nats of test ELBO ahead of ReinMax after 10 epochs, {} after 20 and {} after 50 (each $p$ ≤ 0.003)"
    assert said.format(*lead) in SAID
    assert f"test ELBO {lead[-1]} ahead of ReinMax after 50 epochs" in SAID
    corrected = {n: _corrected(results, n) for n in (10, 20, 50)}
    assert max(p[newton, "ReinMax"] for p in corrected.values()) < 0.0035
    ahead = told(apart(results, row(local), row("ReinMax"), "test", "elbo"), 2)
    last = corrected[50]
    assert f"{ahead} nats of test ELBO ahead of ReinMax after 50 epochs ($p$ = {last[local, 'ReinMax']:.2g})" in SAID
    assert f"layer-local, test ELBO {ahead} ahead of ReinMax" in SAID
    assert f"not told apart from it ($p$ = {last[targets, 'ReinMax']:.2g})" in SAID
    assert last[targets, "ReinMax"] > statistics.LEVEL > last[local, "ReinMax"]


def _corrected(results: pd.DataFrame, epochs: int) -> dict[tuple[str, str], float]:
    """Holm's p of the test ELBO's differences after so many epochs, by their rows."""
    pairs = {names: (row(names[0], epochs), row(names[1], epochs)) for names in PAIRS_OF_NEWTON}
    found = differences(results, list(pairs.values()), Metric("test", "elbo"))
    return {names: found[pair][2] for names, pair in pairs.items() if pair in found}


def test_what_is_said_of_other_images() -> None:
    results, elbo = results_of("more-data"), Metric("test", "elbo")
    lead, chance = list[str](), list[float]()
    mnist, fashion, few = ("MNIST, MLP", "Fashion, MLP", "Omniglot, small, MLP, data bias")
    for task in (mnist, fashion, few):
        named = [(line(one, task), line(other, task)) for one, other in MORE_DATA.pairs]
        less, _, corrected = differences(results, named, elbo)[line("Gauss-Newton", task), line("ReinMax", task)]
        lead.append(told(less, 2))
        chance.append(corrected)
    said = (
        "it is with the same networks {} ahead on MNIST ($p$ = {:.2g}) "
        "and {} on 3,640 drawings of Omniglot ($p$ = {:.2g})"
    )
    assert said.format(lead[0], chance[0], lead[2], chance[2]) in SAID
    assert f"on Fashion-MNIST it is {lead[1]}, which is not shown ($p$ = {chance[1]:.2g})" in SAID
    bounds = [
        mean(results, line(name, fashion), "test", "log_likelihood") for name in ("Gumbel-Softmax", "Gauss-Newton")
    ]
    assert f"on Fashion-MNIST, where Gumbel-Softmax is {bounds[0] - bounds[1]:.1f} nats ahead" in SAID


def test_what_is_said_of_pathwise_estimators() -> None:
    results, jang = results_of("gauss-newton"), results_of("jang")
    names = "ReinMax", "ST-Gumbel-Softmax", "Gumbel-Softmax"
    elbos = [mean(results, row(name), "test", "elbo") for name in names]
    assert (
        "a test ELBO of {:.1f} and straight-through Gumbel-Softmax of {:.1f}; Gumbel-Softmax has {:.1f}".format(*elbos)
        in SAID
    )
    pairs = [(row("ReinMax", epochs), row("ST-Gumbel-Softmax", epochs)) for epochs in (10, 20, 50)]
    tests = differences(results, pairs, Metric("test", "elbo")).values()
    leads = [told(less, 2) for less, *_ in tests]
    assert "it is {}, {} and {} nats of test ELBO ahead of straight-through Gumbel-Softmax".format(*leads) in SAID
    assert f"test ELBO {leads[-1]} ahead of straight-through Gumbel-Softmax after 50 epochs" in SAID
    assert max(corrected for *_, corrected in tests) < 0.0035
    tuned = [(row("ST-Gumbel-Softmax", epochs), row("Gumbel-Softmax", epochs)) for epochs in (10, 20, 50)]
    assert min(p for _, p, _ in differences(results, tuned, Metric("test", "elbo")).values()) > statistics.LEVEL
    task = "SBN categorical"
    bounds = {
        name: mean(jang, line(name, task), "test", "log_likelihood")
        for name in ("ReinMax", "Gumbel-S", "ST Gumbel-S", "ST", "Gauss-Newton")
    }
    assert (
        "ReinMax has a bound of {ReinMax:.1f}, Gumbel-Softmax {Gumbel-S:.1f}, straight-through Gumbel-Softmax "
        "{ST Gumbel-S:.1f} and straight-through {ST:.1f} (one seed"
    ).format(**bounds) in SAID
    assert min(bounds[name] for name in ("Gumbel-S", "ST Gumbel-S", "ST")) > bounds["Gauss-Newton"]
    assert jang["seed"].nunique() == 1
    reinmax = results_of("reinmax")
    behind = [apart(reinmax, "ReinMax, 10x30", "Gauss-Newton, 10x30", split, "elbo") for split in ("train", "test")]
    train, test = (value for each in behind for value in each.values())
    assert f"it ends {train:.1f} nats behind ReinMax on the training images and {test:.1f} on the test images" in SAID


def test_what_is_said_of_leave_one_out() -> None:
    results = results_of("gauss-newton")
    rows = [row(name, epochs) for name in ("RLOO (4)", "ReinMax") for epochs in (10, 20)]
    values = [mean(results, each, "test", "elbo") for each in rows]
    said = "a test ELBO of {:.1f} after 10 epochs and {:.1f} after 20, ReinMax {:.1f} and {:.1f} with one sample"
    assert said.format(*values) in SAID


def test_what_is_said_of_elbo_and_bound() -> None:
    results = results_of("gauss-newton")
    gumbel, newton = (row(name, chosen="bound") for name in ("Gumbel-Softmax", OURS[0]))

    def score(name: str, metric: str, split: str = "test") -> str:
        return f"{mean(results, name, split, metric):.1f}"

    def lines(table: str) -> list[str]:
        return (ROOT / "reports" / "results" / "gauss-newton" / f"{table}.md").read_text().splitlines()

    bounds = score(gumbel, "log_likelihood"), score(newton, "log_likelihood")
    assert "bounds of {1} and {0} (1,000 samples), not told apart".format(*bounds) in SAID
    fives = [row(f"{name}, bound (5)", chosen="bound") for name in (OURS[1], OURS[0], "Gumbel-Softmax")]
    pairs = [(newton, gumbel), (fives[1], fives[2]), (fives[0], fives[1])]
    tests = differences(results, pairs, Metric("test", "log_likelihood"))
    said = (
        "a bound of {} (1,000 samples, test images) and Gauss-Newton {}, which are not told apart ($p$ = {:.1g}); "
        "their ELBOs are {} and {}."
    )
    corrected = tests[pairs[0]][2]
    assert corrected > statistics.LEVEL
    assert said.format(*bounds, corrected, score(gumbel, "elbo"), score(newton, "elbo")) in SAID
    ahead = told(apart(results, fives[2], fives[1], "test", "log_likelihood"), 2)
    said = "Gumbel-Softmax then has {} and Gauss-Newton {} ({} less, $p$ = {:.1g})"
    both = [score(fives[which], "log_likelihood") for which in (2, 1)]
    assert said.format(*both, ahead, tests[pairs[1]][2]) in SAID
    by_elbo = next(each for each in lines("longest") if each.startswith("| Gauss-Newton less Gumbel-S"))
    *_, less, _, holm = (each.strip() for each in by_elbo.strip("| ").split("|"))
    assert f"it is {less.lstrip('+')} behind Gauss-Newton on the same bound ($p$ = {holm})" in SAID
    chosen = next(each for each in lines("settings") if each.startswith("| Gumbel-Softmax |"))
    assert chosen.strip("| ").split(" | ")[3:] == ["0.004, λ 0.03, τ 0.5→0.25", "0.004, λ 0, τ 0.7†"]
    few = [score(name, "log_likelihood", "validation") for name in (newton, gumbel)]
    assert "on the validation images, Gauss-Newton has {} and Gumbel-Softmax {}.".format(*few) in SAID


def test_what_is_said_of_relaxed_samples() -> None:
    results = results_of("thesis")
    half, tenth, _, straight, _ = PRESETS["full"].table
    values = [
        f"{mean(results, name, 'validation', f'reconstruction_{kind}'):.1f}"
        for name in (half, tenth)
        for kind in ("relaxed", "hard")
    ]
    assert "{} from relaxed samples, {} from hard ones".format(*values) in SAID
    assert "with {} from relaxed and {} from hard samples, at τ = 0.1 with {} and {}.".format(*values) in SAID
    ahead = told(apart(results, straight, half, "test", "elbo"))
    assert f"{ahead} nats of test ELBO ahead of Gumbel-Softmax" in SAID
    assert f"{told(apart(results, half, straight, 'test', 'log_likelihood'))} ahead of its straight-through kin" in SAID


GRADIENTS = results_of("gradients")


def gradient(name: str, epoch: int, metric: str, temperature: float | None = None) -> float:
    """One number of the report on gradients, at the strategy's defaults unless a temperature is given."""
    found = GRADIENTS.query("row == @name and epoch == @epoch and metric == @metric")
    if temperature is not None:
        found = found[found["temperature"] == temperature]
    return float(found["value"].iloc[0])  # the defaults come first


@pytest.mark.parametrize(
    ("head", "temperature"),
    [
        ("`straight-through`", None),
        ("`gumbel-softmax`, τ 0.5", 0.5),
        ("`straight-through-gumbel-softmax`, τ 0.5", 0.5),
        ("`reinmax`, τ 1", 1.0),
        ("`gauss-newton-local-expectation`", None),
        ("`rloo`, 4 samples", None),
        ("`carms`, 4 samples", None),
        ("`local-expectation`", None),
    ],
)
def test_the_table_of_gradients(head: str, temperature: float | None) -> None:
    name = head.split("`")[1]
    cosines = [f"{gradient(name, epoch, 'cosine', temperature):.2f}" for epoch in (0, 1, 20)]
    bias, variance = (gradient(name, 20, metric, temperature) for metric in ("bias", "variance"))
    seen = f"{bias:.2f}" if bias > 2 * (variance / 1000) ** 0.5 else "not detected"  # of 1,000 draws
    seen = "none" if STRATEGIES[name].claim.unbiased else seen
    assert f"| {head} | {' | '.join(cosines)} | {seen} | {variance**0.5:.1f} |" in SAID


def test_what_is_said_of_gradients() -> None:
    biases = [f"{gradient('gumbel-softmax', 20, 'bias', tau):.2f}" for tau in (0.1, 1.0)]
    variances = gradient("gumbel-softmax", 20, "variance", 0.1), gradient("gumbel-softmax", 20, "variance", 1.0)
    assert "is {} at τ = 0.1 and {} at τ = 1,".format(*biases) in SAID
    assert f"the variance {variances[0]:.0f} and {variances[1]:.1f}." in SAID
    around = [gradient("reinmax", 20, "bias", tau) for tau in (0.5, 1.4)]
    assert "({:.2f} at τ = 0.5, {:.2f} at 1.4)".format(*around) in SAID
    cosine = {
        name: f"{gradient(name, 20, 'cosine'):.2f}"
        for name in ("carms", "rloo", "score-function", "unordered-set", "sum-and-sample", "straight-through")
    }
    assert f"cosine of one draw {cosine['rloo']} and {cosine['carms']}" in SAID
    exact = f"{gradient('local-expectation', 20, 'cosine'):.2f}"
    calls = STRATEGIES["local-expectation"].claim.decoded(MODEL.architecture.latents, MODEL.architecture.categories)
    assert f"It has a cosine of {exact} here, with {calls} calls." in SAID
    assert f"cosine {exact} by {calls} decoded samples" in SAID
    assert f"({gradient('local-expectation', 0, 'cosine'):.2f} and {gradient('rloo', 0, 'cosine'):.2f})" in SAID
    assert f"for eight binary variables it takes {STRATEGIES['local-expectation'].claim.decoded(8, 2)} a step" in SAID
    assert f"cosine {cosine['unordered-set']} and {cosine['sum-and-sample']}" in SAID
    assert (
        f"of {cosine['carms']} after 20 epochs and leave-one-out of {cosine['rloo']}; one sample with a moving mean as "
        f"baseline (`score-function`) has {cosine['score-function']}."
    ) in SAID
    assert f"`unordered-set` ({cosine['unordered-set']}) and `sum-and-sample` ({cosine['sum-and-sample']})" in SAID
    assert f"straight-through has a cosine of {gradient('straight-through', 0, 'cosine'):.2f}" in SAID
    assert gradient("straight-through", 20, "bias") > 1


def test_the_table_of_costs() -> None:
    lines = TEXT.partition("| strategies | decoded samples")[2].splitlines()
    lines = lines[2 : lines.index("")]
    told_of = set()
    for cells in ([cell.strip() for cell in each.split("|")[1:-1]] for each in lines):
        names = {each for each in cells[0].split("`") if each in STRATEGIES}
        if "`disarm` kinds" in cells[0]:
            names |= {name for name in STRATEGIES if name.startswith("disarm")}
        if cells[0].startswith("pathwise"):
            names |= {"gumbel-softmax", "straight-through", "reinmax", "zgr", "gumbel-rao"}
        for name in names:
            decoded = [STRATEGIES[name].claim.decoded(*sizes) for sizes in ((30, 10), (64, 256))]
            assert cells[2:] == [f"{each:,}" if each <= 2**20 else "refused" for each in decoded], name
        told_of |= names
    assert f"{STRATEGIES['local-expectation'].claim.decoded(30, 10)} decoded samples a step at $N$ = 30" in SAID
    assert f"with {MODEL.architecture.categories**MODEL.architecture.latents:,} joint states" in SAID
    assert told_of >= {"reinmax", "arsm", "local-expectation", "marginalisation", "disarm-tree", "rloo", "rebar"}


def test_the_example_of_a_slow_decoder() -> None:
    """64 variables of 256 categories at a second a decoded sample."""
    latents, categories, batch = 64, 256, 100
    seconds = {name: STRATEGIES[name].claim.decoded(latents, categories) for name in ("local-expectation", "arsm")}
    sums, swaps = seconds.values()
    assert f"takes {sums:,} s, that is {sums / 3600:.1f} hours, and `arsm` takes {swaps / 3600:.1f} hours." in SAID
    pushed = latents * categories
    batches = math.ceil(pushed / batch)
    assert f"pushes {pushed:,} unit vectors through the decoder every step: as much as {batches} batches" in SAID
    assert f"Then a step with {batch} images takes {batches + 1} times as long" in SAID
    assert "get by with less than 1% of the steps" in SAID
    assert 1 / (batches + 1) < 0.01
    assert f"10,000 steps of one decoding take {1e4 / 3600:.1f} hours, with four samples {4e4 / 3600:.1f}." in SAID
    for name in ("reinmax", "straight-through-gumbel-softmax", "gumbel-softmax"):
        assert STRATEGIES[name].claim.decoded(latents, categories) == 1
    for name in ("rloo", "carms"):
        assert STRATEGIES[name].claim.decoded(latents, categories) == 4
    h200, h100 = by_row(results_of("throughput-h200")), by_row(results_of("throughput-h100"))
    step = {name: h200[f"{name}, 1 thread"]["step_ms"] for name in STRATEGIES if f"{name}, 1 thread" in h200}
    gumbel = step["gumbel-softmax"]
    added = [f"{step[name] - gumbel:.2f}" for name in ("reinmax", "straight-through-gumbel-softmax")]
    assert "add {} and {} ms to the {:.2f} ms of".format(*added, gumbel) in SAID
    ratio = _beside(h100, "gauss-newton-local-expectation, 1 thread")
    assert f"a step takes {ratio:.2f} times that of Gumbel-Softmax on an H100" in SAID
    assert f"a step takes {ratio:.2f} times that of Gumbel-Softmax. Suppose that at your size" in SAID


def _beside(found: dict[str, dict[str, float]], name: str) -> float:
    """A step over that of Gumbel-Softmax beside it."""
    return found[f"{name}, beside Gumbel-Softmax"]["step_over_gumbel_softmax"]


def test_what_is_said_of_time() -> None:
    cores, h200 = by_row(results_of("throughput-short")), by_row(results_of("throughput-h200"))
    assert (
        f"takes {_beside(cores, 'local-expectation, 2 threads'):.0f} times that of Gumbel-Softmax on two cores" in SAID
    )
    assert f"and {_beside(h200, 'local-expectation, 1 thread'):.1f} times on an H200." in SAID
    ratios = [_beside(h200, f"{name}, 1 thread") for name in ("rloo", "reinmax", "straight-through-gumbel-softmax")]
    assert (
        f"leave-one-out takes {ratios[0]:.1f} times, ReinMax {ratios[1]:.2f} and straight-through Gumbel-Softmax "
        f"{ratios[2]:.2f}."
    ) in SAID


def test_what_is_said_of_classes() -> None:
    results = results_of("speed-by-classes")
    speed = results[(results["metric"] == "speed") & (results["strategy"] == "gumbel-softmax")]
    speed = speed.set_index("row")["value"]
    assert f"a step that samples is {speed['K = 10']:.1f} times as fast" in SAID
    assert f"is {speed['K = 10']:.1f} times as fast at 10 classes, {speed['K = 100']:.0f} times at 100" in SAID
    assert f"and {speed['K = 1000']:.0f} times at 1,000." in SAID
    table = (ROOT / "reports" / "results" / "speed-by-classes" / "speeds.md").read_text().splitlines()
    printed = {
        cells[1].strip(): cells[-2].strip() for cells in (each.split("|") for each in table if each.startswith("|"))
    }
    assert f"print {printed['10']} times at 10 classes and {printed['100']} at 100" in SAID
    results, metric = results_of("semi-supervised"), semi_supervised.REPORT.metrics[0]
    summed, *others = (
        metric.of(results, name) for name in ("Marginalisation", "ReinMax", "Gumbel-S", "ST Gumbel-S", "RLOO (4)")
    )
    more = {seed: summed[seed] - others[0][seed] for seed in summed}  # in per cent
    first, *rest = statistics.holm([statistics.paired_p(summed, other) for other in others])
    said = f"it classifies {told(more, 2)} points more test images right than ReinMax (three seeds, $p$ = {first:.1g}"
    assert said in SAID
    assert first < statistics.LEVEL < min(rest)


def test_what_is_said_of_strings() -> None:
    results = results_of("sequences")
    pathwise = ["softmax", "Gumbel-Softmax", "ST-Gumbel-Softmax", "ReinMax"]
    p_values = {}
    for dataset in ("expressions", "molecules"):
        shares = {
            name: seeds_of(results, line(name, dataset), "test", "valid") for name in [*pathwise, "score function"]
        }
        if dataset == "expressions":
            cells = [told(shares[name], scale=100) for name in ("softmax", "ST-Gumbel-Softmax", "score function")]
            said = (
                "the softmax writes {}% valid strings, straight-through Gumbel-Softmax {}% and the score function {}%"
            )
            assert said.format(*cells) in SAID
        tests = [statistics.paired_p(shares[name], shares["score function"]) for name in pathwise]
        p_values[dataset] = statistics.holm(tests)
        within = [statistics.paired_p(shares[one], shares[other]) for one, other in itertools.combinations(pathwise, 2)]
        assert min(statistics.holm(within)) > statistics.LEVEL
    assert max(p_values["expressions"][:3]) < 0.03
    assert p_values["expressions"][3] > statistics.LEVEL
    assert min(p_values["molecules"]) > statistics.LEVEL
    shares = {name: 100 * mean(results, line(name, "molecules"), "test", "valid") for name in pathwise}
    assert max(shares, key=shares.__getitem__) == "ReinMax"
    assert f"ReinMax has the highest mean, {shares['ReinMax']:.1f}%, and the softmax {shares['softmax']:.1f}%" in SAID


def test_what_is_said_of_tuning() -> None:
    earlier, results = results_of("target-propagation"), results_of("gauss-newton")
    added = []
    for name in ("ReinMax", "Gumbel-Softmax"):
        decayed, plain = seeds_of(results, row(name), "test", "elbo"), seeds_of(earlier, name, "test", "elbo")
        added.append(told({seed: decayed[seed] - plain[seed] for seed in plain}))
    assert "Weight decay of 0.03 adds {} nats of test ELBO to ReinMax and {} to Gumbel-Softmax".format(*added) in SAID
    rule = apart(earlier, "TP, mirror, second-order", "TP, encoder, Euclidean (thesis)", "test", "elbo")
    assert f"which is {statistics.interval(list(rule.values())).mean:.0f} nats behind" in SAID
    table = (ROOT / "reports" / "results" / "studies" / "pairs.md").read_text().replace("\N{MINUS SIGN}", "-")
    (elbo,) = (
        each for each in table.splitlines() if each.startswith("| gumbel-softmax less target-") and "ELBO" in each
    )
    (bound,) = (
        each for each in table.splitlines() if each.startswith("| gumbel-softmax less target-") and "IW" in each
    )
    ahead, behind = (each.split("|")[3].strip().split(" ± ") for each in (elbo, bound))
    assert f"{-float(ahead[0]):.1f} ± {float(ahead[1]):.1f} nats ahead of Gumbel-Softmax on the test ELBO" in SAID
    assert f"and {float(behind[0]):.1f} ± {float(behind[1]):.1f} behind on the bound" in SAID


REPRODUCE = (ROOT / "docs" / "guides" / "reproduce.md").read_text()
PLANNED = (ROOT / "docs" / "results" / "planned.md").read_text()


def test_the_tables_of_reports_have_them_all() -> None:
    """Those with committed results with that preset, and how long it trained; and all other presets."""
    committed, *_ = REPRODUCE.partition("## What is declared and not committed")
    rows = re.findall(r"`python -m reports ([\w-]+)(?: --preset (\w+))?` \| ([^|]+) \|", committed)
    assert rows
    made = [json.loads(path.read_text()) for path in (ROOT / "reports" / "results").glob("*/provenance.json")]
    whole = {(each["report"], each["preset"]): each for each in made if not each.get("known_only")}
    for name, preset, took in rows:
        found = whole[name, preset or next(iter(REPORTS[name].presets))]
        assert took in ("times only", cost.told(found["training_seconds"])), name
    ready = {(name, preset) for name, report in REPORTS.items() for preset in report.presets if preset != "quick"}
    ready -= whole.keys()
    planned = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \|", PLANNED, re.MULTILINE)
    assert {(name, preset) for name, presets in planned for preset in re.findall(r"\w+", presets)} == ready
    assert {name for name, *_ in rows} | dict(planned).keys() == REPORTS.keys() - {"storage-overhead"}


def test_what_a_storage_costs() -> None:
    found = by_row(results_of("storage-overhead"))
    one, four = (found[f"{workers} workers"] for workers in (1, 4))
    said = " ".join((ROOT / "docs" / "guides" / "many-machines.md").read_text().split())
    assert f"{one['seconds']:.2f} s of one worker's time, and {four['seconds']:.2f} s with four workers" in said
    assert f"{one['share']:.2%} and {four['share']:.2%} of a trial" in said


FIRST = Config(
    "reinmax",
    options=STRATEGIES["reinmax"].Options(temperature=Schedule(1.3)),
    data=DataConfig("binarised-mnist-1000"),
    learning_rate=Schedule(0.003),
    batch_size=50,
    epochs=20,
)
"""The first run that the documentation shows."""
SHOWN = re.findall(r"^│ (\w{12}) │ +0 │ (\S+) │", (ROOT / "docs" / "start" / "first-run.md").read_text(), re.MULTILINE)


def test_the_first_run_has_the_name_that_is_shown() -> None:
    ((name, _),) = SHOWN
    assert name == FIRST.identity


@pytest.mark.slow
def test_the_first_run_ends_as_shown(tmp_path: Path) -> None:
    (run,) = train([FIRST], tmp_path, load(FIRST.data))
    ((_, elbo),) = SHOWN
    assert run.validation(20)["elbo"] == pytest.approx(float(elbo), abs=1.5)
