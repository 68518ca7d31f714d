"""MuProp: the score function of what a first-order expansion at the mean leaves over.

S. Gu, S. Levine, I. Sutskever, A. Mnih: MuProp: Unbiased Backpropagation for Stochastic Neural Networks. ICLR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.categorical import jacobian_product, log_prob, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Claim, Estimate, only_gradient
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw
from discrete_vae.strategies.score_function import ScoreFunction


def differentiated(objective: Objective, at: Tensor) -> tuple[Tensor, Tensor]:
    """Value ``[..., B]`` and gradient ``[..., B, N, K]`` of the mean field at a point; nothing else gets a gradient."""
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = objective.deterministic(at)
        (gradient,) = torch.autograd.grad(value.sum(), at)
    return value.detach(), gradient


class MuProp(ScoreFunction):
    """``(f(z) - f(pi) - f'(pi)(z - pi) - b) grad log q(z) + J f'(pi)`` (Gu et al. 2016, eq. 5).

    ``f(pi)`` and its derivative come from a mean-field pass: layers behind pass on their probabilities.
    """

    claim = Claim("Gu et al. 2016", unbiased=True, relaxed=False, evaluations=2)
    differentiates = True

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        probabilities = softmax(logits.detach())
        centre = self.centre_of(probabilities)
        value, gradient = differentiated(objective, centre)
        expansion = value + (gradient * (sample - centre)).sum((-1, -2))
        signal, scale, auxiliary = self.centre(loss.detach() - expansion, objective)
        surrogate = signal * log_prob(logits, sample) + self.correction(logits, probabilities, gradient)
        return Estimate(self.followed(loss, surrogate, scale, logits, objective), auxiliary, sample)

    def centre_of(self, probabilities: Tensor) -> Tensor:
        """Where the objective is expanded: ``[..., B, N, K]``."""
        return probabilities

    def correction(self, logits: Tensor, probabilities: Tensor, gradient: Tensor) -> Tensor:
        """Zeros ``[..., B]`` with the gradient of the expansion's mean, which the signal lacks."""
        return only_gradient(logits, jacobian_product(probabilities, gradient), logits.dim() - 2)
