"""What the estimators share that decode a one-hot sample and differentiate it by a formula of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from discrete_vae.categorical import hard_sample
from discrete_vae.errors import check_types
from discrete_vae.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import Estimate, Objective, Strategy, register_hyperparameter

Pull = Callable[[Tensor], Tensor]
"""From the gradient at the sample to that in the logits: ``[..., B, N, K]`` each."""


def with_pull(logits: Tensor, sample: Tensor, pull: Pull) -> Tensor:
    """The sample, whose gradient in the logits is ``pull(gradient at the sample)``."""
    return _Pulled.apply(logits, sample, pull)  # type: ignore[no-any-return, no-untyped-call]


class _Pulled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, sample: Tensor, pull: Pull) -> Tensor:  # type: ignore[override]
        ctx.pull = pull
        return sample.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return ctx.pull(gradient), None, None


def draw(logits: Tensor, noise: Noise) -> Tensor:
    """A one-hot sample ``[..., N, K]`` without a gradient."""
    return hard_sample(logits, noise.gumbel(logits.shape, torch.promote_types(logits.dtype, torch.float32)))


class Pathwise(Strategy):
    """Forward a one-hot sample, backward ``pull``."""

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        """The backward pass at logits and their one-hot sample ``[..., N, K]``, which get no gradient here."""
        raise NotImplementedError

    def draw(self, logits: Tensor, noise: Noise) -> Tensor:
        """A one-hot sample ``[..., N, K]`` without a gradient."""
        return draw(logits, noise)

    def sample(self, logits: Tensor, noise: Noise | None = None) -> Tensor:
        """One-hot sample ``[..., N, K]`` with the estimator's gradient."""
        noise = noise or Noise(device=logits.device)
        sample = self.draw(logits, noise)
        return with_pull(logits, sample, self.pull(logits.detach(), sample, noise))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = self.sample(logits, noise)
        loss = objective(sample)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), sample.detach())


@dataclass(frozen=True)
class TemperatureOptions:
    """Hyper-parameters of an estimator with a temperature."""

    temperature: Schedule = Schedule(1.0)
    """Temperature of the backward pass; the sample is that of temperature 1 in any case."""

    def __post_init__(self) -> None:
        check_types(self)
        self.temperature.require_positive("temperature")


class Tempered(Pathwise):
    """With a temperature in the backward pass; raises ``InputError`` where it is not above 0."""

    Options: ClassVar[type] = TemperatureOptions
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 1.0) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)
