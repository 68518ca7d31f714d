"""MuProp: the score function of the remainder of a first-order expansion at the mean.

S. Gu, S. Levine, I. Sutskever, A. Mnih: MuProp: Unbiased Backpropagation for Stochastic Neural Networks. ICLR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import jacobian_product, log_prob, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw
from discrete_vae.strategies.score_function import ScoreFunction


def differentiated(objective: Objective, at: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Value ``[..., B]`` and gradient ``[..., B, N, K]`` of the mean field at a point; nothing else gets a gradient.

    Raises ``InputError``, in which the strategy has this name, where the objective has no gradient there.
    """
    with torch.enable_grad():
        at = at.detach().requires_grad_()
        value = objective.deterministic(at)
        gradient = slope(value, at, name)
    return value.detach(), gradient


def slope(value: Tensor, at: Tensor, name: str, retain: bool = False) -> Tensor:
    """The gradient of values ``[..., B]`` in the sample that they are of; raises ``InputError`` without one."""
    found: Tensor | None = None
    if value.requires_grad:
        (found,) = torch.autograd.grad(value.sum(), at, retain_graph=retain, allow_unused=True)
    if found is None:
        raise InputError(f"{name} needs an objective that has a gradient in the sample; take rloo")
    return found


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
        value, gradient = differentiated(objective, centre, type(self).__name__)
        expansion = value + (gradient * (sample - centre)).sum((-1, -2))
        signal, scale, strategy_loss = self.centre(loss.detach() - expansion, objective)
        surrogate = signal * log_prob(logits, sample) + self.correction(logits, probabilities, gradient)
        return Estimate(self.followed(loss, surrogate, scale, logits, objective), strategy_loss, sample)

    def centre_of(self, probabilities: Tensor) -> Tensor:
        """Where the objective is expanded: ``[..., B, N, K]``."""
        return probabilities

    def correction(self, logits: Tensor, probabilities: Tensor, gradient: Tensor) -> Tensor:
        """Zeros ``[..., B]`` with the gradient of the expansion's mean, which the signal lacks."""
        return only_gradient(logits, jacobian_product(probabilities, gradient), logits.dim() - 2)
