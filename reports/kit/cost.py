"""The cost of a report: the steps of its runs, and the minutes that they take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run
from discrete_vae.training.capture import CHECKS, RECORD_AFTER, WARM_UP
from discrete_vae.training.step import Trainer

SETTLING = {"cpu": CHECKS, "cuda": WARM_UP + 1}
"""Steps before the timed ones. One is recorded or captured, which takes longer than hundreds, and some are checked."""
MEASURED = 3
"""Steps that are timed, fewer where these take longer than ``ENOUGH`` seconds."""
ENOUGH = 1.0


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
    total = 0.0
    label = "measuring a step of each kind of run"
    with terminal_progress() as progress, progress.counting(label, len(kinds)) as advance:
        for alike in kinds.values():
            total += steps(alike) * step_seconds(alike[0], dataset(alike[0].data), device)
            advance(1)
    return total


def step_seconds(config: Config, data: Dataset, device: torch.device) -> float:
    """The time of most of a run's steps, without their recording."""
    run = Run(Path(), config)  # nothing is written
    trainer = Trainer([run], data, device, record_after=0 if run.total_steps > 2 * RECORD_AFTER else RECORD_AFTER)

    def advance() -> None:
        if trainer.step % trainer.steps_per_epoch == 0:
            trainer.begin_epoch()
        trainer.advance()
        trainer.step += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(SETTLING[device.type]):
        advance()
    start, count, taken = time.perf_counter(), 0, 0.0
    while count < MEASURED and taken < ENOUGH:
        advance()
        count, taken = count + 1, time.perf_counter() - start
    return taken / count


def told(seconds: float) -> str:
    """``40 seconds``, ``25 minutes``, ``3.5 hours``."""
    for size, unit in ((3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
