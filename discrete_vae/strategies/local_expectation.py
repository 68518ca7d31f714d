"""Local expectation: exact in one variable at a time.

M. K. Titsias, M. Lazaro-Gredilla: Local Expectation Gradients for Black Box Variational Inference. NeurIPS 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.categorical import jacobian_product, one_hot, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy, only_gradient
from discrete_vae.strategies.pathwise import draw


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
