"""Which strategies the gradients report measures, on which models, and how closely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from discrete_vae.config import Config
from discrete_vae.latents.categorical import Categorical
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture

TEMPERATURES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What is tried of every strategy that has a temperature."""
MODEL = Config("reinmax", architecture=Architecture(4, 8, (200,)), learning_rate=Schedule(1e-3), batch_size=100)
"""Few enough states to sum over them all."""


@dataclass(frozen=True)
class Row:
    """A strategy with its options; of several with the same label, the first is the table's."""

    label: str
    strategy: str
    options: Any

    @property
    def temperature(self) -> float | None:
        """A constant one, if it has one."""
        schedule = getattr(self.options, "temperature", None)
        return schedule.initial if isinstance(schedule, Schedule) and schedule.decay == 1 else None


def rows(temperatures: Sequence[float] = TEMPERATURES) -> list[Row]:
    """Every categorical strategy at its defaults and, if it has a temperature, at these; target propagation in four.

    Enumeration is the exact gradient itself, and a bound of several samples has another gradient; the
    model has more categories than estimators for binary variables take. At its defaults the
    decoupled straight-through estimator is the plain one.
    """
    feedback = {"geometry": "second-order", "warmup": 500}
    variants: dict[str, tuple[str, Mapping[str, Any]]] = {
        name: (name, {})
        for name, strategy in STRATEGIES.items()
        if strategy.latent_family is Categorical
        and not strategy.loss_includes_kl
        and strategy.categories is None
        and name not in ("enumeration", "marginalisation", "target-propagation")
    }
    variants |= {
        "decoupled-straight-through": ("decoupled-straight-through", {"forward_temperature": Schedule(1.5)}),
        "rebar, coupled": ("rebar", {"coupled": True}),
        "target-propagation, thesis": ("target-propagation", {}),
        "target-propagation, L-DRL": ("target-propagation", {"inverse": "l-drl", **feedback}),
        "target-propagation, mirror": ("target-propagation", {"inverse": "mirror", **feedback}),
        "target-propagation, Gauss-Newton": (
            "target-propagation",
            {"inverse": "mirror", **feedback, "geometry": "gauss-newton"},
        ),
    }
    found, sizes = [], (MODEL.architecture.latents, MODEL.architecture.categories)
    for label, (name, options) in variants.items():
        own = Row(label, name, STRATEGIES[name].Options(**options))
        found.append(own)
        if own.temperature is not None and "temperature" not in STRATEGIES[name].idle(own.options, *sizes):
            others = (each for each in temperatures if each != own.temperature)
            found += [Row(label, name, replace(own.options, temperature=Schedule(each))) for each in others]
    return found


@dataclass(frozen=True)
class Preset:
    """How long the model is trained whose gradients are measured, and how closely they are."""

    epochs: tuple[int, ...]
    images: int
    draws: int
    fit: int
    """Steps in which a strategy's own parameters are fitted to each of these models."""
    rows: Sequence[Row] = field(default_factory=rows)
    base: Config = MODEL
    """What trains the model."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        told = ", ".join(map(str, (0, *self.epochs)))
        return f"models after {told} epochs, {self.images} images, {self.draws:,} draws of {len(self.rows)} settings"

    @property
    def models(self) -> list[Config]:
        """The runs whose gradients are measured, beside the model that training begins with."""
        return [replace(self.base, epochs=epochs) for epochs in self.epochs]

    @property
    def precision(self) -> dict[str, int]:
        """How closely is measured."""
        return {"images": self.images, "draws": self.draws, "fit": self.fit}


PRESETS = {
    "quick": Preset((1,), 10, 100, 50, rows((0.5, 1.0))),
    "laptop": Preset((1, 20), 20, 1000, 500),
    "full": Preset((1, 20), 50, 5000, 2000),
}
