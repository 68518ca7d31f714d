"""A strategy under measurement (``Subject``), and what a column of capabilities finds (``Finding``)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from discrete_vae.conformance.problem import SHAPES, Problem
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Estimate, Strategy
from discrete_vae.strategies.objective import Cost, Objective


@dataclass(frozen=True)
class Finding:
    """The finding of a column, and why it is no plain yes."""

    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Subject:
    """A strategy with its options, on a problem of so many variables and categories."""

    kind: type[Strategy]
    options: Any = None
    shape: tuple[int, int] = SHAPES["ternary"]

    @classmethod
    def of(cls, kind: type[Strategy], options: Any = None) -> Subject:
        """On the first of the table's problems that it takes."""
        return cls(kind, options, next(shape for shape in SHAPES.values() if kind.categories in (None, shape[1])))

    def problem(self, dtype: torch.dtype = torch.float64) -> Problem:
        """A new problem of the subject's shape."""
        return Problem(self.kind.latent_family(*self.shape), dtype)

    def strategy(self, problem: Problem) -> Strategy:
        """The strategy after one step on the problem, so that moving means have begun."""
        return problem.learn(problem.build(self.kind, self.options), 1)


def run(
    strategy: Strategy, logits: Tensor, objective: Objective | Cost, noise: Noise, dim: int = -1
) -> tuple[Estimate, Tensor]:
    """An estimate, and its gradient in the logits; the strategy itself stays as it is."""
    logits = logits.detach().clone().requires_grad_()
    estimate = copy.deepcopy(strategy).estimate(logits, objective, noise, dim=dim)
    return estimate, torch.autograd.grad(estimate.loss.sum(), logits)[0]


def close(one: Tensor, other: Tensor, tolerance: float = 1e-8) -> bool:
    """Whether two tensors differ at most by rounding, relative to the largest number."""
    scale = float(other.detach().abs().nan_to_num(posinf=1).max()) if other.numel() else 0.0
    return one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=tolerance * max(scale, 1e-3))


def reason(error: BaseException) -> str:
    """An exception in a few words."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def posed(strategy: Strategy, problem: Problem, *leading: int) -> Objective:
    """The problem's objective without counting, and without the layers if the strategy does not use them."""
    objective = replace(problem.objective(*leading), decode=problem.output)
    assert objective.model is not None
    layerwise = any(getattr(module, "layerwise", False) for module in strategy.modules())
    return objective if layerwise else replace(objective, model=replace(objective.model, decoder=None, encoder=None))
