"""The study and the searches that a command names, in this folder or in a storage."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.study import Study as OptunaStudy

from discrete_vae.errors import InputError, nearest
from discrete_vae.secrets import redact_url
from discrete_vae.tuning import Study, defined, open_storage
from studies import studies


def named(name: str) -> Study:
    """A study by its name. Raises ``InputError`` for one that is not known."""
    known = studies()
    if name not in known:
        raise nearest(name, known, "study")
    return known[name]


def chosen(study: Study, only: Sequence[str]) -> list[str]:
    """The searches asked for, or all of them. Raises ``InputError`` for one that the study does not have."""
    for part in only:
        if "" in study.searches:
            raise InputError(f"only is {part!r}, but {study.name} is one search; leave it off")
        if part not in study.searches:
            raise nearest(part, study.searches, f"search of {study.name}")
    return list(dict.fromkeys(only or study.searches))


def stored_searches(name: str, url: str, only: Sequence[str], readable: bool = True) -> list[OptunaStudy]:
    """The searches of a study that a storage holds.

    Raises ``InputError`` if there are none and, if they have to be ``readable``, for one that is damaged.
    """
    study = named(name)
    wanted = dict(zip(study.searches, study.names(), strict=True))
    storage = open_storage(url, make=False)
    there = set(optuna.get_all_study_names(storage))
    names = [wanted[part] for part in chosen(study, only) if wanted[part] in there]
    if not names:
        raise InputError(f"{redact_url(url)} holds no study {name!r}; python -m studies run {name}")
    found = [optuna.load_study(study_name=part, storage=storage) for part in names]
    for each in found if readable else []:
        defined(each)
    return found
