"""Straight-through: the sample is differentiated as if it were its probabilities.

Y. Bengio, N. Leonard, A. Courville: Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
Computation. 2013, arXiv 1308.3432. For categories as in Jang et al. 2017, with the softmax' slope.
R. Shah, M. Yan, M. C. Mozer, D. Liu: Improving Discrete Optimisation Via Decoupled Straight-Through Estimator. 2024,
arXiv 2410.13331 (a temperature of its own for the sample).
J. Chung, S. Ahn, Y. Bengio: Hierarchical Multiscale Recurrent Neural Networks. ICLR 2017, arXiv 1609.01704 (annealing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from discrete_vae.categorical import jacobian_product, softmax
from discrete_vae.noise import Noise
from discrete_vae.schedules import Schedule
from discrete_vae.strategies.base import Claim, per_member, register_hyperparameter
from discrete_vae.strategies.pathwise import Pull, TemperatureOptions, Tempered


class StraightThrough(Tempered):
    """Forward a one-hot sample, backward ``softmax(l / tau)``: ``J(p_tau) g / tau``."""

    claim = Claim("Bengio et al. 2013", unbiased=False, relaxed=False, evaluations=1)

    def pull(self, logits: Tensor, sample: Tensor, noise: Noise) -> Pull:
        temperature = per_member(self.temperature, logits)
        probabilities = softmax(logits / temperature)
        return lambda gradient: jacobian_product(probabilities, gradient) / temperature


@dataclass(frozen=True)
class SlopeAnnealedOptions(TemperatureOptions):
    """Hyper-parameters of slope annealing."""

    temperature: Schedule = Schedule(1.0, decay=0.961538, minimum=0.2)
    """One over the slope, which is multiplied by 1.04 an epoch up to 5; that of Chung et al. grows linearly."""


class SlopeAnnealedStraightThrough(StraightThrough):
    """Straight-through whose backward slope grows, towards the sample's own step."""

    claim = replace(StraightThrough.claim, paper="Chung et al. 2017")
    Options = SlopeAnnealedOptions


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
