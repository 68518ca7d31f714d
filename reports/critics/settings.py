"""What the critics report trains: critics alone, generators of points, generators of images, deep critics."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig
from reports.kit.declared import counted

PENALTY, CLIPPING = "gradient penalty", "weight clipping"
MIXTURES = {"8-gaussians": "8 Gaussians", "25-gaussians": "25 Gaussians"}
POINTS = MIXTURES | {"swiss-roll": "Swiss roll"}
"""Titles of the data sets of the plane."""
LABELS = {"straight-through-gumbel-softmax": "ST-Gumbel-Softmax", "softmax": "softmax"}


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

    def configs(self, task: str, data: str, critic: CriticConfig, strategy: str = "backpropagation") -> list[Config]:
        """Its runs, one a seed."""
        options = STRATEGIES[strategy].Options
        warm = {item.name for item in dataclasses.fields(options)} & {"temperature"}
        config = Config.fitting(
            strategy=strategy,
            options=options(**dict.fromkeys(warm, Schedule(1.0))),
            architecture=Architecture(hidden=self.hidden, activation="relu", style=self.style),
            data=DataConfig(data),  # type: ignore[arg-type]
            epochs=self.epochs,
            batch_size=self.batch,
            learning_rate=Schedule(self.generator_rate or self.rate),
            task=task,
            optimiser="adam-0-0.9",
            criticism=dataclasses.replace(critic, critic_learning_rate=self.rate),
        )
        return [dataclasses.replace(config, seed=seed) for seed in self.seeds]

    @property
    def updates(self) -> int:
        """Updates of the critic in the whole run."""
        steps = CriticConfig().critic_steps
        return 50_000 // (self.batch * steps) * steps * self.epochs

    def __str__(self) -> str:
        layers = f"{len(self.hidden)} hidden layers of {self.hidden[0]}, batches of {self.batch}"
        own = f" (generator {self.generator_rate:g})" if self.generator_rate else ""
        return f"{layers}, step size {self.rate:g}{own}, {self.updates:,} updates of the critic"


@dataclass(frozen=True)
class Preset:
    """How much is trained."""

    critics: Part
    generators: Part
    deep: Part
    images: Part
    strategies: tuple[str, ...] = ("straight-through-gumbel-softmax", "softmax")
    """Strategies that make images under the penalty; the first also under clipping."""
    clips: tuple[float, ...] = (0.1, 0.01, 0.001)
    """Bounds of the deep critics; the first is that of all others."""
    penalty: float = CriticConfig.gradient_penalty
    """Weight of the penalty of critics alone and of generators of points."""
    generated: tuple[str, ...] = tuple(MIXTURES)
    """Data sets of the plane that generators make, in the order of ``POINTS``."""
    digits: str = "binarised-mnist"
    """Data set of the images."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        seeds, epochs = counted(len(self.critics.seeds), "seed"), counted(self.images.epochs, "epoch")
        return f"{seeds}; critics of {self.critics}; images for {epochs}"

    @property
    def constraints(self) -> dict[str, CriticConfig]:
        """The two that are compared on points, by name."""
        return {PENALTY: CriticConfig(gradient_penalty=self.penalty), CLIPPING: clipped(self.clips[0])}

    def rows(self) -> dict[tuple[str, ...], list[Config]]:
        """Runs by the parts of a row's name: what is trained, on which data or by what, and under which constraint."""
        found: dict[tuple[str, ...], list[Config]] = {}
        for name, critic in self.constraints.items():
            for data, title in POINTS.items():
                configs = self.critics.configs("critic", data, critic)
                found["critic alone", title, name] = configs if data in MIXTURES else configs[:1]
        for name, critic in self.constraints.items():
            for data in self.generated:
                configs = self.generators.configs("generator", data, critic)
                found["generator", POINTS[data], name] = configs if data in MIXTURES else configs[:1]
        of_images = self.constraints | {PENALTY: CriticConfig()}
        for name, strategy in (*((PENALTY, each) for each in self.strategies), (CLIPPING, self.strategies[0])):
            configs = self.images.configs("generator", self.digits, of_images[name], strategy)
            found["images", LABELS[strategy], name] = configs
        deep = {PENALTY: CriticConfig()} | {f"clipping at {bound:g}": clipped(bound) for bound in self.clips}
        for name, critic in deep.items():
            found["deep critic", name] = self.deep.configs("critic", "swiss-roll", critic)
        return found


def clipped(bound: float) -> CriticConfig:
    """A critic with weights in +-bound."""
    return CriticConfig(gradient_penalty=0.0, weight_clip=bound)


SMALL = Part((64,) * 3, epochs=20, rate=1e-3, batch=128, seeds=(0, 1, 2))
WIDE = Part((512,) * 3, epochs=513, rate=1e-4, seeds=(0, 1, 2))
DEEP = Part((64,) * 12, epochs=8, rate=1e-3)
IMAGES = Part((128, 128), epochs=3, rate=1e-3, batch=64, style=32)
PRESETS = {
    "quick": Preset(
        critics=dataclasses.replace(SMALL, epochs=12, seeds=(0,)),
        generators=dataclasses.replace(SMALL, epochs=10, seeds=(0,), generator_rate=2e-4),
        deep=Part((64,) * 12, epochs=3, rate=1e-3),
        images=Part((128, 128), epochs=1, rate=1e-3, batch=64, style=32),
    ),
    "laptop": Preset(
        critics=SMALL,
        generators=dataclasses.replace(SMALL, generator_rate=2e-4),
        deep=DEEP,
        images=IMAGES,
    ),
    "paper": Preset(
        critics=dataclasses.replace(WIDE, seeds=(0,)),
        generators=WIDE,
        deep=DEEP,
        images=IMAGES,
        clips=(0.01, 0.1, 0.001),
        penalty=0.1,
        generated=tuple(POINTS),
    ),
    "full": Preset(
        critics=WIDE,
        generators=WIDE,
        deep=Part((512,) * 12, epochs=513, rate=1e-4),
        images=Part((1024, 1024), epochs=200, rate=1e-4, batch=64, style=128),
    ),
}
