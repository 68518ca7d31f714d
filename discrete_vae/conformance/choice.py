"""Which strategy to measure, with which options and on which problems, from the command line."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any, get_type_hints

from torch import Tensor

from discrete_vae.cli.arguments import typed_schedule
from discrete_vae.conformance.figures import name_of
from discrete_vae.conformance.problem import BATCH, SHAPES
from discrete_vae.conformance.subject import Subject, reason, run
from discrete_vae.errors import InputError, nearest
from discrete_vae.foreign import imported
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, Claim, Estimate, Strategy
from discrete_vae.strategies.base import options_of


def resolve(name: str) -> type[Strategy]:
    """A strategy of the library by its name, or ``module:Class`` from the current folder.

    Raises ``InputError`` for a name that is not known, what cannot be imported, and a class that is no strategy.
    """
    if ":" not in name:
        if name not in STRATEGIES:
            raise nearest(name, [*STRATEGIES, "module:Class of your own"], "strategy")
        return STRATEGIES[name]
    module, class_name = imported(name, "strategy", "module:Class, such as mine:MyEstimator of mine.py in this folder")
    module_name = module.__name__
    classes = {each: value for each, value in vars(module).items() if isinstance(value, type)}
    own = [each for each, value in classes.items() if issubclass(value, Strategy) and value.__module__ == module_name]
    if class_name not in vars(module):
        if not own:
            raise InputError(f"{module_name} has no class {class_name!r}, nor any Strategy; define one")
        raise nearest(class_name, own, f"class of {module_name}")
    kind = vars(module)[class_name]
    if not isinstance(kind, type) or not issubclass(kind, Strategy):
        raise InputError(f"{name} is no Strategy; derive it from discrete_vae.strategies.Strategy")
    if not isinstance(getattr(kind, "claim", None), Claim):
        raise InputError(f"{name} has no claim; set claim = Claim(paper, unbiased=..., relaxed=..., evaluations=...)")
    return kind


def read_options(kind: type[Strategy], words: Sequence[str]) -> Any:
    """A strategy's options, its own defaults where nothing is given by ``name=value``.

    Raises ``InputError`` for an option that it does not have and a value that cannot be.
    """
    if not dataclasses.is_dataclass(kind.Options):
        raise InputError(f"{kind.__name__}.Options is {kind.Options!r}; give a frozen dataclass")
    hints, known = get_type_hints(kind.Options), options_of(kind)
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise InputError(f"--set {word!r} has no value; give name=value")
        if not known:
            raise InputError(f"{kind.__name__} has no options; leave --set {word} off")
        if name not in known:
            raise nearest(name, known, f"option of {kind.__name__}")
        if name in values:
            raise InputError(f"option {name} is given twice; give it once")
        values[name] = _read(name, hints[name], text.strip())
    try:
        return kind.Options(**values)
    except TypeError as error:
        raise InputError(f"{kind.__name__}.Options cannot be made ({error}); give every field a default") from error


def _read(name: str, kind: Any, text: str) -> Any:
    if kind is Schedule:
        return typed_schedule(text)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise InputError(f"{name} is {text!r}; give true or false")
        return text.lower() == "true"
    if kind in (int, float):
        if kind is int and not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise InputError(f"{name} is {text!r}; give a whole number")
        try:
            return kind(text)
        except ValueError:
            raise InputError(f"{name} is {text!r}; give a number") from None
    return text


class Faulty(InputError):
    """A strategy's claim or estimate is invalid, whatever the problem."""


def check_claim(name: str, claim: Claim, shape: tuple[int, int]) -> None:
    """Raise ``InputError`` for a claim that cannot be compared with a measurement."""
    for each in ("unbiased", "relaxed"):
        if not isinstance(getattr(claim, each), bool):
            raise Faulty(f"{name} claims {each}={getattr(claim, each)!r}; give True or False")
    count = claim.evaluations(*shape) if callable(claim.evaluations) else claim.evaluations
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise Faulty(
            f"{name} claims evaluations={count!r}; give the samples that a step decodes for an example, a whole number "
            "of at least 1, or a function of N and K"
        )


def check_estimate(name: str, estimate: Estimate, shape: tuple[int, int]) -> None:
    """Raise ``InputError`` for an estimate whose shapes are not those of ``Estimate``."""
    loss, strategy_loss, sample = estimate.loss, estimate.strategy_loss, estimate.sample
    if loss.shape != (BATCH,):
        raise Faulty(f"{name}'s loss has shape {list(loss.shape)}; give one number an example, [{BATCH}]")
    if not isinstance(strategy_loss, Tensor) or strategy_loss.dim():
        said = (
            f"has shape {list(strategy_loss.shape)}" if isinstance(strategy_loss, Tensor) else f"is {strategy_loss!r}"
        )
        raise Faulty(f"{name}'s strategy_loss {said}; give a tensor of one number, [], such as loss.new_zeros(())")
    if sample.shape[-3:] != (BATCH, *shape):
        raise Faulty(f"{name}'s sample has shape {list(sample.shape)}; give the decoded one, {[BATCH, *shape]}")


def _fails(name: str, kind: type[Strategy], error: Exception) -> InputError:
    """The error for a strategy that raises something, with the place in its own code if it comes from there."""
    frames = traceback.extract_tb(error.__traceback__)
    home = getattr(sys.modules.get(kind.__module__), "__file__", None)
    place = ([each for each in frames if each.filename == home] or frames)[-1]
    return InputError(
        f"{name} fails in {os.path.basename(place.filename)}, line {place.lineno} ({reason(error)}); fix it first"
    )


def accepted(name: str, kind: type[Strategy], options: Any, shape: tuple[int, int] | None) -> tuple[list[Subject], str]:
    """The strategy on every problem that it takes (on that of ``shape`` alone, if given), and why it refuses others.

    Raises ``InputError`` if it takes none.
    """
    shapes = [shape] if shape else [*SHAPES.values()]
    if not kind.categorical() and not shape:
        shapes = shapes[:1]  # the conformance table has one problem for other latents
    subjects, refused = [], {}
    for each in shapes:
        if kind.categories not in (None, each[1]):
            refused[each] = f"{name} is for {kind.categories} categories, and there are {each[1]}"
            continue
        subject = Subject(kind, options, each)
        try:
            kind.check_size(options, *each)
            problem = subject.problem()
            strategy = problem.build(kind, options)
            check_claim(name, strategy.claim, problem.family.sample_shape)
            estimate, _ = run(strategy, problem.logits, problem.objective(), problem.noise(0))
            check_estimate(name, estimate, problem.family.sample_shape)
            subjects.append(subject)
        except Faulty:
            raise
        except ValueError as error:  # an InputError, or what a user's class raises
            refused[each] = f"{name} refuses {each[0]} variables of {each[1]} categories ({error})"
        except NotImplementedError:
            raise InputError(f"{name} has no compute; write compute(self, logits, objective, noise)") from None
        except TypeError as error:
            if _raised_in_build(error):
                raise InputError(
                    f"{name} cannot be built ({error}); give its arguments defaults, or fields of the same names in "
                    "Options, or a build(cls, options, networks) of its own, in which networks.members is None here"
                ) from error
            raise _fails(name, kind, error) from error
        except Exception as error:  # whatever a user's class raises
            raise _fails(name, kind, error) from error
    if not subjects:
        raise InputError(next(iter(refused.values())) + ("; give another --shape" if shape else ""))
    return subjects, "; ".join(f"{name_of(each)}: {said}" for each, said in refused.items())


def _raised_in_build(error: TypeError) -> bool:
    """Whether a traceback passes through a strategy's ``build``."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "build" and "kind" not in trace.tb_frame.f_locals:
            return True
        trace = trace.tb_next
    return False
