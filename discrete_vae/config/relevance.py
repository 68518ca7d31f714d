"""Which options have an effect, by task, strategy and each other: a configuration refuses the rest.

An option without an effect would make another run of the same model. ``Task.reads``, ``Strategy.ignores`` and
``Strategy.idle`` say what has one. Values are those of a configuration's fields, by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from discrete_vae import backbones
from discrete_vae.errors import InputError
from discrete_vae.likelihoods import LIKELIHOODS
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, Strategy
from discrete_vae.tasks import TASKS, Task

OPTIONAL = frozenset[str]().union(*(task.reads for task in TASKS.values()))
"""Options of a run that not every task reads."""


@dataclass(frozen=True)
class Option:
    """A field of a configuration or, with the part's name, of one of its parts."""

    name: str
    value: Any
    default: Any
    part: str | None = None


def options(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Option]:
    """Every option, those of the parts one by one."""
    for name, default in defaults.items():
        if not dataclasses.is_dataclass(default) or isinstance(default, Schedule):
            yield Option(name, values[name], default)
            continue
        for each in dataclasses.fields(default):
            yield Option(each.name, getattr(values[name], each.name), getattr(default, each.name), name)


def has_effect(name: str, task: type[Task], strategy: type[Strategy]) -> bool:
    """Whether a task trained by a strategy reads an option, at least with suitable values of others."""
    return (name not in OPTIONAL or name in task.reads) and name not in strategy.ignores


def readers(name: str) -> list[str]:
    """The tasks that read an option."""
    return [each for each, task in TASKS.items() if name not in OPTIONAL or name in task.reads]


def without_effect(option: Option, values: Mapping[str, Any]) -> str | None:
    """The reason why an option has no effect, or None if it has one."""
    task, strategy = TASKS[values["task"]], STRATEGIES[values["strategy"]]
    if (option.name in OPTIONAL and option.name not in task.reads) or (option.part == "options" and task.stand_in):
        return f"task {values['task']}"
    if option.name in strategy.ignores:
        return f"strategy {values['strategy']}"
    if option.name == "score" and values["keep"] == "last" and not values["patience"]:
        return "keep last and patience 0"
    if option.name == "objective" and values["samples"] == 1:
        return "samples 1 (give 2 or more)"
    if values["objective"] == "bound" and option.name in strategy.own_samples and option.part == "options":
        return "objective bound, whose samples stand in for them"
    sizes = values["architecture"].latents, values["architecture"].categories
    if option.name in strategy.idle(values["options"], *sizes):
        return f"these options of {values['strategy']}{_changed(values['options'], option.name)}"
    if option.part == "architecture":
        return backbones.idle(values["architecture"]).get(option.name)
    if option.name == "pixel_scale" and option.name not in LIKELIHOODS[values["likelihood"]].reads:
        return f"likelihood {values['likelihood']}"
    return None


def _changed(options: Any, name: str) -> str:
    """A strategy's options that are not at their defaults, but for one of them: ``" (moves 9)"``."""
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options) if field.name != name}
    plain = type(options)()
    changed = {each: value for each, value in values.items() if value != getattr(plain, each)}
    told = ", ".join(f"{each.replace('_', ' ')} {value}" for each, value in changed.items())
    return f" ({told})" if told else ""


def check(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise ``InputError`` for an option that is not at its default and has no effect."""
    task, strategy = values["task"], values["strategy"]
    stand_in = TASKS[task].stand_in
    if stand_in not in (None, strategy):
        raise InputError(f"strategy is {strategy}, which has no part in {task}; give {stand_in} in its place")
    for option in options(values, defaults):
        if option.value != option.default and (reason := without_effect(option, values)):
            others = readers(option.name)
            more = f", or give task {' or '.join(others)}" if others and task not in others else ""
            raise InputError(
                f"{option.name.replace('_', ' ')} is {option.value}, which has no effect with {reason}; leave it at "
                f"{option.default}{more}"
            )


def fitting(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with every option that has no effect at its default."""
    fitted = dict(values)
    for option in options(values, defaults):
        if option.value != option.default and without_effect(option, values):
            if option.part is None:
                fitted[option.name] = option.default
            else:
                fitted[option.part] = dataclasses.replace(fitted[option.part], **{option.name: option.default})
    return fitted
