"""Layouts of the logits beside ``[B, N, K]``, and losses that are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from discrete_vae.conformance.subject import Finding, Subject, close, posed, run
from discrete_vae.errors import InputError
from discrete_vae.strategies.objective import Cost, Objective


@dataclass(frozen=True)
class Arrangement:
    """How logits ``[10, B, N, K]`` are laid out, and how a result of their shape, or with more in front, is read."""

    name: str
    give: Callable[[Tensor], Tensor]
    read: Callable[[Tensor], Tensor]
    dim: int = -1
    latents: int | None = None
    population: bool = False
    """Whether the first dimension stays separate."""


ARRANGEMENTS = [
    Arrangement("[10, B, N, K]", lambda t: t, lambda t: t.flatten(-4, -3), population=True),
    Arrangement("[B, K]", lambda t: t.flatten(0, 1).squeeze(-2), lambda t: t.unsqueeze(-2), latents=1),
    Arrangement("[B, K, H, W]", lambda t: t.flatten(0, 1).mT.unsqueeze(-2), lambda t: t.squeeze(-2).mT, dim=1),
]


def shapes(subject: Subject) -> Finding:
    """``yes``: loss, gradient and sample are those of the plain layout ``[B, N, K]`` with the same noise in every other
    layout, and a loss that is not one number an example raises ``InputError``."""
    for each in ARRANGEMENTS:
        own = subject if each.latents is None else replace(subject, shape=(each.latents, alone(subject)))
        problem = own.problem()
        strategy = own.strategy(problem)
        logits = problem.logits.expand(10, *problem.logits.shape)
        base = posed(strategy, problem, 10)
        flat = flattened(base)
        plain, gradient = run(strategy, logits.flatten(0, 1), flat, problem.noise(3))
        given = base if each.population else rearranged(flat, each)
        try:
            found, slope = run(strategy, each.give(logits), given, problem.noise(3), each.dim)
        except InputError as error:
            return Finding("no", f"{each.name}: {error}")
        same = (
            close(found.loss.flatten(), plain.loss),
            close(each.read(slope), gradient),
            close(each.read(found.sample), plain.sample),
            each.population or close(found.strategy_loss, plain.strategy_loss),
        )
        if not all(same):
            return Finding("no", f"{each.name} gives another result than [B, N, K]")
    return refusals(subject)


def alone(subject: Subject) -> int:
    """Categories of one variable with as many states as the problem has, where the strategy takes as many."""
    latents, categories = subject.shape
    return categories if subject.kind.categories is not None else categories**latents


def rearranged(flat: Objective, each: Arrangement) -> Objective:
    """An objective of ``[B, N, K]`` for another layout."""

    model = flat.model
    assert model is not None

    def encode(observation: Tensor) -> Tensor:
        assert model.encode is not None
        return each.give(model.encode(observation).unsqueeze(0))

    def sample_kl(logits: Tensor, sample: Tensor) -> Tensor:
        assert flat.sample_kl is not None
        return flat.sample_kl(each.read(logits), each.read(sample))

    return replace(
        flat,
        decode=lambda sample: flat.decode(each.read(sample)),
        model=replace(model, encode=encode, decoder=model.decoder if each.dim == -1 else None),
        kl_term=None,
        sample_kl=sample_kl,
    )


def refusals(subject: Subject) -> Finding:
    """``yes`` where losses that are not one number an example raise ``InputError``."""
    problem = subject.problem()
    strategy = subject.strategy(problem)
    objective = problem.objective()
    wrong: dict[str, Callable[[Tensor], Any]] = {
        "a sum": lambda loss: loss.sum(),
        "a mean": lambda loss: loss.mean(),
        "a number": lambda loss: 1.0,
        "[B, 1]": lambda loss: loss.unsqueeze(-1),
        "[B, N]": lambda loss: loss.unsqueeze(-1).expand(*loss.shape, problem.family.latents),
    }

    def bad(shape: Callable[[Tensor], Any]) -> list[Objective | Cost]:
        def loss(output: Tensor) -> Any:
            return shape(objective.loss(output))

        return [replace(objective, loss=loss), lambda sample: loss(objective.decode(sample))]

    for name, shape in wrong.items():
        for each in bad(shape):
            try:
                run(strategy, problem.logits, each, problem.noise(0))
            except InputError:
                continue
            return Finding("no", f"takes {name} as a loss")
    return Finding("yes")


def flattened(objective: Objective) -> Objective:
    """An objective of examples ``[10, B]``, for the same examples in one row."""
    model = objective.model
    assert model is not None
    observation = model.observation
    assert observation is not None
    row = observation.flatten(0, 1)
    return replace(
        objective,
        model=replace(model, observation=row),
        context=row,
        loss=lambda output: objective.loss(torch.unflatten(output, -2, observation.shape[:2])).flatten(-2),
    )
