"""Formulas of estimators of one sample: score function, MuProp and DARN's baseline; draw by draw, with loops.

f is the objective, l the logits, ``p = softmax(l)``, z the sample ``argmax(l + G)``, sg stops the gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.strategies.oracles import Expected, Given


def hard(perturbed: Tensor) -> Tensor:
    """One-hot argmax."""
    return (perturbed == perturbed.max(-1, keepdim=True).values).double()


def log_q(logits: Tensor, sample: Tensor) -> Tensor:
    """``log q(z)`` of an image: ``[B]``."""
    return (sample * (logits - logits.exp().sum(-1, keepdim=True).log())).sum((-1, -2))


def moments(decay: float, history: list[Tensor], signal: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance that a signal ``[B]`` is told, and the signal put into the history.

    Those of the steps before, the s-th last with the weight ``(1 - decay) decay^s``; in the first step, those of the
    other images.
    """
    if history:
        weights = [(1 - decay) * decay**age for age in reversed(range(len(history)))]
        mean = sum(w * past.mean() for w, past in zip(weights, history, strict=True)) / sum(weights)
        square = sum(w * (past**2).mean() for w, past in zip(weights, history, strict=True)) / sum(weights)
        means, squares = mean.expand_as(signal), square.expand_as(signal)
    else:
        others = [torch.cat([signal[:b], signal[b + 1 :]]) for b in range(len(signal))]
        means, squares = (
            torch.stack([each.mean() for each in others]),
            torch.stack([(each**2).mean() for each in others]),
        )
    history.append(signal.detach())
    return means, squares - means**2


def score(given: Given, loss: Tensor, sample: Tensor, signal: Tensor, extra: Tensor | float = 0.0) -> Expected:
    """``(signal - net(x) - mean) grad log q + grad extra``, and the network's regression on ``signal - mean``.

    Where the gradient is normalised, that of ``kl_term`` is part of it: all of it is divided by ``max(1, deviation)``.
    """
    options, logits = given.options, given.logits
    predicted = given.network(given.problem.context) if given.learned else torch.zeros_like(signal)
    mean, variance = moments(options.decay, given.history, (signal - predicted).detach())
    strategy_loss = (signal - mean - predicted).square().mean() if given.learned else torch.zeros_like(signal[0])
    centred = (signal - predicted - mean).detach()
    surrogate = centred * log_q(logits, sample) + extra
    if options.normalise:
        scale = 1 / variance.sqrt().clamp_min(1)
        # The task adds the whole of the KL term's gradient, so the estimate has in it what that lacks.
        surrogate = scale * (surrogate + given.problem.kl_term(logits)) - given.problem.kl_term(logits)
    (gradient,) = torch.autograd.grad(surrogate.sum(), logits)
    return Expected(loss, gradient, strategy_loss)


def score_function(given: Given) -> Expected:
    """Williams 1992; with a network Mnih and Gregor 2014."""
    sample = hard(given.logits.detach() + given.gumbel())
    loss = given.problem.f(sample)
    return score(given, loss, sample, loss.detach())


def taylor(given: Given, centre: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
    """Mean field at a centre, expanded to the sample ``f(c) + f'(c) (z - c)``; and ``f'(c)``."""
    at = centre.detach().requires_grad_()
    value = given.problem.mean_field(at)
    (slope,) = torch.autograd.grad(value.sum(), at)
    return (value + (slope * (sample - at)).sum((-1, -2))).detach(), slope


def muprop(given: Given) -> Expected:
    """``(f(z) - f(p) - f'(p) (z - p) - b) grad log q + f'(p) dp/dl`` (Gu et al. 2016, eq. 5)."""
    sample = hard(given.logits.detach() + given.gumbel())
    expansion, slope = taylor(given, given.logits.softmax(-1), sample)
    loss = given.problem.f(sample)
    path = (slope * given.logits.softmax(-1)).sum((-1, -2))
    return score(given, loss, sample, loss.detach() - expansion, path)


def darn_baseline(given: Given) -> Expected:
    """``(f(z) - f(z_0) - f'(z_0) (z - z_0) - b) grad log q`` (Jang et al. 2017, section 4)."""
    sample = hard(given.logits.detach() + given.gumbel())
    uniform = torch.full_like(given.logits, 1 / given.logits.shape[-1])
    centre = {"mean": given.logits.softmax(-1), "uniform": uniform}[given.options.centre]
    loss = given.problem.f(sample)
    return score(given, loss, sample, loss.detach() - taylor(given, centre, sample)[0])
