"""The stored definition of a study, which all of its trials share; and its differences from what is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection

from discrete_vae.config.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.tuning.metrics import METRICS
from discrete_vae.tuning.search import Search, fixed_values
from discrete_vae.tuning.study import Study, are_seeds, is_whole

DEFINITION = "definition"
"""A study's attribute: what all of its trials share."""


def defined(found: OptunaStudy) -> tuple[Search, int, list[int]]:
    """The search, the epochs and the seeds that a stored study has. Raises ``InputError`` if they cannot be read."""
    definition = _definition(found)
    try:
        space = {name: json_to_distribution(text) for name, text in definition["space"].items()}
        return Search(Config.from_dict(definition["fixed"]), space), definition["epochs"], definition["seeds"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(found, f"{type(error).__name__}: {error}") from error


def _definition(found: OptunaStudy) -> dict[str, Any]:
    """A stored study's definition. Raises ``InputError`` where a part is missing or of another kind."""
    attributes = found.user_attrs
    if DEFINITION not in attributes:
        raise InputError(f"study {found.study_name!r} in this storage is of another program; name another --storage")
    definition = attributes[DEFINITION]
    if not isinstance(definition, dict):
        raise _unreadable(found, f"it is {repr(definition)[:80]}")
    if found.directions != [StudyDirection.MAXIMIZE]:
        raise _unreadable(found, "it does not maximise one value")
    definition = {"metric": Study.metric, **definition}  # the ELBO, before there was a choice
    for part, fits in _PARTS.items():
        if not fits(definition.get(part)):
            raise _unreadable(found, f"its {part} is {repr(definition.get(part))[:80]}")
    return definition


_PARTS: dict[str, Callable[[Any], bool]] = {
    "space": lambda value: isinstance(value, dict) and all(isinstance(each, str) for each in value.values()),
    "fixed": lambda value: isinstance(value, dict),
    "epochs": lambda value: is_whole(value) and value >= 1,
    "seeds": are_seeds,
    "metric": lambda value: isinstance(value, str) and value in METRICS,
}
"""The parts of a definition, and checks of them."""


def _unreadable(found: OptunaStudy, reason: str) -> InputError:
    return InputError(
        f"study {found.study_name!r}: its stored definition cannot be read ({reason}); restore the storage, or remove "
        f"the study: python -m studies clean {found.study_name.partition('/')[0]}"
    )


def current(found: OptunaStudy) -> dict[str, Any]:
    """A stored definition, with defaults for fields that older definitions do not have.

    Raises ``InputError`` if it cannot be read.
    """
    return {**_definition(found), "fixed": fixed_values(defined(found)[0].base)}


def shared(definition: Mapping[str, Any]) -> dict[str, Any]:
    """A definition without what may differ between workers: the place where each found the data."""
    places = {each.name for each in dataclasses.fields(DataConfig) if not each.compare}
    fixed = dict(definition["fixed"])
    fixed["data"] = {name: value for name, value in fixed["data"].items() if name not in places}
    return {**definition, "fixed": fixed}


def metric_of(found: OptunaStudy) -> str:
    """The validation metric that a stored study maximises: a row of ``METRICS``."""
    return str(_definition(found)["metric"])


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two definitions differ, a line each: ``epochs: 3 stored, 10 asked``."""
    found = []
    for name in dict.fromkeys([*stored, *asked]):
        one, other = stored.get(name), asked.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            found += differences(one, other, f"{prefix}{name}: ")
        elif one != other:
            found.append(f"{prefix}{name}: {one} stored, {other} asked")
    return found
