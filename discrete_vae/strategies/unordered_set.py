"""The unordered-set estimator: several different states, each weighted by the probability that it was drawn first.

W. Kool, H. van Hoof, M. Welling: Estimating Gradients for Discrete Random Variables by Sampling without Replacement.
ICLR 2020, arXiv 2002.06043.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from discrete_vae.errors import InputError, check_types, check_whole
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.states import states_without_replacement
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.weighted_states import (
    WeightedStates,
    centred,
    log_rest,
)

MOST = 8
"""Draws at most: the weights are sums over all subsets of the drawn states."""


def check_draws(draws: int) -> None:
    """Raise ``InputError`` for a number of draws outside 2 to 8."""
    check_whole("draws", draws)
    if not 2 <= draws <= MOST:
        raise InputError(f"draws is {draws}; give 2 to {MOST}, for the weights sum over all subsets of them")


@dataclass(frozen=True)
class UnorderedSetOptions:
    """Hyper-parameters of the unordered-set estimator."""

    draws: int = 4
    """Different states of each image's latents, 2 to 8."""
    baseline: bool = True
    """Whether each state has the others as its baseline; otherwise it has none."""

    def __post_init__(self) -> None:
        check_types(self)
        check_draws(self.draws)


class UnorderedSet(WeightedStates):
    """``sum_s p(s) R(S, s) (f(s) - b_s) grad log p(s)`` over a set S drawn without replacement.

    R is the paper's leave-one-out ratio. ``p(s) R(S, s)`` is the probability that s was drawn first, given the set, so
    these weights sum to 1. The baseline is ``b_s = sum_s' p(s') R(S \\ s, s') f(s')``, an unbiased estimate of ``E[f]``
    where s was the first. Raises ``InputError`` for draws outside 2 to 8, and for latents with fewer states than draws.
    """

    builds_on = "Kool et al. 2019b"
    claim = Claim("Kool et al. 2020", unbiased=True, relaxed=False, evaluations=4)
    Options = UnorderedSetOptions
    checks: ClassVar = {"draws": check_draws}

    def __init__(self, draws: int = 4, baseline: bool = True) -> None:
        super().__init__()
        self.draws, self.baseline = draws, baseline

    def reclaim(self) -> None:
        self.claim = replace(self.claim, evaluations=self.draws)

    def states(self, logits: Tensor, noise: Noise) -> Tensor:
        return states_without_replacement(logits, self.draws, noise)

    def weigh(self, log_q: Tensor) -> tuple[Tensor, Tensor]:
        first, second, others = drawn_first(log_q)
        if not self.baseline:
            return first, centred(first, torch.zeros_like(second))
        # f(s) - b_s, where b_s has p(s) f(s) in it, and the other states' share of 1 - p(s).
        return first, centred(first * others, second)


def drawn_first(log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The order of drawing, given a set of states with ``log q`` ``[S, ...]`` drawn without replacement.

    The probabilities that s was the first ``[S, ...]``, and that s' was the second where s was the first
    ``[S, S, ...]``; and ``1 - p(s)``, the probability of the other states, ``[S, ...]``.

    A(C) is the probability of drawing the rest of the set where C is gone (``p^{D - C}(S - C)`` in the paper), a sum
    over the next state: ``A(C) = sum_{s not in C} p(s) / (1 - p(C)) A(C + s)``. ``1 - p(C)`` is the sum of what is
    left, which does not cancel where p(C) is near 1.
    """
    size, rest = len(log_q), log_rest(log_q)
    whole = 2**size - 1
    mass: dict[int, Tensor] = {}
    ways = {whole: torch.zeros_like(rest)}  # log A(C), by the bits of C
    for gone in reversed(range(whole)):
        left = [s for s in range(size) if not gone >> s & 1]
        mass[gone] = torch.stack([*(log_q[s] for s in left), rest]).logsumexp(0)
        ways[gone] = torch.stack([log_q[s] + ways[gone | 1 << s] for s in left]).logsumexp(0) - mass[gone]
    first = torch.stack([log_q[s] + ways[1 << s] for s in range(size)]).softmax(0)
    never = torch.full_like(rest, -torch.inf)
    second = [
        torch.stack([never if t == s else log_q[t] + ways[1 << s | 1 << t] for t in range(size)]).softmax(0)
        for s in range(size)
    ]
    return first, torch.stack(second), torch.stack([mass[1 << s] for s in range(size)]).exp()
