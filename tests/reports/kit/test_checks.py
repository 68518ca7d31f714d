"""What is wrong in a declaration is told before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from discrete_vae.errors import InputError
from reports.kit.comparison import Comparison
from reports.kit.declared import Preset, Row, Task
from reports.kit.results import Metric

A, B = Row("A", "reinmax"), Row("B", "zgr")


def made(**fields: Any) -> Comparison:
    values = {"name": "x", "title": "X", "rows": [A, B], "presets": {"quick": Preset(1)}}
    return Comparison(**{**values, **fields})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made(name="a/b"), "a/b"),
        (lambda: made(name=".."), "name is"),
        (lambda: made(name="results"), "and not results"),
        (lambda: made(presets={}), "presets"),
        (lambda: made(rows=[]), "rows are"),
        (lambda: made(rows=[A, Row("A", "zgr")]), "two rows are called 'A'"),
        (lambda: made(rows=[A, Row("A, x", "zgr")], tasks=[Task("x, y"), Task("y")]), "two rows are called 'A, x, y'"),
        (lambda: made(metrics=()), "metrics are"),
        (lambda: made(metrics=[Metric("tests", "elbo")]), "did you mean 'test'"),
        (lambda: made(metrics=[Metric("test", "elbo", digits=-1)]), "digits of elbo"),
        (lambda: made(metrics=[Metric("test", "elbo", scale=float("nan"))]), "scale"),
        (lambda: made(metrics=[Metric("test", "elbo", printed={"a": 1.0})]), "of a printed number 'a'"),
        (
            lambda: made(metrics=[Metric("test", "elbo", printed={"A": 1.0})], tasks=[Task("x")]),
            "unknown row and task of a printed number 'A'",
        ),
        (lambda: made(caption=None), "is None; give text"),
        (lambda: Row(" ", "zgr"), "label is ' '; give text"),
        (lambda: made(presets={"quick": Preset(1, splits=("test",))}), "of the split validation"),
        (lambda: made(pairs=[("A", "C")]), "unknown row 'C'"),
        (lambda: made(pairs=[("A", "A")]), "different rows"),
        (lambda: made(pairs=[("A", "B"), ("A", "B")]), "each pair once"),
        (lambda: made(papers="Nobody 1900"), "nobody1900"),
        (lambda: made(tasks=[Task(fixed={"foo": 1})]), "unknown option of any strategy 'foo'"),
        (lambda: Task(fields={"foo": 1}), "unknown field of the configuration 'foo'"),
        (lambda: Task(base=None), "give a label and a Config"),  # type: ignore[arg-type]
        (lambda: Preset(0), "epochs is 0"),
        (lambda: Preset(1, seeds=()), "seeds are"),
        (lambda: Preset(1, seeds=(0, 0)), "different whole numbers"),
        (lambda: Preset(1, seeds=3), "seeds are 3"),  # type: ignore[arg-type]
        (lambda: Preset(1, trial_seeds=()), "trial_seeds are"),
        (lambda: Preset(1, rates=1e-3), "rates are 0.001"),  # type: ignore[arg-type]
        (lambda: Preset(1, rates=(0.0,)), "above 0"),
        (lambda: Preset(1, splits=("foo",)), "unknown split 'foo'"),
        (lambda: Row("A", "reinmaxx"), "did you mean 'reinmax'"),
        (lambda: Row("A", "reinmax", [{"tau": 1}]), "unknown option of reinmax 'tau'"),
        (lambda: Row("A", "reinmax", ()), "options of A are"),
        (lambda: Row("A", "reinmax", tried={"beta": []}), "tried values of beta are"),
        (lambda: Row("A", "reinmax", tried={"beta": 1.0}), "tried values of beta are"),  # type: ignore[dict-item]
        (lambda: Row("A", "reinmax", fields={"seed": 7}), "field seed has a place of its own"),
        (lambda: Row("A", "reinmax", lengths=3), "lengths of A are 3"),  # type: ignore[arg-type]
        (lambda: Row("A", "reinmax", measured="elbo"), "measured of A"),
        (lambda: Row("A", "reinmax", [{"temperature": 1.0}], study="s"), "leave off what else it sets"),
        (lambda: Row(3, "reinmax"), "label is 3"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_may_be_any_text() -> None:
    assert made(rows=[Row("a, b", "reinmax"), Row("$ | <b>", "zgr")], tasks=[Task("x"), Task("y, z")])
