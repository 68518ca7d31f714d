"""Enumeration: the exact gradient, where summing over all states can be afforded."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from discrete_vae.categorical import enumerate_states, log_prob
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy, with_gradient_of
from discrete_vae.strategies.pathwise import draw


class Enumeration(Strategy):
    """``sum_z q(z) f(z)`` over all ``K^N`` states; its value is that of one sample, its gradient exact.

    What is behind the latents learns from the sample alone. Raises ``InputError`` for more than 2^20 states.
    """

    claim = Claim("textbook", unbiased=True, relaxed=False, evaluations=2)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        marginal = self.claim.marginal
        with torch.set_grad_enabled(torch.is_grad_enabled() and not marginal):
            loss = objective(sample)
        *batch, latents, categories = logits.shape
        states = enumerate_states(latents, categories, logits.dtype, logits.device)
        states = states.reshape(-1, *[1] * len(batch), latents, categories).expand(-1, *batch, -1, -1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and marginal):
            losses = objective(states)
        expected = (log_prob(logits, states).exp() * losses).sum(0)
        return Estimate(with_gradient_of(loss, expected), loss.new_zeros(loss.shape[:-1]), sample)


class Marginalisation(Enumeration):
    """``Enumeration`` from which what is behind the latents learns as well: its gradient is exact, too.

    All states are decoded in one batch.
    """

    claim = dataclasses.replace(Enumeration.claim, marginal=True)
