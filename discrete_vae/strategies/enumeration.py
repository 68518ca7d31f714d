"""Exact gradients where they can be afforded: all states, or one variable's at a time.

M. K. Titsias, M. Lazaro-Gredilla: Local Expectation Gradients for Black Box Variational Inference. NeurIPS 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.categorical import enumerate_states, jacobian_product, log_prob, one_hot, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy, only_gradient, with_gradient_of
from discrete_vae.strategies.pathwise import draw


class Enumeration(Strategy):
    """``sum_z q(z) f(z)`` over all ``K^N`` states; its value is that of one sample, its gradient exact.

    Raises ``InputError`` where there are more than 2^20 states.
    """

    claim = Claim("textbook", unbiased=True, relaxed=False, evaluations=2)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        *batch, latents, categories = logits.shape
        states = enumerate_states(latents, categories, logits.dtype, logits.device)
        states = states.reshape(-1, *[1] * len(batch), latents, categories).expand(-1, *batch, -1, -1)
        with torch.no_grad():
            losses = objective(states)
        expected = (log_prob(logits, states).exp() * losses).sum(0)
        return Estimate(with_gradient_of(loss, expected), loss.new_zeros(loss.shape[:-1]), sample)


class LocalExpectation(Strategy):
    """Each variable summed out with the others as sampled (Titsias and Lazaro-Gredilla 2015): N K evaluations.

    ``J_n f_n`` with ``f_nk = f(z with z_n = k)``. It is the oracle where all states are too many.
    """

    claim = Claim("Titsias and Lazaro-Gredilla 2015", unbiased=True, relaxed=False, evaluations=2)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        latents, categories = logits.shape[-2:]
        with torch.no_grad():
            swept = one_hot(torch.arange(categories, device=logits.device), categories, logits.dtype)
            changed = sample.expand(latents, categories, *sample.shape).clone()  # [N, K, ..., B, N, K]
            for n in range(latents):
                changed[n, ..., n, :] = swept.view(categories, *[1] * (sample.dim() - 2), categories)
            losses = torch.unflatten(objective(changed.flatten(0, 1)), 0, (latents, categories))
            pull = jacobian_product(softmax(logits), losses.movedim((0, 1), (-2, -1)))
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)
