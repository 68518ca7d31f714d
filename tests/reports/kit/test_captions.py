"""What captions say by themselves: no more than the table has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.kit.captions import ends, legend
from reports.kit.results import BOLD, TESTED, Metric, compared, judged, paired
from reports.kit.table import Column, Number, Section, Table


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], ""),
        (["lr 0.001"], "lr: learning rate"),
        (["lr 0.001, τ 1", "–"], "lr: learning rate, τ: temperature"),  # noqa: RUF001
        (["lr 0.001, wd 0.03"], "lr: learning rate, wd: weight decay"),
        (["lr 0.001, warmup 3"], "lr: learning rate"),
        (["τ 1 × 0.95/500"], "τ: temperature, a × b/n: a, times b every n updates"),  # noqa: RUF001
    ],
)
def test_the_symbols_that_settings_have_are_explained(settings: list[str], said: str) -> None:
    assert legend(settings) == said


def test_the_mark_is_explained_where_there_is_one() -> None:
    assert ends(["lr 0.1†", "lr 1"]) == " †: at the end of what was tried."
    assert ends(["lr 0.1", "lr 1"]) == ""


def test_a_caption_tells_of_bold_numbers_where_there_may_be_some() -> None:
    assert compared(1) == "one seed"
    assert BOLD not in compared(2)
    assert compared(3).endswith(BOLD)
    assert paired(3) == TESTED
    assert paired(2).endswith("over 2 seeds; no test.")


def test_a_caption_says_that_no_number_is_bold() -> None:
    table = Table("t", f"Nats; {compared(3)}.", [Column("")], [[Number(1.0)], Section("a"), [Number(2.0)]])
    assert "no row is better than every other in a paired $t$-test" in judged(table).caption
    won = replace(table, rows=[*table.rows, [Number(3.0, bold=True)]])
    assert judged(won) == won


@pytest.mark.parametrize(
    ("printed", "digits"),
    [({}, 0), ({"a": 101.0}, 0), ({"a": 126.85, "b": 97.7}, 2), ({"a": 2e-5}, 5), ({"a": 1e9}, 0)],
)
def test_printed_numbers_have_the_papers_decimals(printed: dict[str, float], digits: int) -> None:
    assert Metric("test", "elbo", printed=printed).printed_digits == digits
