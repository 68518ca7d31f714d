"""Enumeration: the exact gradient, where summing over all states can be afforded."""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.categorical import enumerate_states, possible
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw


def states(latents: int, categories: int) -> int:
    """K^N."""
    return int(categories**latents)


def sample_and_states(latents: int, categories: int) -> int:
    """K^N and one more: the sample, which is decoded by itself."""
    return 1 + states(latents, categories)


class Enumeration(Strategy):
    """``sum_z q(z) f(z)`` over all ``K^N`` states; its value is that of one sample, its gradient exact.

    What is behind the latents learns from the sample alone. Raises ``InputError`` for more than 2^20 states.
    """

    claim = Claim("textbook", unbiased=True, relaxed=False, evaluations=sample_and_states)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        with torch.no_grad():
            losses = objective(states_of(logits, objective, sample))
        return Estimate(with_gradient_of(loss, expected(logits, losses)), loss.new_zeros(loss.shape[:-1]), sample)


class Marginalisation(Enumeration):
    """``Enumeration`` with an exact gradient for the layers behind the latents as well.

    All states are decoded in one batch, and the drawn one's loss is read off it.
    """

    claim = Claim("textbook", unbiased=True, relaxed=False, evaluations=states, marginal=True)
    ignores = Strategy.ignores | {"samples", "objective"}
    twice = True

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        losses = objective(states_of(logits, objective, sample))
        places = logits.shape[-1] ** torch.arange(logits.shape[-2] - 1, -1, -1, device=logits.device)
        drawn = (sample.argmax(-1) * places).sum(-1)
        loss = losses.detach().gather(0, drawn.unsqueeze(0)).squeeze(0)
        return Estimate(with_gradient_of(loss, expected(logits, losses)), loss.new_zeros(loss.shape[:-1]), sample)


def states_of(logits: Tensor, objective: Objective, sample: Tensor) -> Tensor:
    """All states, in counting order: ``[K^N, ..., B, N, K]``, or once for all images where the objective broadcasts.

    The sample stands for states that have a masked category, so that none of these is decoded.
    """
    *batch, latents, categories = logits.shape
    states = enumerate_states(latents, categories, logits.dtype, logits.device)
    states = states.reshape(-1, *[1] * len(batch), latents, categories)
    if objective.broadcasts:
        return states
    masked = (states * ~possible(logits)).any(-1, keepdim=True).any(-2, keepdim=True)
    return torch.where(masked, sample, states)


def expected(logits: Tensor, losses: Tensor) -> Tensor:
    """``sum_z q(z) f(z)`` of all states' losses ``[K^N, ..., B]``: ``[..., B]``."""
    *_, latents, categories = logits.shape
    states = enumerate_states(latents, categories, logits.dtype, logits.device).flatten(1)
    lowest = torch.finfo(logits.dtype).min  # stands for -inf, which 0 times it must not make a NaN
    with torch.autocast(logits.device.type, enabled=False):  # which would round what is summed
        log_q = logits.log_softmax(-1).clamp_min(lowest).flatten(-2) @ states.T  # [..., B, K^N]
    return (log_q.exp() * losses.movedim(0, -1)).sum(-1)
