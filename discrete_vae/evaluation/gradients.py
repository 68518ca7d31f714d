"""A strategy's gradient against the exact one: the measurement behind every claim.

The objective is a black box that maps samples ``[..., B, N, K]`` to losses ``[..., B]`` in nats. Problems have to be
small enough to enumerate all K^N states.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.latents.categorical import enumerate_states, log_prob
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies import Objective, Strategy


def exact_value(logits: Tensor, objective: Objective) -> Tensor:
    """E_q[objective(z)] by summing over all states: logits ``[..., B, N, K]`` -> ``[..., B]``, differentiable."""
    *batch, latents, categories = logits.shape
    states = enumerate_states(latents, categories, logits.dtype).to(logits.device)
    states = states.reshape(-1, *[1] * len(batch), latents, categories).expand(-1, *batch, -1, -1)
    log_probabilities = log_prob(logits, states)  # [K^N, ..., B]
    losses = objective(states)  # [K^N, ..., B]
    return (log_probabilities.exp() * losses).sum(0)


def exact_gradient(logits: Tensor, objective: Objective) -> Tensor:
    """Gradient of ``exact_value``, summed over B, in the logits: ``[..., B, N, K]``."""
    logits = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(exact_value(logits, objective).sum(), logits)
    return gradient


def sampled_gradients(strategy: Strategy, logits: Tensor, objective: Objective, draws: int, noise: Noise) -> Tensor:
    """Independent single-sample gradients of a strategy: ``[draws, ..., B, N, K]``."""
    repeated = logits.detach().expand(draws, *logits.shape).clone().requires_grad_()
    estimate = strategy.estimate(repeated, objective, noise)
    (gradient,) = torch.autograd.grad(estimate.loss.sum(), repeated)
    return gradient


@dataclass(frozen=True)
class GradientError:
    """The error of a strategy's gradients; norms are over all elements of the logits."""

    bias: float
    """Norm of the mean error, relative to the norm of the exact gradient; includes the Monte-Carlo error."""
    variance: float
    """Trace of the covariance of one single-sample gradient, relative to the exact gradient's squared norm."""
    cosine: float
    """Cosine between the mean gradient and the exact one."""
    z_score: float
    """Largest absolute mean error of an element, in standard errors: about 3 to 4 if the strategy is unbiased."""


def gradient_error(sampled: Tensor, exact: Tensor) -> GradientError:
    """Compare gradients ``[draws, ...]`` with the exact one ``[...]``."""
    mean, variance = sampled.mean(0), sampled.var(0)
    # An element that never varies has to be right to rounding.
    standard_error = (variance / len(sampled)).sqrt().clamp_min(1e-6 * exact.abs().max())
    return GradientError(
        bias=((mean - exact).norm() / exact.norm()).item(),
        variance=(variance.sum() / exact.square().sum()).item(),
        cosine=F.cosine_similarity(mean.flatten(), exact.flatten(), dim=0).item(),
        z_score=((mean - exact).abs() / standard_error).max().item(),
    )
