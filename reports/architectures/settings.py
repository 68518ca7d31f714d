"""What the report on random architectures draws, and the study that draws it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from optuna.distributions import CategoricalDistribution as Choice
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig
from discrete_vae.tuning import Search, Space, Study, configure
from discrete_vae.tuning.drawing import drawn
from reports.critics.settings import CLIPPING, PENALTY, clipped
from reports.kit.declared import counted

CRITICS = {
    PENALTY: CriticConfig(critic_learning_rate=1e-3),
    CLIPPING: dataclasses.replace(clipped(0.01), critic_learning_rate=1e-3),
}
"""By the name of the constraint; the bound is that of Arjovsky et al. (2017)."""
STRATEGY = "straight-through-gumbel-softmax"
WIDTHS, DEPTHS = (64, 128, 256), (1, 2, 4, 8)
SPACE: Space = {
    "architecture.backbone": Choice(["mlp", "conv"]),
    "architecture.hidden": Choice([json.dumps([width] * depth) for depth in DEPTHS for width in WIDTHS]),
    "architecture.channels": Choice(["[16]", "[16, 32]", "[32, 64]", "[16, 32, 64]"]),
    "architecture.activation": Choice(["relu", "tanh", "elu", "softplus"]),
    "architecture.normalisation": Choice(["none", "layer"]),
}
"""Generator and critic have the same values; tuples are JSON text, as a storage keeps them. Channels matter to
convolutions alone."""


def base(critic: CriticConfig) -> Config:
    """What all draws share, but for the constraint."""
    return Config(
        STRATEGY,
        STRATEGIES[STRATEGY].Options(temperature=Schedule(1.0)),
        architecture=Architecture(style=64),
        batch_size=64,
        learning_rate=Schedule(1e-3),
        task="generator",
        optimiser="adam-0-0.9",
        criticism=critic,
    )


@dataclass(frozen=True)
class Preset:
    """How many architectures are drawn, and how long each is trained."""

    trials: int
    epochs: int
    space: Space = dataclasses.field(default_factory=lambda: SPACE, hash=False)
    bases: Mapping[str, Config] = dataclasses.field(
        default_factory=lambda: {name: base(critic) for name, critic in CRITICS.items()}, hash=False
    )
    """By the name of the constraint."""

    @property
    def evaluated(self) -> Mapping[str, int]:
        """As many images are judged as the test split has."""
        return {"test": 1}

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{self.trials} architectures, each under both constraints for {counted(self.epochs, 'epoch')}, 1 seed"

    def plan(self) -> dict[tuple[str, int], Config]:
        """The runs, by the name of the constraint and the number of the trial that drew the architecture first."""
        own, found = study(self), dict[tuple[str, int], Config]()
        for name, search in own.names().items():
            configs = [
                dataclasses.replace(configure(search.base, values), epochs=own.epochs, seed=own.seeds[0])
                for values in drawn(own, name)
            ]
            for config in dict.fromkeys(configs):
                found[name.partition("/")[2].replace("-", " "), configs.index(config)] = config
        return found


def study(preset: Preset) -> Study:
    """The study that draws a preset's architectures: a search for each constraint, with the same draws."""
    return Study(
        name="architectures",
        summary="random generators and critics of binarised MNIST, with a penalty and with clipped weights",
        searches={name.replace(" ", "-"): Search(base, preset.space) for name, base in preset.bases.items()},
        trials=preset.trials,
        epochs=preset.epochs,
        seeds=(0,),
        sampler=lambda seed: RandomSampler(seed=seed),
        pruner=NopPruner,
        metric="inception_score",
        paired=True,
    )


QUICK: Space = {
    "architecture.hidden": Choice(["[32]", "[64]", "[32, 32]"]),
    "architecture.activation": Choice(["relu", "tanh"]),
    "architecture.normalisation": Choice(["none", "layer"]),
}
PRESETS = {
    "quick": Preset(trials=3, epochs=1, space=QUICK),
    "laptop": Preset(trials=20, epochs=3),
    "paper": Preset(trials=60, epochs=10),
}
