"""The documentation's sentences on ListOps, held to the committed results."""

from __future__ import annotations

import itertools

from discrete_vae.evaluation import statistics
from reports.kit.own_loops import last
from reports.kit.results import Metric
from reports.listops import PRESETS
from tests.readme import SAID, results_of

PRESET = PRESETS["laptop"]
LEARNED = [row.label for row in PRESET.rows]


def percent(metric: str) -> dict[str, statistics.Seeds]:
    """What is right of the test expressions, by row and seed."""
    results = last(results_of("listops"))
    found = {row: Metric("test", metric, scale=100).of(results, row) for row in PRESET.labels}
    assert {len(seeds) for seeds in found.values()} == {3}
    return found


def mean(seeds: statistics.Seeds) -> str:
    return f"{statistics.interval(list(seeds.values())).mean:.1f}%"


def test_sentences_on_listops() -> None:
    values, operators = percent("accuracy"), percent("arcs")
    assert f"the same network gets {mean(values['gold trees'])} of the values right" in SAID
    for baseline in ("no tree", "uniform trees"):
        ps = [statistics.paired_p(values[row], values[baseline]) for row in LEARNED]
        assert max(statistics.holm(ps)) < statistics.LEVEL
        assert all(min(values[row].values()) > max(values[baseline].values()) for row in LEARNED)
    pairs = {pair: statistics.paired_p(*map(values.get, pair)) for pair in itertools.combinations(LEARNED, 2)}  # type: ignore[arg-type]
    lowest, p = min(pairs.items(), key=lambda pair: pair[1])
    assert lowest == ("ST", "REBAR")
    corrected = min(statistics.holm(list(pairs.values())))
    assert (
        f"lowest of {len(pairs)} paired p-values, of REBAR and straight-through, is {p:.2f}, and {corrected:.2f}"
        in SAID
    )
    runs = {(row, seed): value for row in LEARNED for seed, value in values[row].items()}
    best = max(runs, key=runs.__getitem__)
    assert best[0] == "ReinMax"
    assert f"({runs[best]:.1f}%, {operators['ReinMax'][best[1]]:.1f}% of the operators right)" in SAID
    worst = [runs[run] for run in sorted(runs, key=runs.__getitem__)[:3] if run[0] == "ReinMax"]
    assert "two of the three worst ({:.1f} and {:.1f}%)".format(*worst) in SAID
    assert [row for row in LEARNED if min(operators[row].values()) > 98] == ["REBAR"]
    relaxed, hard = "Gumbel-Softmax", "ST-Gumbel-Softmax"
    assert f"finds {mean(operators[relaxed])} of the operators" in SAID
    assert f"has only {mean(values[relaxed])} of the values right" in SAID
    assert f"has {mean(values[hard])} with {mean(operators[hard])} of the operators" in SAID
