"""The training loop's interface to strategies that give targets in place of gradients."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Strategy
from discrete_vae.strategies.objective import Objective


class TargetStrategy(Strategy):
    """A strategy that passes no gradient from the layers behind its sample to the logits.

    It may learn its feedback before the model's first step, train every layer by itself, and report how far its signal
    is from the gradient that it stands for.
    """

    local: bool = False
    """Whether every layer of the model has a loss of its own; then no gradient passes from one to the next."""
    uses_model_optimiser: bool = False
    """Whether the strategy's parameters are updated by the model's optimiser."""
    warmup: int = 0
    """Steps that ``prepare`` takes before the model's first; without any it is not called."""

    def prepare(self, logits: Tensor, objective: Objective, noise: Noise, descend: Callable[[Tensor], None]) -> None:
        """Bring the strategy's own parameters into a state to begin with, on the untrained model's first batch.

        Called once, before a run's first step. ``descend`` takes a loss ``[P]`` and updates these parameters by one
        step of Adam. By default nothing.
        """

    def diagnose(self, logits: Tensor, objective: Objective, noise: Noise) -> dict[str, Tensor]:
        """Diagnostics of its own signal on a batch, ``[...]`` each by name; by default nothing."""
        return {}
