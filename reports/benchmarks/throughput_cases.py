"""What the throughput report measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from discrete_vae.config import Config
from discrete_vae.strategies import STRATEGIES, Enumeration
from reports.benchmarks.measure import Case

Growth = Mapping[str, tuple[str, Sequence[int]]]
"""A field of the configuration or its architecture by the name of what grows, and its sizes."""
GROWTH: Growth = {
    "latents N": ("latents", (10, 30, 100, 300)),
    "categories K": ("categories", (2, 5, 10, 50, 200)),
    "hidden width": ("hidden", (125, 250, 500, 1000, 2000)),
    "batch": ("batch_size", (25, 100, 400, 1600)),
}
HALF: Growth = {name: (field, sizes[::2]) for name, (field, sizes) in GROWTH.items()}
DEVICE = "device"
BESIDE = ", beside Gumbel-Softmax"
LEARNED = "target-propagation, learned inverse"


@dataclass(frozen=True)
class Preset:
    """How long is measured and how far."""

    summary: str
    seconds: float
    """Of each measurement."""
    members: int
    """The largest population."""
    growth: Growth
    """The sizes that grow."""
    epochs: int
    """Of the runs that show what lower precision costs."""
    seeds: tuple[int, ...]
    whole: bool
    """Whether every strategy is measured on one thread too, and compiled."""
    base: Config = Config()  # noqa: RUF009
    """What is measured, and changed from."""
    strategies: tuple[str, ...] = tuple(
        name for name, kind in STRATEGIES.items() if not issubclass(kind, Enumeration) and kind.categories is None
    )
    """All but those that sum over states, of which the base has too many, and those for fewer categories than its."""
    evaluated: tuple[int, ...] = (1, 4)
    """Sizes of the populations that are evaluated."""


PRESETS = {
    "quick": Preset("a second a measurement, populations to 4, a short run a precision", 1.0, 4, HALF, 1, (0,), False),
    "full": Preset(
        "six seconds a measurement, populations to 256, precisions over 5 epochs", 6.0, 256, GROWTH, 5, (0, 1, 2), True
    ),
    "short": Preset(
        "a second a measurement, six strategies, populations to 64: for a machine that is lent for minutes",
        1.0,
        64,
        {"hidden width": ("hidden", (125, 500, 2000))},
        1,
        (0,),
        False,
        strategies=(
            "gumbel-softmax",
            "straight-through-gumbel-softmax",
            "reinmax",
            "rloo",
            "local-expectation",
            "target-propagation",
        ),
    ),
}


def rows(preset: Preset) -> dict[str, Config]:
    """The strategies, and target propagation with a network of its own."""
    found = {name: preset.base.refitted(strategy=name, options=None) for name in preset.strategies}
    learned = STRATEGIES["target-propagation"].Options("network")
    return found | {LEARNED: preset.base.refitted(strategy="target-propagation", options=learned)}


def strategies(preset: Preset, threads: int) -> dict[str, Case]:
    """Each strategy on one thread and on all, recorded and compiled; and the plain loop."""
    cases = {}
    for count in counts(preset, threads):
        for name, config in rows(preset).items():
            first = config == preset.base
            case = Case(config, threads=count, epoch=first and count == threads, seconds=preset.seconds)
            cases[label(name, count)] = case
            if preset.whole or first:
                cases[label(name, count, compiled=True)] = replace(case, compiled=True, epoch=False)
            if not first:
                cases[label(name, count) + BESIDE] = replace(case, loop="beside")
        cases[label("textbook", count)] = Case(preset.base, threads=count, loop="textbook", seconds=preset.seconds)
    return cases


def counts(preset: Preset, threads: int) -> list[int]:
    """Numbers of threads that the strategies are measured on."""
    return list(dict.fromkeys((1, threads) if preset.whole else (threads,)))


def label(name: str, threads: int, compiled: bool = False) -> str:
    """What a measurement of a strategy is called."""
    return f"{name}, {threads} thread{'s' * (threads > 1)}{', compiled' * compiled}"


def growth(preset: Preset) -> dict[str, Case]:
    """Gumbel-Softmax on larger and smaller models and batches."""
    cases = {}
    for name, (field, sizes) in preset.growth.items():
        for size in sizes:
            values: dict[str, Any] = {field: (size,) if field == "hidden" else size}
            config = (
                replace(preset.base, **values)
                if field == "batch_size"
                else replace(preset.base, architecture=replace(preset.base.architecture, **values))
            )
            cases[f"{name} = {size}"] = Case(config, seconds=preset.seconds)
    return cases


def evaluations(preset: Preset) -> dict[str, Case]:
    """The importance-weighted bound."""
    return {
        f"evaluation, P = {members}": Case(preset.base, members, loop="evaluation", seconds=preset.seconds)
        for members in preset.evaluated
    }


def precisions(preset: Preset, device: torch.device) -> list[Config]:
    """Runs that differ in their arithmetic; TF32 is CUDA's."""
    names = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16")
    return [
        replace(preset.base, epochs=preset.epochs, precision=name, seed=seed)  # type: ignore[arg-type]
        for name in names
        for seed in preset.seeds
    ]
