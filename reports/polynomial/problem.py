"""Polynomial programming: choose binary variables so that the mean of ``|z - c|^p`` is least.

The toy of Tucker et al. (2017) with many variables and other powers, as Liu et al. (2023) have it. The loss is a sum
over variables, so its expectation and the gradient of that are known.

- G. Tucker et al.: REBAR: Low-variance, unbiased gradient estimates for discrete latent variable models. NeurIPS 2017.
- L. Liu et al.: Bridging Discrete and Backpropagation: Straight-Through and Beyond. NeurIPS 2023.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies import Objective, Strategy
from reports.kit.own_loops import SECONDS, Numbers


@dataclass(frozen=True)
class Problem:
    """What is minimised, and how."""

    power: float
    """p; above 1, so that the loss has a slope everywhere."""
    target: float = 0.45
    """c"""
    variables: int = 128
    """L"""
    batch: int = 64
    """Samples a step."""
    rate: float = 1e-3
    """Adam's learning rate."""
    spread: float = 0.01
    """Logits start uniform in minus to plus this."""

    def __post_init__(self) -> None:
        if self.power <= 1:
            raise InputError(f"power is {self.power}; give a number above 1")
        if not 0 < self.target < 1:
            raise InputError(f"target is {self.target}; give a number between 0 and 1")

    def distances(self, values: Tensor) -> Tensor:
        """``|z - c|^p / L`` of each number."""
        # Below a power of 2 the second derivative (of REBAR) is infinite at the target, which relaxed samples hit.
        return (values - self.target).abs().clamp_min(1e-9) ** self.power / self.variables

    @property
    def objective(self) -> Objective:
        """The loss of a sample ``[..., B, L, 2]``, whose first category stands for 1: ``[..., B]``."""
        power, scale = self.power, self.power * (self.power - 1) / self.variables

        def curvature(values: Tensor) -> Tensor:
            # Below a power of 2 it is infinite at the target, which no binary value is.
            return scale * (values - self.target).abs().clamp_min(1e-6) ** (power - 2)

        return Objective(
            decode=lambda sample: sample[..., 0],
            loss=lambda values: self.distances(values).sum(-1),
            curvature=curvature,
        )

    def expected(self, logits: Tensor) -> Tensor:
        """The exact loss of logits ``[..., L, 2]``: ``[...]``. Its gradient is the exact one."""
        values = torch.tensor([1.0, 0.0], dtype=logits.dtype)
        return (logits.softmax(-1) * self.distances(values)).sum((-2, -1))

    @property
    def least(self) -> float:
        """The least loss that there is."""
        return float(self.variables * min(self.distances(torch.tensor([0.0, 1.0]))))

    def start(self, generator: torch.Generator) -> Tensor:
        """Logits to begin with, ``[L, 2]``."""
        return (torch.rand(self.variables, 2, generator=generator) * 2 - 1) * self.spread


def train(problem: Problem, strategy: Strategy, steps: int, every: int, seed: int) -> Numbers:
    """Train, and tell the exact loss after every so many steps."""
    generator = seeded(seed, "polynomial")
    logits = nn.Parameter(problem.start(generator))
    adam = torch.optim.Adam([logits, *strategy.parameters()], problem.rate)
    objective, numbers = problem.objective, Numbers()
    numbers.add("train", 0, loss=problem.expected(logits).item())
    seconds = 0.0
    for step in range(1, steps + 1):
        began = time.process_time()
        estimate = strategy.estimate(logits.expand(problem.batch, -1, -1), objective, generator=generator)
        adam.zero_grad()
        (estimate.loss.mean() + estimate.strategy_loss.sum()).backward()  # type: ignore[no-untyped-call]
        adam.step()
        seconds += time.process_time() - began
        if step % every == 0:
            with torch.no_grad():
                numbers.add("train", step, loss=problem.expected(logits).item())
    numbers.add("train", steps, **{SECONDS: seconds})
    return numbers
