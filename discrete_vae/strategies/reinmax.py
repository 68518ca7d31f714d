"""ReinMax: straight-through with a second-order estimate of the gradient.

L. Liu, C. Dong, X. Liu, B. Yu, J. Gao: Bridging Discrete and Backpropagation: Straight-Through and Beyond.
NeurIPS 2023, arXiv 2304.08612.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.latents.categorical import jacobian_product, softmax, softmax_through
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import Tempered


def second_order_pull(logits: Tensor, sample: Tensor, gradient: Tensor, temperature: Tensor) -> Tensor:
    """``2 J(q) g - J(pi) g / 2`` with ``q = (softmax(a / tau) + z) / 2`` (Liu et al. 2023).

    The mean over samples z of ``J(pi) g`` is right to first order in the objective's change from pi to z, and this, by
    Heun's rule, to second.
    """
    middle = (softmax(logits / temperature) + sample) / 2
    return 2 * jacobian_product(middle, gradient) - jacobian_product(softmax(logits), gradient) / 2


class ReinMax(Tempered):
    """Forward a one-hot sample, backward Heun's rule; exact, at temperature 1, for a quadratic of one variable."""

    claim = Claim("Liu et al. 2023", unbiased=False, relaxed=False, evaluations=1)

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        temperature = per_member(self.temperature, logits)
        middle = (softmax(logits.detach() / temperature) + sample) / 2
        return 2 * softmax_through(logits, middle) - softmax(logits) / 2
