"""Formulas of estimators that sum over states: enumeration, marginalisation and local expectation.

The symbols are those of ``oracles_one_sample``.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from tests.strategies.oracles import Expected, Given
from tests.strategies.oracles_one_sample import hard, log_q


def states(given: Given) -> list[Tensor]:
    latents, size = given.logits.shape[1:]
    eye = torch.eye(size, dtype=torch.float64)
    return [eye[list(state)].expand_as(given.logits) for state in itertools.product(range(size), repeat=latents)]


def enumerated(given: Given) -> tuple[Tensor, Tensor]:
    """The drawn state's loss, and ``sum_z q(z) f(z)``."""
    sample = hard(given.logits.detach() + given.gumbel())
    every_state = torch.stack(states(given))
    return given.problem.f(sample), (log_q(given.logits, every_state).exp() * given.problem.f(every_state)).sum(0)


def enumeration(given: Given) -> Expected:
    """``grad sum_z q(z) f(z)``; the decoder learns from the drawn state."""
    loss, mean = enumerated(given)
    return Expected(loss, torch.autograd.grad(mean.sum(), given.logits)[0])


def marginalisation(given: Given) -> Expected:
    """The same; the decoder learns from all states."""
    loss, mean = enumerated(given)
    (gradient,) = torch.autograd.grad(mean.sum(), given.logits, retain_graph=True)
    return Expected(mean + (loss - mean).detach(), gradient)


def local_expectation(given: Given) -> Expected:
    """``sum_k f(z with z_n = k) grad p_nk`` for every n (Titsias and Lazaro-Gredilla 2015)."""
    logits = given.logits
    sample = hard(logits.detach() + given.gumbel())
    surrogate = torch.zeros((), dtype=torch.float64)
    for n, k in itertools.product(range(logits.shape[1]), range(logits.shape[2])):
        moved = sample.clone()
        moved[:, n], moved[:, n, k] = 0.0, 1.0
        surrogate = surrogate + (given.problem.f(moved).detach() * logits[:, n].softmax(-1)[:, k]).sum()
    return Expected(given.problem.f(sample), torch.autograd.grad(surrogate, logits)[0])


def sparsemax_marginalisation(given: Given) -> Expected:
    """``sum_s p_s f(s)``, p the sparsemax of the 16 highest scores ``sum_n l_n[s_n]`` (Correia et al. 2020).

    ``p_s = max(0, score_s - tau)``, tau found by halving an interval; ``dp_s`` on the support is the score's own
    differential less the support's mean.
    """
    every_state, logits = torch.stack(states(given)), given.logits.detach()
    scores = (every_state * logits).sum((-1, -2))  # [K^N, B]
    losses = given.problem.f(every_state)
    gradient, values = torch.zeros_like(logits), []
    for b in range(len(logits)):
        highest = scores[:, b].argsort(descending=True)[:16]
        low, high = float(scores[:, b].max()) - 1, float(scores[:, b].max())
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if (scores[highest, b] - middle).clamp(min=0).sum() > 1 else (low, middle)
        support = [place for place in highest.tolist() if float(scores[place, b]) > low]
        values.append(sum((scores[place, b] - low) * losses[place, b] for place in support))
        mean = sum(losses[place, b].detach() for place in support) / len(support)
        for place in support:
            gradient[b] += (losses[place, b].detach() - mean) * every_state[place, b]
    return Expected(torch.stack(values), gradient)
