"""What captions say by themselves: no more than the table has."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from reports.kit import captions
from reports.kit.declared import Preset, Row, Task
from reports.kit.prose import own_words
from reports.kit.results import TEST, WITHIN, Metric, bold, compared, decimals, judged, paired
from reports.kit.setting import ends, legend, setting, short
from reports.kit.table import Column, Number, Section, Table
from reports.kit.trials import Entry


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], ""),
        (["lr 0.001"], "lr: learning rate"),
        (["lr 0.001, τ 1", "–"], "lr: learning rate, τ: temperature"),  # noqa: RUF001
        (["lr 0.001, wd 0.03"], "lr: learning rate, wd: weight decay"),
        (["lr 0.001, warmup 3"], "lr: learning rate"),
        (["τ 1 × 0.95/500"], "τ: temperature, a × b/n: a, times b every n updates"),  # noqa: RUF001
        (["τ 1 × 0.95/50 ep."], "τ: temperature, a × b/n ep.: a, times b every n epochs"),  # noqa: RUF001
        (["lr 0.004→0.0004 ≥ 0.001"], "lr: learning rate, a→b: from a to b over the run, ≥ c: but no less than c"),
    ],
)
def test_the_symbols_that_settings_have_are_explained(settings: list[str], said: str) -> None:
    assert legend(settings) == said


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5, "0.5"),
        (50, "50"),
        (Schedule(1.0, 0.9), "1 × 0.9/1 ep."),  # noqa: RUF001
        (Schedule(1.0, 0.9, 5, "step", 0.5), "1 × 0.9/5 ≥ 0.5"),  # noqa: RUF001
        (Schedule(0.004, 0.1, unit="run"), "0.004→0.0004"),
        (Schedule(1.0, warmup=3), "1 from 0 in 3 ep."),
        (Schedule(1.0, unit="run", warmup=0.1), "1 from 0 in 0.1 of the run"),
    ],
)
def test_schedules_of_different_courses_are_told_apart(value: object, shown: str) -> None:
    assert short(value) == shown


def entry(row: Row, *trials: Config, **fields: Any) -> Entry:
    """An entry whose first trial was chosen, with one finished run."""
    run: Any = SimpleNamespace(finished=True)
    return Entry(row, trials[0] if trials else Config(**fields), [run], {key: [run] for key in trials}, ())


BASE = Config()


def test_a_setting_shows_every_field_that_was_tried() -> None:
    row = Row("a", "reinmax", tried={"batch_size": [50, 100], "optimiser": ["adam", "sgd"]})
    trials = [replace(BASE, batch_size=50), replace(BASE, batch_size=100, optimiser="sgd")]
    assert setting(entry(row, *trials)) == "lr 0.0003, batch size 50, optimiser adam"
    rates = [replace(BASE, learning_rate=Schedule(1e-3, warmup=each)) for each in (2.0, 0.0)]
    assert setting(entry(row, *rates)) == "lr 0.001 from 0 in 2 ep."


def told(entries: dict[str, Entry], preset: Preset, metric: str = "elbo") -> str:
    rows = {(row, ""): each for row, each in entries.items()}
    return captions.told(preset, rows, [Metric("validation", "elbo")], metric)


def test_choices_are_told_with_their_metric_seeds_and_rates() -> None:
    rates = [replace(BASE, learning_rate=Schedule(rate)) for rate in (1e-3, 3e-3)]
    betas = [replace(BASE, beta=Schedule(beta)) for beta in (0.5, 1.0)]
    both = {"a, b": entry(Row("a, b", "reinmax"), *rates), "c": entry(Row("c", "reinmax"), *betas)}
    preset = Preset(4, (0, 1), trial_epochs=2, trial_seeds=(0, 100), shared_seeds=True)
    said = told(both, preset, "reconstruction_hard")
    assert (
        "by the validation reconstruction of runs of 2 epochs with seeds 0, 100, of which seed 0 the table has" in said
    )
    assert said.endswith("too; the learning rate not of c.")
    alone = told({"c": both["c"]}, Preset(4, trial_epochs=2))
    assert alone.endswith("by the validation ELBO of runs of 2 epochs with seed 100; the learning rate was not.")


def test_lengths_of_a_rows_own_are_told() -> None:
    short_row, plain_row = Row("x, y", "reinmax", lengths=(1, 3)), Row("z", "reinmax")
    own = entry(short_row, *(replace(BASE, epochs=each) for each in (3, 1)))
    said = told({"x, y": own, "z": entry(plain_row, replace(BASE), replace(BASE, batch_size=50))}, Preset(2))
    assert said.startswith("2 epochs (x, y: 3 epochs); one sample an image")
    assert "of runs of 2 epochs (x, y: after 1, 3 epochs) with seed 100" in said
    assert told({"x, y": own}, Preset(2)).startswith("x, y: 3 epochs; one sample an image")


def test_patience_is_told_by_row() -> None:
    rows = {name: entry(Row(name, "reinmax"), patience=each) for name, each in (("a", 1), ("b", 3))}
    said = told(rows, Preset(9))
    one = "a: at most, until the validation ELBO has not risen for 1 epoch"
    assert said.startswith(f"9 epochs ({one}; b: at most, until the validation ELBO has not risen for 3 epochs)")


def test_tasks_that_are_not_trained_have_no_length() -> None:
    rows = {("a", "s"): entry(Row("a", "reinmax"))}
    tasks = [Task("s", times=2), Task("t", times=5)]
    assert captions.longer(tasks, rows) == " s: 2 times as many epochs."


def test_the_mark_is_explained_where_there_is_one() -> None:
    assert ends(["lr 0.1†", "lr 1"]) == " †: at the end of what was tried."
    assert ends(["lr 0.1", "lr 1"]) == ""


def test_a_caption_tells_of_bold_numbers_where_there_may_be_some() -> None:
    assert compared(1) == "one seed"
    assert compared(2) == "mean ± 95% interval over 2 seeds"
    assert compared(3, rows=1) == "mean ± 95% interval over 3 seeds"
    assert compared(3, spread=False) == f"mean over 3 seeds; {bold()}"
    assert "Holm" in paired(3)
    assert paired(2).endswith("over 2 seeds; no test.")


@pytest.mark.parametrize("within", WITHIN)
def test_a_caption_says_that_no_number_is_bold(within: str) -> None:
    said = f"Bold: better than every other row of ours. {compared(3, within=within)}."
    table = Table("t", said, [Column("")], [[Number(1.0)], Section("a"), [Number(2.0)]])
    made = judged(table).caption
    assert made.startswith("Bold: better than every other row of ours. mean")
    assert made.endswith(f"no row is shown to be better than every other{within} {TEST}.")
    won = replace(table, rows=[*table.rows, [Number(3.0, bold=True)]])
    assert judged(won) == won


@pytest.mark.parametrize(
    ("caption", "written"),
    [
        ("- a", "\\- a"),
        ("# a", "\\# a"),
        ("% of all", "\\% of all"),
        ("| a |", "\\| a |"),
        ("1. a", "1\\. a"),
        ("*a*, b", "*a*, b"),
        ("-3 nats", "-3 nats"),
        ("1.5 nats", "1.5 nats"),
    ],
)
def test_a_caption_stays_a_paragraph(caption: str, written: str) -> None:
    assert Table("t", caption, [Column("")], []).markdown().endswith(f"\n\n{written}\n")


def test_a_users_words_are_one_paragraph_that_ends() -> None:
    assert own_words("A caption\n\nin two") == "A caption in two."
    assert own_words("It ends.") == "It ends."
    assert own_words("") == ""


@pytest.mark.parametrize(("printed", "digits"), [([], 0), ([101.0], 0), ([126.85, 97.7], 2), ([2e-5], 5), ([1e9], 0)])
def test_printed_numbers_have_the_papers_decimals(printed: list[float], digits: int) -> None:
    assert decimals(printed) == digits
