"""Decoupled straight-through: a temperature of its own for the sample.

R. Shah, M. Yan, M. C. Mozer, D. Liu: Improving Discrete Optimisation Via Decoupled Straight-Through Estimator. 2024,
arXiv 2410.13331.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from discrete_vae.latents.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import register_hyperparameter
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.pathwise import TemperatureOptions
from discrete_vae.strategies.straight_through import StraightThrough


@dataclass(frozen=True)
class DecoupledOptions(TemperatureOptions):
    """Hyper-parameters of decoupled straight-through."""

    forward_temperature: Schedule = Schedule(1.0)
    """Temperature of the sample's distribution; above 1 it explores more than the model's own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.forward_temperature.require_positive("forward temperature")


class DecoupledStraightThrough(StraightThrough):
    """Forward a sample of ``softmax(l / tau_f)``, backward ``softmax(l / tau_b)`` (Shah et al. 2024)."""

    claim = replace(StraightThrough.claim, paper="Shah et al. 2024")
    Options = DecoupledOptions
    forward_temperature: Tensor

    def __init__(self, temperature: float | Tensor = 1.0, forward_temperature: float | Tensor = 1.0) -> None:
        super().__init__(temperature)
        register_hyperparameter(self, "forward_temperature", forward_temperature)

    def draw(self, logits: Tensor, noise: Noise) -> Tensor:
        return super().draw(logits / per_member(self.forward_temperature, logits), noise)
