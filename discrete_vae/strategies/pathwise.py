"""Strategies that give a sample with a gradient of its own, and what those share whose sample is one-hot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from discrete_vae.errors import InputError, check_types
from discrete_vae.latents.categorical import hard_sample
from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import Estimate, Strategy, register_hyperparameter, source
from discrete_vae.strategies.objective import Layout, Objective


def draw(logits: Tensor, noise: Noise) -> Tensor:
    """A one-hot sample ``[..., N, K]`` without a gradient."""
    return hard_sample(logits, noise.gumbel(logits.shape, torch.promote_types(logits.dtype, torch.float32)))


def straight_through(sample: Tensor, surrogate: Tensor) -> Tensor:
    """The sample, differentiated as if it were the surrogate; its value is exact, and NaN where the surrogate's is."""
    return sample + (surrogate - surrogate.detach())


def differentiable_in(loss: Tensor, sample: Tensor, strategy: Strategy) -> Tensor:
    """The loss; raises ``InputError`` where it has no gradient in the sample, which would silently train nothing."""
    if torch.compiler.is_compiling() or sample.grad_fn is None:
        return loss
    seen, waiting = {sample.grad_fn}, [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is sample.grad_fn:
            return loss
        for below, _ in node.next_functions if node is not None else ():
            if below is sample.grad_fn:
                return loss
            if below is not None and below not in seen:
                seen.add(below)
                waiting.append(below)
    raise InputError(
        f"{type(strategy).__name__} needs a cost that has a gradient in the sample; for a black box take a score "
        "function, such as Rloo"
    )


class Pathwise(Strategy):
    """Its sample has a gradient, so that ``strategy(logits)`` stands for ``torch.nn.functional.gumbel_softmax``."""

    twice = True

    def forward(self, logits: Tensor, dim: int = -1, generator: torch.Generator | None = None) -> Tensor:
        """A sample of the logits' shape and dtype, with the strategy's gradient.

        The categories lie along ``dim``; -inf masks one. Where logits are no distribution (NaN, +inf, or -inf alone),
        so is the sample: NaN. Raises ``InputError`` for logits that are no floating-point tensor and for an unknown
        ``dim``.
        """
        layout = Layout.of(logits, dim, batch=False)
        return layout.first(self.along(layout).sample(layout.last(logits), source(None, generator, logits)))

    def along(self, layout: Layout) -> Self:
        """The strategy for logits whose categories were moved to the end.

        Hyper-parameters with all dimensions of the logits, such as a temperature for each place, are moved, too.
        """
        if layout.dim == -1:
            return self
        return self.changed(lambda value: layout.last(value) if value.dim() == layout.dims else value)

    def in_front(self, count: int) -> Self:
        """The strategy for logits with ``count`` more dimensions in front, as its hyper-parameters of one each then."""
        return self.changed(lambda value: value[(None,) * count] if count and value.dim() else value)

    def sample(self, logits: Tensor, noise: Noise | None = None) -> Tensor:
        """The same for logits ``[..., K]``, of a population's noise."""
        return self.reparameterised(self.prepared(logits), source(noise, None, logits)).to(logits.dtype)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        """To be implemented: the sample ``[..., N, K]`` with its gradient in the logits."""
        raise NotImplementedError

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = self.reparameterised(logits, noise)
        loss = differentiable_in(objective(sample), sample, self)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), sample.detach())


class OneHotPathwise(Pathwise):
    """Forward a one-hot sample, backward a surrogate."""

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        """The tensor that is differentiated in the sample's place: ``[..., N, K]``, as a function of the logits.

        Its value has no effect.
        """
        raise NotImplementedError

    def draw(self, logits: Tensor, noise: Noise) -> Tensor:
        """A one-hot sample ``[..., N, K]`` without a gradient."""
        return draw(logits, noise)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        sample = self.draw(logits, noise)
        return straight_through(sample, self.surrogate(logits, sample, noise))


@dataclass(frozen=True)
class TemperatureOptions:
    """Hyper-parameters of an estimator with a temperature."""

    temperature: Schedule = Schedule(1.0)
    """Temperature of the backward pass; the sample is that of temperature 1 in any case."""

    def __post_init__(self) -> None:
        check_types(self)
        self.temperature.require_positive("temperature")


class Tempered(OneHotPathwise):
    """A one-hot sample with a temperature in the backward pass; raises ``InputError`` where it is not above 0."""

    Options: ClassVar[type] = TemperatureOptions
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 1.0) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)
