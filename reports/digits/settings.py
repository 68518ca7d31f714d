"""What the report on digits against a critic trains: generators of binarised MNIST, and of 1,000 of its digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig
from reports.critics.settings import CLIPPING, LABELS, PENALTY, clipped
from reports.kit.declared import counted

CRITICS = {PENALTY: CriticConfig(), CLIPPING: clipped(0.01)}
"""By the name of the constraint; the bound is that of Arjovsky et al. (2017)."""
DIGITS, FEW = "digits", "1,000 digits"
DATA = {DIGITS: "binarised-mnist", FEW: "binarised-mnist-1000"}


@dataclass(frozen=True)
class Part:
    """Networks, and how long and how fast they are trained."""

    architecture: Architecture
    epochs: int
    rate: float
    """Step size of critic and generator."""
    batch: int
    seeds: tuple[int, ...] = (0,)

    def configs(self, data: str, critic: CriticConfig, strategy: str) -> list[Config]:
        """Its runs, one a seed."""
        options = STRATEGIES[strategy].Options
        warm = {item.name for item in dataclasses.fields(options)} & {"temperature"}
        config = Config(
            strategy,
            options(**dict.fromkeys(warm, Schedule(1.0))),
            architecture=self.architecture,
            data=DataConfig(data),  # type: ignore[arg-type]
            epochs=self.epochs,
            batch_size=self.batch,
            learning_rate=Schedule(self.rate),
            task="generator",
            optimiser="adam-0-0.9",
            criticism=dataclasses.replace(critic, critic_learning_rate=self.rate),
        )
        return [dataclasses.replace(config, seed=seed) for seed in self.seeds]

    @property
    def shown(self) -> range:
        """The epochs that curves are drawn of: at most a hundred."""
        every = -(-self.epochs // 100)
        return range(every, self.epochs + 1, every)

    def __str__(self) -> str:
        shape = self.architecture
        sizes = f"convolutions of {' and '.join(map(str, shape.channels))} channels" if shape.backbone == "conv" else ""
        dense = f"dense layers of {' and '.join(map(str, shape.hidden))} units" if shape.hidden else ""
        return f"{' and '.join(filter(None, (sizes, dense)))}, batches of {self.batch}, step size {self.rate:g}"


@dataclass(frozen=True)
class Preset:
    """How much is trained."""

    digits: Part
    few: Part
    strategies: tuple[str, ...] = ("straight-through-gumbel-softmax", "softmax")
    """Strategies that make digits under the penalty; the first also with clipped weights, and of 1,000 digits."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        digits, few = counted(self.digits.epochs, "epoch"), counted(self.few.epochs, "epoch")
        return f"{digits} of {self.digits}; {few} of 1,000 digits"

    def rows(self) -> Mapping[tuple[str, ...], list[Config]]:
        """Runs by the parts of a row's name: the data, what passes the gradient, and the constraint."""
        first = self.strategies[0]
        found: dict[tuple[str, ...], list[Config]] = {
            (DIGITS, LABELS[strategy], PENALTY): self.digits.configs(DATA[DIGITS], CRITICS[PENALTY], strategy)
            for strategy in self.strategies
        }
        found[DIGITS, LABELS[first], CLIPPING] = self.digits.configs(DATA[DIGITS], CRITICS[CLIPPING], first)
        for name, critic in CRITICS.items():
            found[FEW, LABELS[first], name] = self.few.configs(DATA[FEW], critic, first)
        return found

    def part(self, row: tuple[str, ...]) -> Part:
        """The part that a row is of."""
        return {DIGITS: self.digits, FEW: self.few}[row[0]]


SMALL = Architecture(hidden=(32,), activation="relu", style=16)
CONVOLUTIONS = Architecture(hidden=(), activation="relu", style=128, backbone="conv")
PRESETS = {
    "quick": Preset(Part(SMALL, 1, 1e-3, 500), Part(SMALL, 10, 1e-3, 50)),
    "laptop": Preset(Part(CONVOLUTIONS, 10, 1e-3, 64), Part(CONVOLUTIONS, 400, 1e-3, 50)),
    "paper": Preset(Part(CONVOLUTIONS, 64, 5e-4, 64, seeds=(0, 1)), Part(CONVOLUTIONS, 2_500, 5e-4, 50)),
}
