"""RLOO: the score function with several samples, each of which has the others for its baseline.

W. Kool, H. van Hoof, M. Welling: Buy 4 REINFORCE Samples, Get a Baseline for Free! ICLR 2019 workshop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from discrete_vae.errors import InputError, check_types, check_whole
from discrete_vae.latents.categorical import log_prob
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.bound import Samples, leave_one_out
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw


def check_draws(draws: int) -> None:
    """Raise ``InputError`` for a number of samples that is not at least 2."""
    check_whole("draws", draws)
    if draws < 2:
        raise InputError(f"draws is {draws!r}; give at least 2, for each has the others as its baseline")


@dataclass(frozen=True)
class LeaveOneOutOptions:
    """Hyper-parameters of estimators with several samples."""

    draws: int = 4
    """Samples of each image's latents, at least 2."""

    def __post_init__(self) -> None:
        check_types(self)
        check_draws(self.draws)


class Rloo(Strategy):
    """``mean_s (f(z_s) - mean of the other f) grad log q(z_s)`` (Kool et al. 2019); the loss is the samples' mean.

    For a bound over several samples, the bound's samples replace its own, each with the bound without it as baseline,
    which is VIMCO (Mnih and Rezende 2016). Raises ``InputError`` for fewer than 2 samples.
    """

    claim = Claim("Kool et al. 2019", unbiased=True, relaxed=False, evaluations=4)
    Options = LeaveOneOutOptions
    independent = True
    own_samples = frozenset({"draws"})
    checks: ClassVar = {"draws": check_draws}

    def __init__(self, draws: int = 4) -> None:
        super().__init__()
        self.draws = draws

    def reclaim(self) -> None:
        self.claim = replace(self.claim, evaluations=self.draws)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        if objective.samples is not None:
            return self.of_bound(logits, objective, objective.samples, noise)
        sample = torch.stack([draw(logits, noise) for _ in range(self.draws)])
        losses = self.losses(logits, sample, objective)
        loss, signal = self.combine(losses)
        score = (signal.detach() * log_prob(logits, sample)).sum(0)
        return Estimate(with_gradient_of(loss, score), loss.new_zeros(loss.shape[:-1]), sample)

    def of_bound(self, logits: Tensor, objective: Objective, samples: Samples, noise: Noise) -> Estimate:
        """The estimate of an objective that is a bound by itself."""
        sample = draw(logits, noise)
        split = samples.split(sample)
        loss, signal = leave_one_out(samples.losses(split, objective.decode(sample)).movedim(-1, 0))
        log_q = samples.apart(log_prob(samples.split(logits), split))  # [..., B, S]
        score = (signal.detach().movedim(0, -1) * log_q).sum(-1)
        return Estimate(with_gradient_of(loss, score), loss.new_zeros(loss.shape[:-1]), sample)

    def losses(self, logits: Tensor, sample: Tensor, objective: Objective) -> Tensor:
        """The loss of each sample ``[S, ..., B, N, K]``: ``[S, ..., B]``."""
        return objective(sample)

    def combine(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of all samples ``[..., B]``, and what each of them changed in it: ``[S, ..., B]``."""
        mean = losses.mean(0)
        return mean, (losses - mean) / (len(losses) - 1)
