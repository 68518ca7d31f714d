"""ReinMax: straight-through with a second-order estimate of the gradient.

L. Liu, C. Dong, X. Liu, B. Yu, J. Gao: Bridging Discrete and Backpropagation: Straight-Through and Beyond.
NeurIPS 2023, arXiv 2304.08612.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from discrete_vae.categorical import hard_sample, jacobian_product, softmax
from discrete_vae.errors import check_types
from discrete_vae.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import (
    Claim,
    Estimate,
    Objective,
    Strategy,
    per_member,
    register_hyperparameter,
)


def second_order_pull(logits: Tensor, sample: Tensor, gradient: Tensor, temperature: Tensor) -> Tensor:
    """``2 J(q) g - J(pi) g / 2`` with ``q = (softmax(a / tau) + z) / 2`` (Liu et al. 2023).

    The mean over samples z of ``J(pi) g`` is right to first order in the objective's change from pi to z, and this, by
    Heun's rule, to second.
    """
    middle = (softmax(logits / temperature) + sample) / 2
    return 2 * jacobian_product(middle, gradient) - jacobian_product(softmax(logits), gradient) / 2


@dataclass(frozen=True)
class ReinMaxOptions:
    """Hyper-parameters of ReinMax."""

    temperature: Schedule = Schedule(1.0)
    """Temperature of the probabilities in the backward pass; the sample is that of temperature 1 in any case."""

    def __post_init__(self) -> None:
        check_types(self)
        self.temperature.require_positive("temperature")


class ReinMax(Strategy):
    """Forward a one-hot sample, backward Heun's rule; exact at temperature 1 for a quadratic objective of one variable.

    Raises ``InputError`` where the temperature is not above 0.
    """

    claim = Claim("Liu et al. 2023", unbiased=False, relaxed=False, evaluations=1)
    Options = ReinMaxOptions
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 1.0) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)

    def sample(self, logits: Tensor, noise: Noise | None = None) -> Tensor:
        """One-hot sample ``[..., N, K]`` whose gradient is the second-order one."""
        noise = noise or Noise(device=logits.device)
        work = torch.promote_types(logits.dtype, torch.float32)
        sample = hard_sample(logits, noise.gumbel(logits.shape, work))
        return _SecondOrder.apply(logits, sample, per_member(self.temperature, logits))  # type: ignore[no-any-return, no-untyped-call]

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = self.sample(logits, noise)
        loss = objective(sample)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), sample.detach())


class _SecondOrder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, sample: Tensor, temperature: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(logits, sample, temperature)
        return sample.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        logits, sample, temperature = ctx.saved_tensors
        return second_order_pull(logits, sample, gradient, temperature), None, None
