"""Measures, for one strategy at a time, what the interface promises for any logits and costs.

Each column of ``tests/strategies/capabilities.csv`` is a function from a ``Subject`` to a ``Finding``. What a strategy
draws is held fixed, so that two results that should be the same are compared exactly.
"""

from __future__ import annotations

import contextlib
import copy
import math
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from discrete_vae.conformance.layouts import shapes
from discrete_vae.conformance.masks import masked
from discrete_vae.conformance.problem import Problem
from discrete_vae.conformance.subject import Finding, Subject, close, posed, reason, run
from discrete_vae.errors import InputError
from discrete_vae.latents import categorical
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies.base import Strategy
from discrete_vae.strategies.pathwise import Pathwise


@contextlib.contextmanager
def plain_derivatives(*modules: str) -> Iterator[None]:
    """The package's own derivatives replaced by autograd's of the plain expressions, in it and in these modules."""
    packages = {each.partition(".")[0] for each in (__name__, *modules)}
    plain: dict[Any, Callable[..., Tensor]] = {
        categorical.softmax: lambda logits: logits.softmax(-1),
        categorical.softmax_through: lambda logits, p: (p.detach().log() + logits - logits.detach()).softmax(-1),
        categorical.log_taken: lambda logits, sample: (sample * logits.log_softmax(-1)).sum(-1, keepdim=True),
    }
    places = [
        (module, name, value)
        for module in [each for key, each in sys.modules.items() if key.partition(".")[0] in packages]
        for name, value in list(vars(module).items())
        if type(value) is FunctionType and value in plain
    ]
    for module, name, value in places:
        setattr(module, name, plain[value])
    try:
        yield
    finally:
        for module, name, value in places:
            setattr(module, name, value)


def second(subject: Subject) -> Finding:
    """Second derivatives in the logits, and mixed ones with the decoder's weights, in float64.

    ``right``: those of the gradient as it stands, by central differences with the same noise; or, where the published
    surrogate holds something constant, those that autograd finds through its plain expression. ``refused``: the
    backward pass of the gradient raises ``InputError``.
    """
    problem = subject.problem()
    strategy = subject.strategy(problem)
    weights = [problem.logits, problem.outer.detach()]
    directions, vector = (
        [torch.randn(each.shape, generator=seeded(1, i), dtype=each.dtype) for i, each in pair]
        for pair in (enumerate(weights), enumerate(weights[:1], 5))
    )

    def first(logits: Tensor, outer: Tensor, create: bool = False) -> Tensor:
        problem.outer = outer
        loss = copy.deepcopy(strategy).estimate(logits, problem.objective(), problem.noise(3)).loss.sum()
        return torch.autograd.grad(loss, logits, create_graph=create)[0]

    def again() -> list[Tensor]:
        at = [each.detach().clone().requires_grad_() for each in weights]
        gradient = first(at[0], at[1], create=True)
        if not gradient.requires_grad:
            raise TypeError("the gradient has no graph, so that what is derived from it is silently 0")
        torch.autograd.backward((gradient * vector[0]).sum())
        return [torch.zeros_like(each) if each.grad is None else each.grad for each in at]

    try:
        found = again()
    except InputError:
        return Finding("refused")
    except TypeError as error:
        return Finding("silent", str(error))

    def slope(place: int, step: float = 1e-5) -> float:
        """Slope of the gradient along the vector, as one of the weights changes."""
        ends = []
        for sign in (1, -1):
            moved = list(weights)
            moved[place] = moved[place] + sign * step * directions[place]
            gradient = first(moved[0].detach().requires_grad_(), moved[1])
            ends.append(float((gradient * vector[0]).sum()))
        return (ends[0] - ends[1]) / (2 * step)

    along = [float((each * direction).sum()) for each, direction in zip(found, directions, strict=True)]
    numeric = [slope(0), slope(1)]
    if all(math.isclose(a, b, rel_tol=1e-5, abs_tol=1e-7) for a, b in zip(along, numeric, strict=True)):
        return Finding("right")
    with plain_derivatives(subject.kind.__module__):
        expected = again()
    mixed = math.isclose(along[1], numeric[1], rel_tol=1e-5, abs_tol=1e-7)
    if mixed and all(close(a, b) for a, b in zip(found, expected, strict=True)):
        return Finding("right", "of the surrogate, whose constants are held")
    return Finding("wrong", f"{along[0]:.4g} and {along[1]:.4g} in place of {numeric[0]:.4g} and {numeric[1]:.4g}")


def nan(subject: Subject) -> Finding:
    """NaN in one example's logits: its loss is NaN. ``yes``: the others' loss and gradient are as without it, and
    finite on a first step, which may have statistics of its batch; ``loss``: only their loss is."""
    problem = subject.problem()
    clean = problem.logits.expand(5, *problem.logits.shape)
    dirty = clean.clone()
    dirty[0, 0, 0, 0] = math.nan
    for begun in (False, True):
        strategy = subject.strategy(problem) if begun else problem.build(subject.kind, subject.options)
        (before, wanted), (after, found) = (
            run(strategy, logits, problem.objective(5), problem.noise(3)) for logits in (clean, dirty)
        )
        losses, expected = after.loss.flatten(), before.loss.flatten()
        when = "" if begun else " on the first step"
        if not losses[0].isnan():
            return Finding("no", f"its loss is a number{when}")
        if not close(losses[1:], expected[1:]):
            return Finding("no", f"another example's loss changed{when}")
        slope = found.flatten(0, 1)[1:]
        if not (close(slope, wanted.flatten(0, 1)[1:]) if begun else slope.isfinite().all()):
            return Finding("loss", f"another example's gradient changed{when}")
    return Finding("yes")


def half(subject: Subject) -> Finding:
    """``yes``: with logits in bfloat16 and in float16 the loss is finite, and the gradient within 5% of that of the
    same logits in float32; sample and gradient have the logits' own type."""
    problem = subject.problem(torch.float32)
    strategy = subject.strategy(problem)
    objective = posed(strategy, problem, 10)
    objective = replace(objective, decode=lambda sample: problem.output(sample.to(torch.float32)))
    for dtype in (torch.bfloat16, torch.float16):
        logits = problem.logits.expand(10, *problem.logits.shape).to(dtype)
        name = str(dtype).removeprefix("torch.")
        estimate, gradient = run(strategy, logits, objective, problem.noise(3))
        _, expected = run(strategy, logits.float(), objective, problem.noise(3))
        error = float((gradient.float() - expected).norm() / expected.norm())
        if not estimate.loss.isfinite().all() or not error < 0.05:
            return Finding("no", f"{name}: the gradient is {error:.0%} off")
        if {gradient.dtype, estimate.sample.dtype} != {dtype}:
            return Finding("no", f"{name}: the sample is {estimate.sample.dtype}")
    return Finding("yes")


def losses(strategy: Strategy, problem: Problem) -> list[Callable[[Tensor], Tensor]]:
    """Functions of logits to a sum of losses: by ``estimate``, and of a pathwise strategy by its sample."""
    objective = replace(posed(strategy, problem), kl_term=None)
    found: list[Callable[[Tensor], Tensor]] = [lambda logits: strategy.estimate(logits, objective).loss.sum()]
    if isinstance(strategy, Pathwise):
        found.append(lambda logits: objective(strategy(logits)).sum())
    return found


def transformed(
    subject: Subject, transform: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor], sample: bool = True
) -> Finding:
    """``yes`` where a transformation gives the gradient that autograd gives, from the same state and global seed."""
    problem = subject.problem()
    strategy = subject.strategy(problem)
    state = copy.deepcopy(strategy.state_dict())
    for loss in losses(strategy, problem)[: 2 if sample else 1]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            logits = problem.logits.clone().requires_grad_()
            (expected,) = torch.autograd.grad(loss(logits), logits)
            strategy.load_state_dict(state)
            torch.manual_seed(0)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # on how fast it is
                    found = transform(loss, problem.logits.clone())
            except Exception as error:  # whatever torch raises for what it cannot do
                return Finding("no", reason(error))
            strategy.load_state_dict(state)
        if not close(found.detach(), expected.expand_as(found)):
            return Finding("no", "another gradient than autograd's")
    return Finding("yes")


def func(subject: Subject) -> Finding:
    """``yes``: ``torch.func.grad`` of the loss, and mapped by ``torch.func.vmap`` over three copies of the logits."""

    def transform(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
        mapped = torch.func.vmap(torch.func.grad(loss), randomness="same")  # type: ignore[attr-defined]
        found: Tensor = mapped(logits.expand(3, *logits.shape))
        return found

    return transformed(subject, transform)


def compile(subject: Subject) -> Finding:
    """``yes``: the loss compiles as one graph, ``torch.compile(fullgraph=True, backend="aot_eager")``."""

    def transform(loss: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
        torch._dynamo.reset()
        logits = logits.requires_grad_()
        compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
        return torch.autograd.grad(compiled(logits), logits)[0]

    return transformed(subject, transform, sample=False)


COLUMNS: dict[str, Callable[[Subject], Finding]] = {
    "second": second,
    "masked": masked,
    "nan": nan,
    "shapes": shapes,
    "half": half,
    "func": func,
    "compile": compile,
}
"""The columns of ``capabilities.csv`` between the name and the reasons, ``why``."""
