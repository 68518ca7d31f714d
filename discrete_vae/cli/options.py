"""The options of ``discrete-vae train STRATEGY --task TASK``: a configuration's fields, those that have an effect."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Annotated, Any, get_type_hints

from cyclopts import Group, Parameter
from docstring_parser import parse_from_object

from discrete_vae.cli.arguments import SCHEDULE, real, whole
from discrete_vae.config import Config, defaults, relevance
from discrete_vae.config.relevance import Option
from discrete_vae.data import DataConfig
from discrete_vae.likelihoods import LIKELIHOODS
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.strategies.base import options_of
from discrete_vae.tasks import TASKS, Architecture, CriticConfig, Supervision

STRATEGY, TASK, MODEL, DATA, OPTIMISATION, RUNS = (
    Group.create_ordered(name) for name in ("Strategy", "Task", "Model", "Data", "Optimisation", "Runs")
)
PARTS: dict[str | None, tuple[type, Group]] = {
    "supervision": (Supervision, TASK),
    "criticism": (CriticConfig, TASK),
    "architecture": (Architecture, MODEL),
    "data": (DataConfig, DATA),
    None: (Config, OPTIMISATION),
}
"""The parts of a configuration and its own fields: their class, and the group that they are shown in."""
CONVERTERS = {int: whole(), tuple[int, ...]: whole(), float: real(), Schedule: SCHEDULE}
"""Converters of values by type; cyclopts reads the other types."""
FOUND = {each.name for each in dataclasses.fields(DataConfig) if each.metadata.get("hidden")}
"""Fields that are read from own images and are no options."""
OF_ONE_RUN = ("strategy", "options", "task", "seed", "epochs")
"""Fields of a configuration that are none of ``common_parameters``."""


def task_of(tokens: Sequence[str]) -> str:
    """The task that a command line names, or the default if it names none that is known."""
    found = [after for word, after in pairwise(tokens) if word == "--task"]
    found += [word.removeprefix("--task=") for word in tokens if word.startswith("--task=")]
    return next((each for each in found if each in TASKS), Config.task)


def parameters(strategy: str, task: str) -> list[inspect.Parameter]:
    """The parameters of a strategy's command for a task, except the task itself."""
    made = []
    for option in _readable(strategy, task):
        kind, group = PARTS.get(option.part, (STRATEGIES[strategy].Options, STRATEGY))
        made.append(_parameter(kind, option.name, option.value, RUNS if option.name == "seed" else group))
    return made


def common_parameters() -> list[inspect.Parameter]:
    """The parameters of network, data and optimisation, of every strategy and task; None unless given."""
    return [
        _parameter(kind, each.name, None, group)
        for kind, group in (PARTS[part] for part in ("architecture", "data", None))
        for each in dataclasses.fields(kind)
        if each.name not in (*PARTS, *OF_ONE_RUN, *FOUND)
    ]


def take_common(command: Callable[..., Any]) -> None:
    """Have a command line take ``common_parameters`` for a command, in place of its ``**`` keywords."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    made = signature.replace(parameters=[*own, *common_parameters()])
    command.__signature__ = made  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in made.parameters.values()}


@lru_cache(maxsize=None, typed=True)
def _parameter(kind: type, name: str, default: Any, group: Group) -> inspect.Parameter:
    """The parameter of a class' field. Most are the same in every strategy's command."""
    hint, documentation = _hints(kind)[name], _documentation(kind).get(name)
    extra = [CONVERTERS[hint]] if hint in CONVERTERS else []
    shown = {} if default is not None else {"show_default": False}
    if default is None:
        hint = hint | None  # where pydantic is loaded, defaults are held to their types
    annotation = Annotated[(hint, *extra, Parameter(help=documentation, group=group, **shown))]  # type: ignore[misc, valid-type]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def suited(given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults that depend on other options: a likelihood of grey levels needs pixels that are not binarised."""
    likelihood = LIKELIHOODS.get(given.get("likelihood", Config.likelihood))
    return {} if likelihood is None or likelihood.binary else {"binarisation": "none"}


def configuration(strategy: str, task: str, given: dict[str, Any], data: DataConfig | None = None) -> Config:
    """The configuration of a command's values by name, with ``data`` (if it was read) in place of theirs.

    Raises ``InputError`` as ``Config`` does.
    """
    values = _start(strategy, task)
    if data is not None:
        values["data"] = data
    for option in _readable(strategy, task):
        if option.part == "data" and data is not None:
            continue
        value = given[option.name]
        if option.part is None:
            values[option.name] = value
        else:
            values[option.part] = dataclasses.replace(values[option.part], **{option.name: value})
    return Config(**values)


def unknown(option: str, strategy: str, task: str) -> str | None:
    """Why an option does not apply to this strategy and task; None for an option that does not exist."""
    name = option.partition("=")[0].lstrip("-").replace("-", "_")
    said = f"{option} has no effect"
    if any(name == each.name and each.part != "options" for each in _all(strategy)):
        if name in STRATEGIES[strategy].ignores:
            return f"{said} with strategy {strategy}; leave it off"
        return f"{said} in task {task}; leave it off, or give --task {' or '.join(relevance.readers(name))}"
    if name in options_of(STRATEGIES[strategy]):
        return f"{said} in task {task}, which makes no use of a strategy; leave it off"
    if owners := [each for each, kind in STRATEGIES.items() if name in options_of(kind)]:
        return f"{option} is no option of {strategy}, but of {', '.join(owners)}; leave it off"
    return None


def _start(strategy: str, task: str) -> dict[str, Any]:
    """A configuration's values before any is given."""
    start = defaults(strategy) | {"task": task}
    return start | {"architecture": TASKS[task].with_task_defaults(start["architecture"])}


def _all(strategy: str) -> list[Option]:
    start = _start(strategy, Config.task)
    return list(relevance.options(start, start))


def _readable(strategy: str, task: str) -> list[Option]:
    """Options that have an effect, at least with suitable values of others."""
    start = _start(strategy, task)
    return [
        option
        for option in relevance.options(start, start)
        if option.name not in ("strategy", "task", *FOUND)
        and relevance.has_effect(option.name, TASKS[task], STRATEGIES[strategy])
        and not (option.part == "options" and TASKS[task].stand_in)
    ]


_hints = cache(get_type_hints)
"""The types of a class' fields, by field; kept, as reading them takes most of the time of building the commands."""


@cache
def _documentation(kind: type) -> dict[str, str | None]:
    """The docstrings below a class' fields, by field."""
    found: dict[str, str | None] = {}
    for base in reversed(kind.__mro__[:-1]):
        found |= {each.arg_name: each.description for each in parse_from_object(base).params}
    return found
