"""What the critics report trains: critics alone, generators of points, deep critics, generators of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig

PENALTY, CLIPPING = "gradient penalty", "weight clipping"
POINTS = {"8-gaussians": "8 Gaussians", "25-gaussians": "25 Gaussians", "swiss-roll": "Swiss roll"}
"""Titles of the data sets of the plane."""
MIXTURES = ("8-gaussians", "25-gaussians")


@dataclass(frozen=True)
class Part:
    """A network's size, and how long and how fast it is trained."""

    hidden: tuple[int, ...]
    epochs: int
    rate: float
    """Step size of the critic, and of the generator unless it has its own."""
    batch: int = 256
    style: int = 2
    """Dimensions of the generator's noise."""
    seeds: tuple[int, ...] = (0,)
    generator_rate: float | None = None

    def config(self, task: str, dataset: str, criticism: CriticConfig, strategy: str = "backpropagation") -> Config:
        """The configuration of its first seed."""
        options = STRATEGIES[strategy].Options
        warm = {item.name for item in dataclasses.fields(options)} & {"temperature"}
        return Config.fitting(
            strategy=strategy,
            options=options(**dict.fromkeys(warm, Schedule(1.0))),
            architecture=Architecture(hidden=self.hidden, activation="relu", style=self.style),
            data=DataConfig(dataset),  # type: ignore[arg-type]
            epochs=self.epochs,
            batch_size=self.batch,
            learning_rate=Schedule(self.generator_rate or self.rate),
            seed=self.seeds[0],
            task=task,
            optimiser="adam-0-0.9",
            criticism=dataclasses.replace(criticism, critic_learning_rate=self.rate),
        )

    def each(self, config: Config) -> list[Config]:
        """It with every seed."""
        return [dataclasses.replace(config, seed=seed) for seed in self.seeds]

    @property
    def updates(self) -> int:
        """Of the critic, in the whole run."""
        steps = CriticConfig().critic_steps
        return 50_000 // (self.batch * steps) * steps * self.epochs


@dataclass(frozen=True)
class Preset:
    """How much is trained."""

    critics: Part
    generators: Part
    deep: Part
    images: Part
    strategies: tuple[str, ...] = ("straight-through-gumbel-softmax", "softmax")
    """By which images are made under the penalty; the first also under clipping."""
    clips: tuple[float, ...] = (0.1, 0.01, 0.001)
    """Bounds of the deep critics; the first is that of all others."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        parts = {"critics": self.critics, "generators": self.generators, "deep critics": self.deep}
        parts |= {"generators of images": self.images}
        told = (f"{name} of {len(part.hidden)} x {part.hidden[0]} for {part.epochs}" for name, part in parts.items())
        return f"{len(self.critics.seeds)} seeds; " + ", ".join(told) + " epochs"

    @property
    def constraints(self) -> dict[str, CriticConfig]:
        """The two that are compared, by name."""
        return {PENALTY: CriticConfig(), CLIPPING: clipped(self.clips[0])}

    def alone(self) -> dict[tuple[str, str], list[Config]]:
        """Critics alone, by constraint and data set; of one seed where there are no centres to count."""
        return {
            (name, dataset): self.critics.each(self.critics.config("critic", dataset, criticism))[
                : self._seeds(dataset)
            ]
            for name, criticism in self.constraints.items()
            for dataset in POINTS
        }

    def _seeds(self, dataset: str) -> int:
        return len(self.critics.seeds) if dataset in MIXTURES else 1

    def points(self) -> dict[tuple[str, str], list[Config]]:
        """Generators of points, likewise."""
        return {
            (name, dataset): self.generators.each(self.generators.config("generator", dataset, criticism))
            for name, criticism in self.constraints.items()
            for dataset in MIXTURES
        }

    def layers(self) -> dict[str, list[Config]]:
        """Deep critics, by constraint."""
        rows: Mapping[str, CriticConfig] = {PENALTY: CriticConfig()} | {
            f"clipping at {bound:g}": clipped(bound) for bound in self.clips
        }
        return {
            name: self.deep.each(self.deep.config("critic", "swiss-roll", criticism))
            for name, criticism in rows.items()
        }

    def pictures(self) -> dict[tuple[str, str], list[Config]]:
        """Generators of images, by constraint and strategy."""
        rows = [(PENALTY, strategy) for strategy in self.strategies] + [(CLIPPING, self.strategies[0])]
        return {
            (name, strategy): self.images.each(
                self.images.config("generator", "binarised-mnist", self.constraints[name], strategy)
            )
            for name, strategy in rows
        }


def clipped(bound: float) -> CriticConfig:
    """A critic with weights in +-bound."""
    return CriticConfig(gradient_penalty=0.0, weight_clip=bound)


PRESETS = {
    "quick": Preset(
        critics=Part((64,) * 3, epochs=12, rate=1e-3, batch=128),
        generators=Part((64,) * 3, epochs=10, rate=1e-3, batch=128, generator_rate=2e-4),
        deep=Part((64,) * 12, epochs=3, rate=1e-3),
        images=Part((128, 128), epochs=1, rate=1e-3, batch=64, style=32),
    ),
    "laptop": Preset(
        critics=Part((64,) * 3, epochs=20, rate=1e-3, batch=128, seeds=(0, 1, 2)),
        generators=Part((64,) * 3, epochs=20, rate=1e-3, batch=128, seeds=(0, 1, 2), generator_rate=2e-4),
        deep=Part((64,) * 12, epochs=8, rate=1e-3),
        images=Part((128, 128), epochs=3, rate=1e-3, batch=64, style=32),
    ),
    "full": Preset(
        critics=Part((512,) * 3, epochs=513, rate=1e-4, seeds=(0, 1, 2)),
        generators=Part((512,) * 3, epochs=513, rate=1e-4, seeds=(0, 1, 2)),
        deep=Part((512,) * 12, epochs=513, rate=1e-4),
        images=Part((1024, 1024), epochs=200, rate=1e-4, batch=64, style=128),
    ),
}
