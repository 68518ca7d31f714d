"""How values of a configuration are named, and how a trial's are put into it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from discrete_vae.config.config import Config
from discrete_vae.config.relevance import has_effect
from discrete_vae.errors import InputError, nearest
from discrete_vae.schedules import Schedule


def configure(base: Config, values: Mapping[str, Any]) -> Config:
    """A configuration with some of its values replaced.

    A name is that of a field, of the strategy's options or of the configuration: ``geometry``, ``samples``. For a
    schedule it means the initial value or, with a text, the whole schedule. A part of a schedule, or a field of what
    has fields, stands behind a dot: ``temperature.decay``, ``supervision.alpha``. Two fields that share a value are
    joined: ``learning_rate+auxiliary_learning_rate``. Tuples may be given as JSON text, as storages keep them.

    A value that has no effect beside the others is left out. Raises ``InputError`` for a name that is no field, has no
    effect beside any others or is given twice, and for values that a configuration refuses.
    """
    changed: dict[bool, dict[str, Any]] = {True: {}, False: {}}  # of the options, and of the rest; all at once
    parted: dict[tuple[bool, str], dict[str, Any]] = {}  # likewise of what has parts
    for joined, value in values.items():
        for name in joined.split("+"):
            first, _, part = name.partition(".")
            known = {each.name: kind for kind in (base, base.options) for each in dataclasses.fields(kind)}
            if first not in known:
                raise nearest(first, known, f"value of {base.strategy}")
            if not has_effect(first, base.task_class, base.strategy_class):
                raise InputError(f"{first} has no effect with {base.strategy} in task {base.task}; leave it out")
            own, old = known[first] is base.options, getattr(known[first], first)
            whole = not part and isinstance(value, Schedule | str)
            twice = InputError(f"{name} is given twice, in {', '.join(values)}; give it once")
            if first in changed[own]:
                raise twice
            if not whole and (isinstance(old, Schedule) or (part and dataclasses.is_dataclass(old))):
                parts = {each.name: getattr(old, each.name) for each in dataclasses.fields(old)}
                part = part or "initial"
                if part not in parts:
                    raise nearest(part, parts, f"part of {first}")
                if part in parted.setdefault((own, first), {}):
                    raise twice
                parted[own, first][part] = _like(parts[part], value, name)
            elif part:
                raise InputError(f"{first} is {old!r}, which is whole, so that it has no {part!r}")
            elif (own, first) in parted:
                raise twice
            else:
                changed[own][first] = _like(old, value, name)
    try:
        for (own, first), parts_of in parted.items():
            changed[own][first] = dataclasses.replace(getattr(base.options if own else base, first), **parts_of)
        options = dataclasses.replace(base.options, **changed[True])
        return base.refitted(options=options, **changed[False])
    except (TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{dict(values)} is not understood ({error}); give values of the fields' types") from error


def _like(old: Any, value: Any, name: str) -> Any:
    """A value as the field's own is: storages keep tuples and schedules as text, and have lists for tuples."""
    if isinstance(old, Schedule):
        return Schedule.parse(value) if isinstance(value, str) else value
    if not isinstance(old, tuple):
        return value
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError(f"{name} is {value!r}; give a tuple such as {old!r}") from None
    return _tuple(value)


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list | tuple) else value


def _storable(value: Any) -> Any:
    """A choice as a storage keeps it: a number or a text; a tuple as JSON. Others are left to ``Study.check``."""
    if isinstance(value, Schedule):
        return str(value)
    if isinstance(value, tuple | list):
        try:
            return json.dumps(value)
        except TypeError:
            return value
    return value.item() if isinstance(value, np.generic) else value


def stored_as(distribution: Any) -> Any:
    """A distribution with choices as a storage keeps them."""
    if not isinstance(distribution, CategoricalDistribution):
        return distribution
    choices = tuple(map(_storable, distribution.choices))
    return distribution if choices == distribution.choices else CategoricalDistribution(choices)
