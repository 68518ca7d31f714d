"""RODEO: RLOO with learned control variates, whose means are 0 by a Stein operator of the sample's distribution.

J. Shi, Y. Zhou, J. Hwang, M. K. Titsias, L. Mackey: Gradient Estimation with Discrete Stein Operators. NeurIPS 2022,
arXiv 2202.09497.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.errors import InputError, check_range, check_types
from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, NetworkFactory, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw
from discrete_vae.strategies.rloo import check_draws

LEAK = 0.3
"""Slope of the network's units below 0."""


@dataclass(frozen=True)
class RodeoOptions:
    """Hyper-parameters of RODEO."""

    draws: int = 2
    """Samples of each image's latents, at least 2."""
    units: int = 100
    """Hidden units of the control variates' network, which every category of every variable passes through."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range("units", self.units)
        check_draws(self.draws)


class Surrogate(nn.Module):
    """Two functions of a loss elsewhere and of the linear change from there: a hidden layer of leaky ReLUs.

    They are almost 0 at first, so that RODEO begins as RLOO.
    """

    def __init__(self, units: int, members: int | None = None) -> None:
        super().__init__()
        for name in ("change", "level", "shift", "first", "second"):
            weights = torch.randn(units, generator=seeded(0, "rodeo", name))
            weights = weights / (100 * units if name in ("first", "second") else units**0.5)
            setattr(self, name, nn.Parameter(weights if members is None else weights.repeat(members, 1)))
        self.offset = nn.Parameter(torch.zeros(1) if members is None else torch.zeros(members, 1))

    def forward(self, change: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """Changes ``[..., B]`` or ``[..., B, N, K]`` from a loss ``[..., B]``: two numbers for each change."""
        more = change.dim() - level.dim()
        level = level.reshape(level.shape + (1,) * more)

        def fitted(weights: Tensor) -> Tensor:  # [P, H] -> [P, 1, ..., H]
            return weights.reshape(*weights.shape[:-1], *[1] * (1 + more), weights.shape[-1])

        own = {name: fitted(weights) for name, weights in self.named_parameters()}
        inputs = change.unsqueeze(-1) * own["change"] + level.unsqueeze(-1) * own["level"] + own["shift"]
        hidden = F.leaky_relu(inputs, LEAK)
        first, second = ((hidden * own[name]).sum(-1) for name in ("first", "second"))
        return first, second + own["offset"].squeeze(-1)


class Rodeo(Strategy):
    """``mean_s (f_s - mean_r (f_r + A h_r(z_r))) grad log q(z_s) + A h'_s grad log q(z_s)``, the mean over r != s.

    A is the Gibbs Stein operator ``A h(z) = mean_n sum_k p_nk h(z with z_n = k) - h(z)``, whose mean under q is 0 for
    every h and any number of categories. ``h_s`` and ``h'_s`` are a network's two functions of ``f_r`` and of
    ``f'(z_r) (z - z_r)``, averaged over the other samples r, so that they do not depend on ``z_s`` and the control
    variates cost no further evaluation of f. The network descends the estimate's square, and so its variance. Raises
    ``InputError`` for fewer than 2 samples, and for an objective without a gradient in the sample.
    """

    claim = Claim("Shi et al. 2022", unbiased=True, relaxed=False, evaluations=2)
    differentiates = True
    Options = RodeoOptions
    ignores = frozenset()
    independent = True
    checks: ClassVar = {"draws": check_draws}

    def __init__(self, draws: int = 2, units: int = 100, members: int | None = None) -> None:
        super().__init__()
        RodeoOptions(draws, units)
        self.draws = draws
        self.surrogate = Surrogate(units, members)

    def reclaim(self) -> None:
        self.claim = replace(self.claim, evaluations=self.draws)

    @classmethod
    def build(cls, options: RodeoOptions, networks: NetworkFactory) -> Self:
        return cls(options.draws, options.units, networks.members)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = torch.stack([draw(logits, noise) for _ in range(self.draws)])  # [S, ..., B, N, K]
        with torch.enable_grad():
            at = sample.clone().requires_grad_()
            losses = objective(at)
            slope = None
            if losses.requires_grad:
                (slope,) = torch.autograd.grad(losses.sum(), at, retain_graph=True, allow_unused=True)
        if slope is None:
            raise InputError("RODEO needs an objective that has a gradient in the sample; take rloo")
        fixed, probabilities = losses.detach(), softmax(logits.detach())
        score = sample - probabilities
        baseline, pull = [], []
        for s in range(self.draws):
            others = [torch.cat([each[:s], each[s + 1 :]]) for each in (sample, fixed, slope)]
            offset, own = self.controls(sample[s], score[s], probabilities, *others)
            baseline.append(fixed[s] + offset)
            pull.append(own)
        total = sum(baseline)
        for s in range(self.draws):
            signal = fixed[s] - (total - baseline[s]) / (self.draws - 1)
            pull[s] = pull[s] + signal.unsqueeze(-1).unsqueeze(-1) * score[s]
        estimate = torch.stack(pull).mean(0)
        loss = losses.mean(0)
        # The estimate's mean does not depend on what is learned, so its square has the variance's gradient.
        strategy_loss = estimate.square().sum((-1, -2)).mean(-1)
        return Estimate(loss + only_gradient(logits, estimate.detach(), loss.dim()), strategy_loss, sample)

    def controls(
        self,
        sample: Tensor,
        score: Tensor,
        probabilities: Tensor,
        others: Tensor,
        losses: Tensor,
        slopes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """``A h`` ``[..., B]`` and ``A (h' grad log q)`` ``[..., B, N, K]`` at a sample, from the other samples.

        Its neighbours differ in one variable. The linear function's values there need no loop over them.
        """
        change = (slopes * (sample - others)).sum((-1, -2))  # [S - 1, ..., B]
        moved = change.unsqueeze(-1).unsqueeze(-1) + slopes - (slopes * sample).sum(-1, keepdim=True)
        here = [each.mean(0) for each in self.surrogate(change, losses)]
        first, second = (probabilities * each.mean(0) for each in self.surrogate(moved, losses))  # [..., B, N, K]
        latents = sample.shape[-2]
        stays = second.sum((-1, -2), keepdim=True) * score
        turns = second - sample * second.sum(-1, keepdim=True)
        own = (stays + turns) / latents - here[1].unsqueeze(-1).unsqueeze(-1) * score
        return first.sum((-1, -2)) / latents - here[0], own
