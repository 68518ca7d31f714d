"""The documentation's sentences on polynomial programming, held to the committed results and to derivations."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from discrete_vae.evaluation import statistics
from reports.kit.own_loops import last
from reports.kit.results import line
from reports.polynomial import PRESETS, excess, named
from reports.polynomial.problem import Problem
from tests.readme import SAID, results_of

POWERS = PRESETS["laptop"].powers


def above_the_least() -> dict[tuple[str, float], float]:
    """The mean over seeds of the final loss above the least, in thousandths, by row and power."""
    results, found = last(results_of("polynomial")), {}
    for power in POWERS:
        metric = excess(power)
        for row in PRESETS["laptop"].rows:
            seeds = metric.of(results, line(row.label, named(power)))
            assert len(seeds) == 3
            found[row.label, power] = statistics.interval(list(seeds.values())).mean
    return found


def stalled(power: float) -> float:
    """The excess where straight-through's mean gradient vanishes."""
    problem = Problem(power)
    c = problem.target
    chance = c ** (power - 1) / (c ** (power - 1) + (1 - c) ** (power - 1))
    return 1e3 * chance * ((1 - c) ** power - c**power)


def test_sentences_on_polynomial_programming() -> None:
    found = above_the_least()

    def listed(values: Iterable[float]) -> str:
        *others, end = (f"{value:.1f}" for value in values)
        return f"{', '.join(others)} and {end}"

    for power in POWERS:
        assert found["ST", power] == pytest.approx(stalled(power), abs=0.1)
    assert f"the loss is {listed(map(stalled, POWERS))} thousandths above the least" in SAID
    reinmax = listed(found["ReinMax", power] for power in POWERS)
    assert f"It ends {reinmax} thousandths above the least" in SAID
    assert min(found[row, power] for row in ("Gumbel-Softmax", "ST-Gumbel-Softmax") for power in POWERS) > 20
    newton, exact = ({power: found[row, power] for power in POWERS} for row in ("Gauss-Newton", "local expectation"))
    assert f"({newton[2]:.3f} both)" in SAID
    assert f"{exact[2]:.3f}" == f"{newton[2]:.3f}"
    assert f"For $p = 1.5$ it fails ({newton[1.5]:.1f})" in SAID
    assert f"ends nearest ({newton[3]:.3f}; exact local expectation {exact[3]:.3f})" in SAID
    assert newton[3] == min(found[row.label, 3.0] for row in PRESETS["laptop"].rows)
    leave_one_out = sorted(found["RLOO (4)", power] for power in POWERS)
    assert f"leave-one-out ends {leave_one_out[0]:.1f} to {leave_one_out[-1]:.1f} thousandths" in SAID
    assert all(found["REBAR", power] > found["RLOO (4)", power] for power in POWERS)
