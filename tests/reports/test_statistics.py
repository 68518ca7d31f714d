"""Against numbers worked out by hand."""

import math

import pytest

from reports.statistics import holm, interval, paired_p, winner


def test_interval_is_student_t() -> None:
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    # sd 1, standard error 1/sqrt(3), t quantile at 2 degrees of freedom 4.302653
    assert found.half_width == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_seed_has_no_interval() -> None:
    assert interval([5.0]).half_width is None


def test_no_values_are_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        interval([])


def test_paired_p_for_two_degrees_of_freedom() -> None:
    # Differences 1, 2, 3: t = 2 sqrt(3); at 2 degrees of freedom p = 1 - t / sqrt(t^2 + 2).
    first, second = {0: 11.0, 1: 22.0, 2: 33.0}, {0: 10.0, 1: 20.0, 2: 30.0}
    assert paired_p(first, second) == pytest.approx(1 - math.sqrt(12 / 14), rel=1e-9)


def test_paired_p_uses_common_seeds_only() -> None:
    assert paired_p({0: 1.0, 1: 2.0}, {1: 0.0, 2: 9.0}) == 1


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]


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
