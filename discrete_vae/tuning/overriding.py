"""A study with other data, another network or other optimisation than its file says: a study with a name of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from discrete_vae.config import Config, relevance
from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.tuning.search import Search
from discrete_vae.tuning.study import Study

MARK = "+"
"""Stands before each change in a study's name."""
LONGEST_NAME = 200
"""Characters of a name with its changes written out; a longer one has a digest of them."""
PARTS = ("architecture", "data")
"""The parts of a configuration whose fields are options, beside its own."""


def overridden(
    study: Study, given: Mapping[str, Any], data: DataConfig | None = None, parts: Sequence[str] | None = None
) -> Study:
    """Searches of a study, by default all, with the given values of options in place of what they fix.

    ``data`` is the configuration of own images that were read as the options of data in ``given`` say. The study's name
    states its changes, those of all searches: ``gumbel-softmax+hidden=128``. Values that every search has anyhow are
    left out of it.
    Raises ``InputError`` for an option that a search tries values of, for one that has no effect in a search, and for
    values that a configuration refuses.
    """
    chosen = study.searches if parts is None else {part: study.searches[part] for part in parts}
    searches = {part: _changed(study, part, search, given, data) for part, search in chosen.items()}
    made = next(iter(searches.values())).base
    differing = [
        name for name in given if any(_value(each.base, name) != _value(made, name) for each in study.searches.values())
    ]
    order = [each.name for each in relevance.options(vars(made), vars(made))]
    changes = {name: _text(_value(made, name)) for name in sorted(differing, key=order.index)}
    return dataclasses.replace(study, name=_named(study.name, changes), searches=searches)


def common_value(study: Study, name: str) -> Any:
    """The value at which all searches of a study fix an option; None where they differ."""
    first, *others = [_value(search.base, name) for search in study.searches.values()]
    return first if all(each == first for each in others) else None


def _changed(study: Study, part: str, search: Search, given: Mapping[str, Any], data: DataConfig | None) -> Search:
    base, where = search.base, f"{study.name}/{part}" if part else study.name
    searched = _searched(search)
    values: dict[str, Any] = {} if data is None else {"data": data}
    for name, value in given.items():
        shown = name.replace("_", " ")
        if name in searched:
            raise InputError(f"{shown} is searched by {where} itself; leave it off")
        if not relevance.has_effect(name, base.task_class, base.strategy_class):
            raise InputError(
                f"{shown} has no effect in {where}, which is of task {base.task} and strategy {base.strategy}; "
                "leave it off" + (", or choose other searches by --only" if part else "")
            )
        holder = _part_of(name)
        if holder is None:
            values[name] = value
        elif not (holder == "data" and data is not None):
            values.setdefault(holder, {})[name] = value
    try:
        for holder in PARTS:
            if isinstance(values.get(holder), dict):
                # known data have nothing of what own ones have
                own = holder == "data" and "dataset" in values[holder] and not base.data.known
                start = DataConfig() if own else getattr(base, holder)
                values[holder] = dataclasses.replace(start, **values[holder])
        made = base.refitted(**values)
        for option in relevance.options(vars(made), vars(made)):
            if option.name in given and (reason := relevance.without_effect(option, vars(made) | values)):
                raise InputError(f"{option.name.replace('_', ' ')} has no effect with {reason}; leave it off")
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return dataclasses.replace(search, base=made)


def _searched(search: Search) -> set[str]:
    """The options that a search tries values of."""
    names = [name.split(".") for joined in search.space for name in joined.split("+")]
    return {each[1] if each[0] in PARTS and len(each) > 1 else each[0] for each in names}


def _part_of(name: str) -> str | None:
    """The part of a configuration that has an option; None for the configuration itself."""
    plain = Config()
    return next(
        (part for part in PARTS if name in {each.name for each in dataclasses.fields(getattr(plain, part))}), None
    )


def _value(base: Config, name: str) -> Any:
    part = _part_of(name)
    return getattr(base if part is None else getattr(base, part), name)


def _text(value: Any) -> str:
    """A value in a study's name: no space, no slash, which parts a study from its searches, and no mark."""
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return re.sub(r"[^\w.,:=-]", "_", text)


def _named(name: str, changes: Mapping[str, str]) -> str:
    made = name + "".join(f"{MARK}{each.replace('_', '-')}={text}" for each, text in changes.items())
    if len(made) <= LONGEST_NAME:
        return made
    return f"{name}{MARK}{hashlib.sha256(made.encode()).hexdigest()[:12]}"
