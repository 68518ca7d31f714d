"""MuProp: the score function of what a first-order expansion at the mean leaves over.

S. Gu, S. Levine, I. Sutskever, A. Mnih: MuProp: Unbiased Backpropagation for Stochastic Neural Networks. ICLR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.categorical import jacobian_product, log_prob, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, Objective, only_gradient, with_gradient_of
from discrete_vae.strategies.pathwise import draw
from discrete_vae.strategies.score_function import ScoreFunction


def differentiated(objective: Objective, at: Tensor) -> tuple[Tensor, Tensor]:
    """The objective's value ``[..., B]`` and gradient ``[..., B, N, K]`` at a sample; nothing else gets a gradient."""
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = objective(at)
        (gradient,) = torch.autograd.grad(value.sum(), at)
    return value.detach(), gradient


class MuProp(ScoreFunction):
    """``(f(z) - f(pi) - f'(pi)(z - pi) - b) grad log q(z) + J f'(pi)`` (Gu et al. 2016, eq. 5)."""

    claim = Claim("Gu et al. 2016", unbiased=True, relaxed=False, evaluations=2)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        probabilities = softmax(logits.detach())
        value, gradient = differentiated(objective, probabilities)
        expansion = value + (gradient * (sample - probabilities)).sum((-1, -2))
        signal, auxiliary = self.centre(loss.detach() - expansion, objective)
        pull = jacobian_product(probabilities, gradient)
        loss = with_gradient_of(loss, signal * log_prob(logits, sample))
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), auxiliary, sample)
