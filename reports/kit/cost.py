"""The cost of a report: the steps of its runs, and the minutes that they take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.runs import Run
from discrete_vae.training.capture import WARM_UP
from discrete_vae.training.step import Trainer

SETTLING = WARM_UP + 1
"""Steps before the timed ones: a GPU captures the last of them, which takes longer than hundreds of replays."""
MEASURED = 3
"""Steps that are timed."""


def steps(configs: Sequence[Config]) -> int:
    """The updates of all runs together."""
    return sum(Run(Path(), config).total_steps for config in configs)


def seconds(configs: Sequence[Config], dataset: Callable[[DataConfig], Dataset], device: torch.device) -> float:
    """Seconds of training, from a measured step of each kind of run, alone; evaluations come on top.

    Runs of one kind that train side by side take a little less.
    """
    kinds: dict[str, list[Config]] = {}
    for config in configs:
        kinds.setdefault(config.population_key, []).append(config)
    return sum(steps(alike) * step_seconds(alike[0], dataset(alike[0].data), device) for alike in kinds.values())


def step_seconds(config: Config, data: Dataset, device: torch.device) -> float:
    """The time of one step of a run, without its recording."""
    trainer = Trainer([Run(Path(), config)], data, device)  # nothing is written
    for count in range(SETTLING + MEASURED):
        if count % trainer.steps_per_epoch == 0:
            trainer.begin_epoch()
        if count == SETTLING:
            _wait(device)
            start = time.perf_counter()
        trainer.advance()
        trainer.step += 1
    _wait(device)
    return (time.perf_counter() - start) / MEASURED


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def told(seconds: float) -> str:
    """``40 seconds``, ``25 minutes``, ``3.5 hours``."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
