"""Marginalisation: every state is decoded, so that what is behind the latents learns from all of them as well."""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.categorical import enumerate_states, log_prob
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy, with_gradient_of
from discrete_vae.strategies.pathwise import draw


class Marginalisation(Strategy):
    """``sum_z q(z) f(z)`` over all ``K^N`` states, in one batch; its value is that of one sample, its gradient exact.

    Unlike ``Enumeration``'s also in the decoder's parameters. Raises ``InputError`` for more than 2^20 states.
    """

    claim = Claim("textbook", unbiased=True, relaxed=False, evaluations=2)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        with torch.no_grad():
            loss = objective(sample)
        *batch, latents, categories = logits.shape
        states = enumerate_states(latents, categories, logits.dtype, logits.device)
        states = states.reshape(-1, *[1] * len(batch), latents, categories).expand(-1, *batch, -1, -1)
        expected = (log_prob(logits, states).exp() * objective(states)).sum(0)
        return Estimate(with_gradient_of(loss, expected), loss.new_zeros(loss.shape[:-1]), sample)
