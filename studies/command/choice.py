"""The study and the searches that a command names, in this folder or in a storage."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy

from discrete_vae.errors import InputError, nearest
from discrete_vae.foreign import is_file
from discrete_vae.secrets import redact_url
from discrete_vae.tuning import DEFINITION, Study, defined, open_storage
from discrete_vae.tuning.overriding import MARK
from studies import studies
from studies.own import from_file


def named(name: str) -> Study:
    """A study by its name, or by the file that defines it. Raises ``InputError`` for one that is not known."""
    known = studies()
    if name in known:
        return known[name]
    if is_file(name):
        return from_file(name)
    origin, _, changes = name.partition(MARK)
    if changes and origin in known:
        raise InputError(
            f"{name!r} is {origin} with other options; give these, as in python -m studies run {origin} --hidden 100"
        )
    raise nearest(name, known, "study")


def chosen(study: Study, only: Sequence[str]) -> list[str]:
    """The searches asked for, or all of them. Raises ``InputError`` for one that the study does not have."""
    return chosen_of(study.name, study.searches, only)


def chosen_of(name: str, searches: Collection[str], only: Sequence[str]) -> list[str]:
    """As ``chosen``, of the study of this name with these searches."""
    for part in only:
        if "" in searches:
            raise InputError(f"only is {part!r}, but {name} is one search; leave it off")
        if part not in searches:
            raise nearest(part, searches, f"search of {name}")
    return list(dict.fromkeys(only or searches))


def stored_searches(name: str, url: str, only: Sequence[str], readable: bool = True) -> list[OptunaStudy]:
    """The searches of a study that a storage holds, by its name there or the file that defines it.

    Of the name of a study with changed options the beginning is enough: ``gumbel-softmax+hidden``.

    Raises ``InputError`` if there are none and, if they have to be ``readable``, for one that is damaged.
    """
    known = studies()
    study = known[name] if name in known else from_file(name) if is_file(name) else None
    storage = open_storage(url, make=False)
    there = set(optuna.get_all_study_names(storage))
    if study is None:
        own = _own(storage)
        root = _whole(name, dict.fromkeys(map(_root, own)), known)
        searches = {each.partition("/")[2]: each for each in own if _root(each) == root}
        parts = chosen_of(root, searches, only)
    else:
        root = study.name
        searches = dict(zip(study.searches, study.names(), strict=True))
        parts = [part for part in chosen(study, only) if searches[part] in there]
    if not parts:
        others = [each for each in dict.fromkeys(map(_root, _own(storage))) if each.startswith(f"{root}{MARK}")]
        remedy = f"name one of those it holds: {', '.join(others)}" if others else f"python -m studies run {name}"
        raise InputError(f"{redact_url(url)} holds no study {name!r}; {remedy}")
    found = [optuna.load_study(study_name=searches[part], storage=storage) for part in parts]
    for each in found if readable else []:
        defined(each)
    return found


def _whole(name: str, roots: Collection[str], known: Collection[str]) -> str:
    """A stored study's name by itself or, of one with changes, by its beginning: ``gumbel-softmax+hidden``."""
    found = [name] if name in roots else [each for each in roots if MARK in name and each.startswith(name)]
    if not found:
        raise nearest(name, dict.fromkeys([*known, *roots]), "study")
    if len(found) > 1:
        raise InputError(f"study {name!r} could be {' or '.join(found)}; give more of its name")
    return found[0]


def _own(storage: BaseStorage) -> list[str]:
    """The names of all searches of this project's studies in a storage."""
    return [
        each.study_name
        for each in storage.get_all_studies()
        if DEFINITION in storage.get_study_user_attrs(each._study_id)
    ]


def _root(name: str) -> str:
    """The study's name in that of one of its searches."""
    return name.partition("/")[0]
