"""Against numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from discrete_vae.evaluation.statistics import holm, interval, paired_p, welch_p, winner


def test_interval_is_student_t() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    # sd 1, standard error 1/sqrt(3), t quantile at 2 degrees of freedom 4.302653
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize(
    ("values", "mean", "half_width"),
    [
        ([1.0, 3.0], 2.0, 12.706205),  # t of 1 degree of freedom times 1
        ([1.0, 2.0, 4.0, 5.0, 8.0], 4.0, 2.776445 * math.sqrt(7.5 / 5)),
        ([float(value) for value in range(10)], 4.5, 2.262157 * math.sqrt(82.5 / 9 / 10)),
        ([-3.0, -3.0, -3.0], -3.0, 0.0),
    ],
)
def test_intervals_by_the_table_of_students_t(values: list[float], mean: float, half_width: float) -> None:
    """Quantiles at 0.975 of 1, 4 and 9 degrees of freedom; the sum of squares is divided by one less than the seeds."""
    found = interval(values)
    assert (found.mean, found.count) == (mean, len(values))
    assert found.half_width == pytest.approx(half_width, rel=1e-6)


def test_an_interval_is_written_with_half_its_width() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.text(1) == "2.0 ± 2.5"
    assert found.text(3) == "2.000 ± 2.484"
    assert found.text(2, interval=False) == "2.00"
    assert interval([-5.25]).text(1) == "-5.2"


def test_an_interval_holds_the_mean_in_95_of_100_samples() -> None:
    """Of 4,000 samples of four normal numbers: 95%, give or take 5 standard errors of 0.34%."""
    drawn = np.random.default_rng(0).normal(3.0, 2.0, (4000, 4)).tolist()
    found = [interval(sample) for sample in drawn]
    held = sum(abs(each.mean - 3.0) < (each.half_width or 0.0) for each in found)
    assert held / 4000 == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / 4000))


def test_one_seed_has_no_interval() -> None:
    assert interval([5.0]).half_width is None


def test_no_values_are_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_paired_p_for_two_degrees_of_freedom() -> None:
    # Differences 1, 2, 3: t = 2 sqrt(3); at 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    first, second = {0: 11.0, 1: 22.0, 2: 33.0}, {0: 10.0, 1: 20.0, 2: 30.0}
    assert paired_p(first, second) == pytest.approx(1 - math.sqrt(12 / 14), rel=1e-9)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([-1.0, -2.0, -4.0, -5.0], 0.0462050914),  # t = -3.2863 of 3 degrees of freedom
        ([0.5, -0.25, 1.5, 0.75, 0.25], 0.1301621808),  # t = 1.9005 of 4
        ([1.0, 2.0, 4.0, 6.0], 0.0609307431),  # t = 2.9314 of 3
    ],
)
def test_paired_p_is_two_sided(differences: list[float], p: float) -> None:
    """By scipy's ``ttest_1samp`` of the differences; the seeds pair the values, whatever their order."""
    first = {seed: 100.0 * seed + each for seed, each in enumerate(differences)}
    second = {seed: 100.0 * seed for seed in reversed(range(len(differences)))}
    assert paired_p(first, second) == pytest.approx(p, rel=1e-7)
    assert paired_p(second, first) == pytest.approx(p, rel=1e-7)
    assert paired_p(first, second) == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue, rel=1e-9)


def test_paired_p_of_differences_that_do_not_vary() -> None:
    zero = {0: 1.0, 1: 2.0, 2: 3.0}
    for more in (0.5, 0.1):
        assert math.isnan(paired_p({seed: value + more for seed, value in zero.items()}, zero)), "there is no test"
    assert paired_p(zero, zero) == 1


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([1.0, 2.0, 3.0, 4.0], [2.0, 6.0, 4.0], 0.3338237001),  # t = -1.1339 of 3.2347 degrees of freedom
        ([10.0, 12.0, 11.0, 13.0, 14.0], [1.0, 9.0, 5.0], 0.0825229537),  # t = 2.8983 of 2.3821
    ],
)
def test_welch_p_lets_the_variances_differ(first: list[float], second: list[float], p: float) -> None:
    """One common variance would give 0.2776 and 0.0111; the seeds do not pair the values."""
    one, other = dict(enumerate(first)), {seed + 7: value for seed, value in enumerate(second)}
    assert welch_p(one, other) == pytest.approx(p, rel=1e-7)
    assert welch_p(other, one) == pytest.approx(p, rel=1e-7)
    assert math.isnan(welch_p(one, {0: 1.0}))


def test_paired_p_uses_common_seeds_only() -> None:
    assert math.isnan(paired_p({0: 1.0, 1: 2.0}, {1: 0.0, 2: 9.0}))
    assert paired_p({0: 5.0, 1: 2.0, 2: 4.0}, {1: 0.0, 2: 1.0, 3: 9.0}) == paired_p({1: 2.0, 2: 4.0}, {1: 0.0, 2: 1.0})


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]


def test_holm_steps_down_from_the_smallest() -> None:
    """4 x 0.005, 3 x 0.01, 2 x 0.02, and the largest no smaller than the one before it."""
    assert holm([0.01, 0.02, 0.03, 0.005]) == pytest.approx([0.03, 0.04, 0.04, 0.02])
    assert holm([0.04]) == pytest.approx([0.04])
    assert holm([]) == []
    assert holm([0.04, math.nan, 0.01]) == pytest.approx([0.04, math.nan, 0.02], nan_ok=True)


def test_winner_is_the_highest_and_differs_by_a_two_sided_test() -> None:
    """p = 0.046 is enough and p = 0.061, whose half would be, is not; likelihoods are below 0."""
    base = dict.fromkeys(range(4), -100.0)
    for differences, expected in (([1.0, 2.0, 4.0, 5.0], "high"), ([1.0, 2.0, 4.0, 6.0], None)):
        high = {seed: base[seed] + each for seed, each in enumerate(differences)}
        assert winner({"base": base, "high": high}) == expected
        assert winner({"high": high, "base": base}) == expected


def test_no_winner_by_differences_without_spread() -> None:
    base = dict.fromkeys(range(3), 0.0)
    assert winner({"base": base, "high": dict.fromkeys(range(3), 8.0)}) is None


def test_winner_needs_every_comparison() -> None:
    best = {0: 10.0, 1: 11.0, 2: 12.0}
    far = {0: 8.0, 1: 9.01, 2: 9.99}
    near = {0: 9.9, 1: 11.3, 2: 11.5}
    assert winner({"best": best, "far": far}) == "best"
    assert winner({"best": best, "far": far, "near": near}) is None


def test_winner_after_correction_only() -> None:
    # p of one comparison: differences 1, 1, 1.4 give t = 8.5 and p = 0.0136; of four such, Holm makes 0.0543.
    best = {0: 1.0, 1: 1.0, 2: 1.4}
    rival = {0: 0.0, 1: 0.0, 2: 0.0}
    assert paired_p(best, rival) == pytest.approx(0.01356, abs=1e-4)
    assert winner({"best": best, "rival": rival}) == "best"
    assert winner({"best": best, **{f"rival {i}": rival for i in range(4)}}) is None


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_have_no_winner(seeds: int) -> None:
    assert winner({"a": dict.fromkeys(range(seeds), 5.0), "b": {seed: seed * 0.1 for seed in range(seeds)}}) is None


def test_a_row_alone_does_not_win() -> None:
    assert winner({"a": {0: 1.0, 1: 2.0, 2: 3.0}, "b": {}}) is None
