"""Gumbel-Softmax and straight-through Gumbel-Softmax.

E. Jang, S. Gu, B. Poole: Categorical Reparameterization with Gumbel-Softmax. ICLR 2017, arXiv 1611.01144.
C. J. Maddison, A. Mnih, Y. W. Teh: The Concrete Distribution. ICLR 2017, arXiv 1611.00712.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from discrete_vae.categorical import one_hot, relaxed_sample
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


@dataclass(frozen=True)
class GumbelSoftmaxOptions:
    """Hyper-parameters of Gumbel-Softmax and its straight-through form."""

    temperature: Schedule = Schedule(0.5)
    """Temperature of the softmax; low is nearer to one-hot and noisier in its gradient."""

    def __post_init__(self) -> None:
        check_types(self)
        self.temperature.require_positive("temperature")


class GumbelSoftmax(Strategy):
    """z = softmax((logits + Gumbel) / temperature) (eq. 2), trained through as if it were the one-hot sample.

    Raises ``InputError`` where the temperature is not above 0.
    """

    claim = Claim("Jang et al. 2017; Maddison et al. 2017", unbiased=False, relaxed=True, evaluations=1)
    Options = GumbelSoftmaxOptions
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 0.5) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)

    def sample(self, logits: Tensor, noise: Noise | None = None) -> Tensor:
        """Relaxed sample ``[..., N, K]``; a drop-in for ``torch.nn.functional.gumbel_softmax``."""
        return self._relaxed(logits, noise).to(logits.dtype)

    def _relaxed(self, logits: Tensor, noise: Noise | None) -> Tensor:
        """The sample in at least float32: half precision would round noise and temperature."""
        noise = noise or Noise(device=logits.device)
        work = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return relaxed_sample(work, noise.gumbel(work.shape, work.dtype), per_member(self.temperature, work))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = self.sample(logits, noise)
        loss = objective(sample)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), sample)


class StraightThroughGumbelSoftmax(GumbelSoftmax):
    """Forward the one-hot argmax of the relaxed sample, backward the relaxed sample (section 2.2)."""

    claim = replace(GumbelSoftmax.claim, relaxed=False)

    def sample(self, logits: Tensor, noise: Noise | None = None) -> Tensor:
        """One-hot sample ``[..., N, K]`` whose gradient is the relaxed sample's."""
        return _StraightThrough.apply(self._relaxed(logits, noise)).to(logits.dtype)  # type: ignore[no-any-return, no-untyped-call]


class _StraightThrough(torch.autograd.Function):
    """Forward one_hot(argmax), backward the identity: exact one-hot values, where y + (D - y) would round."""

    @staticmethod
    def forward(ctx: object, relaxed: Tensor) -> Tensor:  # type: ignore[override]
        return one_hot(relaxed.argmax(-1), relaxed.shape[-1], relaxed.dtype)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient
