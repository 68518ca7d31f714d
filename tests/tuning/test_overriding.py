"""Options in place of what a study fixes: another study, by name; refused where a search has its own say or none."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution as Float

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule
from discrete_vae.tuning import Search, Study, open_storage, open_study
from discrete_vae.tuning.overriding import LONGEST_NAME, common_value, overridden
from studies import studies

OWN = DataConfig(dataset="own", shape=(8, 6, 3), sizes=(800, 100, 100), fingerprint="0" * 32, source="/first/own.npz")
SPACE = {"learning_rate": Float(1e-3, 1e-2), "temperature": Float(0.5, 1.0)}
ONE = Study("one", "", {"": Search(Config("gumbel-softmax"), SPACE)})
TWO = Study("two", "", {name: Search(Config(name), SPACE) for name in ("gumbel-softmax", "reinmax")})


def test_options_replace_what_is_fixed_and_stand_in_the_name() -> None:
    made = overridden(ONE, {"batch_size": 50, "hidden": (32, 16), "beta": Schedule(0.5)})
    base = made.searches[""].base
    assert (base.batch_size, base.architecture.hidden, base.beta) == (50, (32, 16), Schedule(0.5))
    assert made.name == "one+hidden=32,16+batch-size=50+beta=0.5"
    assert made == overridden(ONE, {"beta": Schedule(0.5), "hidden": (32, 16), "batch_size": 50}), "in any order"
    assert made.searches[""].space == ONE.searches[""].space
    made.check()


def test_what_the_study_has_anyhow_is_no_change() -> None:
    assert overridden(ONE, {"batch_size": 100, "hidden": (500,)}) == ONE
    assert overridden(ONE, {}) == ONE


def test_all_searches_change_alike_whichever_are_asked_for() -> None:
    whole, part = overridden(TWO, {"latents": 8}), overridden(TWO, {"latents": 8}, parts=["reinmax"])
    assert list(whole.names()) == ["two+latents=8/gumbel-softmax", "two+latents=8/reinmax"]
    assert list(part.names()) == ["two+latents=8/reinmax"]
    assert {search.base.architecture.latents for search in whole.searches.values()} == {8}


def test_a_name_with_its_changes_stays_within_a_line() -> None:
    """Long changes are told by a digest, and others have another one."""
    wide, wider = (overridden(ONE, {"hidden": (width,) * 60}) for width in (1000, 1001))
    assert max(len(wide.name), len(wider.name)) <= LONGEST_NAME
    assert wide.name != wider.name


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"learning_rate": Schedule(0.01)}, "learning rate is searched by one itself; leave it off"),
        ({"style": 5}, "style has no effect in one, which is of task vae and strategy gumbel-softmax; leave it off"),
        ({"channels": (8, 8)}, "one: channels has no effect with backbone mlp; leave it off"),
        ({"channels": (32, 64)}, "one: channels has no effect with backbone mlp; leave it off"),
        ({"backbone": "convv"}, "one: unknown backbone 'convv'; did you mean 'conv'?"),
        ({"latents": 0}, "one: latents is 0"),
        ({"validation": 0.2}, "one: validation is 0.2, which has no effect with binarised-mnist"),
        ({"likelihood": "gaussian"}, "one: likelihood gaussian explains the 256 levels"),
    ],
)
def test_what_is_refused_is_named(given: dict, told: str) -> None:
    with pytest.raises(InputError) as error:
        overridden(ONE, given)
    assert str(error.value).startswith(told)


def test_parts_of_what_is_searched_are_searched() -> None:
    """By whatever name: joined with another, or behind the part that has it."""
    space = {"architecture.latents": Float(4, 8), "learning_rate+auxiliary_learning_rate": Float(1e-3, 1e-2)}
    study = dataclasses.replace(ONE, searches={"": Search(Config("target-propagation"), space)})
    for name, value in {"latents": 8, "auxiliary_learning_rate": Schedule(0.1)}.items():
        with pytest.raises(InputError, match="is searched by one itself"):
            overridden(study, {name: value})


def test_an_option_of_some_searches_alone_is_refused_with_a_way_out() -> None:
    study = studies()["semi-supervised"]
    with pytest.raises(InputError, match=r"style has no effect in .*/labels-alone, .*choose other searches by --only"):
        overridden(study, {"style": 7})
    (search,) = overridden(study, {"style": 7}, parts=["reinmax"]).searches.values()
    assert search.base.architecture.style == 7


def test_own_data_take_the_place_of_known_ones_and_back() -> None:
    made = overridden(ONE, {"dataset": "some/where/own.npz"}, OWN)
    assert (made.name, made.searches[""].base.data) == ("one+dataset=own", OWN)
    back = overridden(made, {"dataset": "binarised-mnist"})
    assert back.searches[""].base == ONE.searches[""].base


def test_what_searches_have_in_common() -> None:
    assert common_value(TWO, "binarisation") == "threshold"
    mixed = {"a": Search(Config(batch_size=10), {}), "b": Search(Config(batch_size=20), {})}
    assert common_value(dataclasses.replace(TWO, searches=mixed), "batch_size") is None


def test_workers_find_own_data_at_different_places(tmp_path) -> None:
    """Equal content is one study, wherever it lies; other content by the same name is refused."""
    storage = open_storage(str(tmp_path / "studies.sqlite"))
    first = overridden(ONE, {"dataset": "x"}, OWN)
    open_study(first, first.name, storage)
    elsewhere = overridden(ONE, {"dataset": "x"}, dataclasses.replace(OWN, source="/second/own.npz"))
    open_study(elsewhere, first.name, storage)
    other = overridden(ONE, {"dataset": "x"}, dataclasses.replace(OWN, fingerprint="1" * 32))
    with pytest.raises(InputError, match=r"fingerprint: 0+ stored, 1+ asked"):
        open_study(other, first.name, storage)
    assert optuna.get_all_study_names(storage) == [first.name]


def refusal(made: Callable[[], object]) -> str:
    """What it is refused for, if it is."""
    try:
        made()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", sorted(studies()))
def test_every_study_takes_own_images_and_convolutions(name: str) -> None:
    """Where a study does not search the networks itself."""
    study = studies()[name]
    study.check()
    given = {"dataset": "own", "backbone": "conv", "channels": (4, 8), "hidden": (16,), "batch_size": 10}
    sizes = (5000, 100, 100)  # a sixteenth of them has labels in semi-supervised runs, and a critic takes five batches
    data = dataclasses.replace(OWN, shape=(8, 8, 1), sizes=sizes)
    while error := refusal(lambda: overridden(study, given, data)):
        searched = re.match(r"(\S+) is searched by \S+ itself; leave it off", error)
        assert searched, error
        del given[searched[1]]
    overridden(study, given, data).check()
    assert np.all([search.base.data == data for search in overridden(study, given, data).searches.values()])
