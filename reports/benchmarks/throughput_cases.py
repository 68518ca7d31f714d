"""What the throughput report measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from discrete_vae.config import Config
from discrete_vae.strategies import STRATEGIES, Enumeration
from reports.benchmarks.case import Case

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
    seconds: float  # of each measurement
    members: int  # of the largest population
    growth: Growth
    epochs: int  # of the runs that show what lower precision costs
    seeds: tuple[int, ...]  # theirs
    whole: bool  # whether every strategy is measured on one thread too, and compiled
    base: Config = Config()  # noqa: RUF009 -- what is measured, and changed from
    strategies: tuple[str, ...] = tuple(
        name for name, kind in STRATEGIES.items() if not issubclass(kind, Enumeration) and kind.categories is None
    )
    """All but those that sum over states (the base has too many), and those for fewer categories than the base's."""
    evaluated: tuple[int, ...] = (1, 4)  # sizes of the populations that are evaluated


FEW = (
    "gumbel-softmax",
    "gauss-newton-local-expectation",
    "straight-through-gumbel-softmax",
    "reinmax",
    "rloo",
    "local-expectation",
    "target-propagation",
)
SHORT: Growth = {"hidden width": ("hidden", (125, 500, 2000))}
PRESETS = {
    "quick": Preset("a second a measurement, populations to 4, a short run a precision", 1.0, 4, HALF, 1, (0,), False),
    "full": Preset(
        "six seconds a measurement, populations to 256, precisions over 5 epochs", 6.0, 256, GROWTH, 5, (0, 1, 2), True
    ),
    "short": Preset(
        "a second a measurement, seven strategies, populations to 64: some five minutes on a GPU",
        *(1.0, 64, SHORT, 1, (0,), False),
        strategies=(*FEW, "target-propagation"),
    ),
}


def cases(preset: Preset, threads: int) -> dict[str, Case]:
    """All but the populations, by the names of their rows and in the order in which they are measured."""
    found = {DEVICE: Case(preset.base, loop="device", seconds=preset.seconds)}
    found |= _strategies(preset, threads) | _growth(preset)
    for members in preset.evaluated:
        found[f"evaluation, P = {members}"] = Case(preset.base, members, loop="evaluation", seconds=preset.seconds)
    return found


def populations(preset: Preset) -> dict[str, Case]:
    """Gumbel-Softmax with 1, 2, 4 ... members, as far as the preset goes."""
    sizes = [2**i for i in range(preset.members.bit_length())]
    return {f"population, P = {members}": Case(preset.base, members, seconds=preset.seconds) for members in sizes}


def rows(preset: Preset) -> dict[str, Config]:
    """The strategies, and target propagation with a network of its own."""
    found = {name: preset.base.refitted(strategy=name, options=None) for name in preset.strategies}
    learned = STRATEGIES["target-propagation"].Options("network")
    return found | {LEARNED: preset.base.refitted(strategy="target-propagation", options=learned)}


def _strategies(preset: Preset, threads: int) -> dict[str, Case]:
    """Each strategy on one thread and on all, recorded and compiled; and the plain loop."""
    found = {}
    for count in counts(preset, threads):
        for name, config in rows(preset).items():
            first = config == preset.base
            case = Case(config, threads=count, epoch=first and count == threads, seconds=preset.seconds)
            found[label(name, count)] = case
            if preset.whole or first:
                found[label(name, count, compiled=True)] = replace(case, compiled=True, epoch=False)
            if not first:
                found[label(name, count) + BESIDE] = replace(case, loop="beside")
        found[label("textbook", count)] = Case(preset.base, threads=count, loop="textbook", seconds=preset.seconds)
    return found


def counts(preset: Preset, threads: int) -> list[int]:
    """Numbers of threads that the strategies are measured on."""
    return list(dict.fromkeys((1, threads) if preset.whole else (threads,)))


def label(name: str, threads: int, compiled: bool = False) -> str:
    """Name of a strategy's measurement."""
    return f"{name}, {on(threads)}{', compiled' * compiled}"


def on(threads: int) -> str:
    """As ``2 threads``."""
    return f"{threads} thread{'s' * (threads > 1)}"


def _growth(preset: Preset) -> dict[str, Case]:
    """Gumbel-Softmax on larger and smaller models and batches."""
    found, shape = {}, preset.base.architecture
    for name, (field, sizes) in preset.growth.items():
        for size in sizes:
            values: dict[str, Any] = {field: (size,) if field == "hidden" else size}
            if field != "batch_size":
                values = {"architecture": replace(shape, **values)}
            found[f"{name} = {size}"] = Case(replace(preset.base, **values), seconds=preset.seconds)
    return found


def precisions(preset: Preset, device: torch.device) -> list[Config]:
    """Runs that differ in their arithmetic; TF32 is CUDA's."""
    names = ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16")
    return [
        replace(preset.base, epochs=preset.epochs, precision=name, seed=seed)  # type: ignore[arg-type]
        for name in names
        for seed in preset.seeds
    ]
