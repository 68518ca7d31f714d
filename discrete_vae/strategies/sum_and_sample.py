"""Sum and sample: the likeliest states summed exactly, and one draw for all others.

R. Liu, J. Regier, N. Tripuraneni, M. I. Jordan, J. McAuliffe: Rao-Blackwellized Stochastic Gradients for Discrete
Distributions. ICML 2019, arXiv 1810.04777.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from discrete_vae.errors import check_range, check_types
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.states import likeliest_states, states_without_replacement
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.weighted_states import (
    WeightedStates,
    centred,
    log_rest,
)


@dataclass(frozen=True)
class SumAndSampleOptions:
    """Hyper-parameters of sum and sample."""

    states: int = 3
    """States of each image's latents that are summed over, the likeliest; one more is drawn from all others."""
    baseline: bool = True
    """Whether the mean loss of the summed states is the baseline; otherwise there is none."""

    def __post_init__(self) -> None:
        check_types(self)
        check_states(self.states)


def check_states(states: int) -> None:
    """Raise ``InputError`` for a number of summed states that is not at least 1."""
    check_range("states", states)


class SumAndSample(WeightedStates):
    """``sum_{s in C} f(s) grad q(s) + (1 - q(C)) f(z) grad log q(z)``, C the likeliest states, z one of the others.

    The loss is ``sum_{s in C} q(s) f(s) + (1 - q(C)) f(z)``. The paper leaves the estimator of the second term open;
    this one is the score function. Its baseline, the mean of f over C by q, does not depend on z and so leaves it
    unbiased. Raises ``InputError`` for less than 1 state, and for latents with no state beside these.
    """

    builds_on = "Kool et al. 2019b"
    claim = Claim("Liu et al. 2019", unbiased=True, relaxed=False, evaluations=4)
    Options = SumAndSampleOptions
    checks: ClassVar = {"summed": check_states}

    def __init__(self, states: int = 3, baseline: bool = True) -> None:
        super().__init__()
        options = SumAndSampleOptions(states, baseline)
        self.summed, self.baseline = options.states, options.baseline

    def reclaim(self) -> None:
        self.claim = replace(self.claim, evaluations=self.summed + 1)

    def states(self, logits: Tensor, noise: Noise) -> Tensor:
        """The likeliest states, and last the one that is drawn.

        In a sample without replacement of one state more than C has, the first state outside C is a sample of the
        others.
        """
        drawn = states_without_replacement(logits, self.summed + 1, noise)
        likeliest = likeliest_states(logits, self.summed)
        summed = (drawn.unsqueeze(1) == likeliest).all(-1).all(-1).any(1)  # [S + 1, ..., B]
        place = (~summed).to(torch.float32).argmax(0)  # the first of several maxima
        place = place[None, ..., None, None].expand(1, *drawn.shape[1:])
        return torch.cat([likeliest, drawn.gather(0, place)])

    def weigh(self, log_q: Tensor) -> tuple[Tensor, Tensor]:
        log_q = log_q[:-1]
        weights = torch.cat([log_q, log_rest(log_q).unsqueeze(0)]).exp()
        share = torch.cat([log_q.softmax(0), torch.zeros_like(log_q[:1])])
        return weights, centred(weights, share if self.baseline else torch.zeros_like(share))
