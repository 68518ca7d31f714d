"""Training and evaluation of runs in several processes."""

from __future__ import annotations

import math
import multiprocessing
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch

from discrete_vae import backbones
from discrete_vae.config.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, check_range
from discrete_vae.evaluation import yardstick
from discrete_vae.likelihoods import LIKELIHOODS
from discrete_vae.memory import require
from discrete_vae.parallel.child import Line
from discrete_vae.parallel.pool import spread
from discrete_vae.runs.run import Run
from discrete_vae.trackers import Kind, kind_of
from discrete_vae.training import capacity, loop
from discrete_vae.training.progress import Progress
from discrete_vae.training.resuming import Prune, never, pruned_before

FEW = 4
"""Threads below which a single process is the default: two processes of two threads need so many."""
EACH = 2
"""Threads of a process by default."""
STEPS = 10_000
"""Steps that justify a process by default: the first takes some 5 s to start, they about a minute."""
DRAWS = 10_000_000
"""Images times samples to evaluate that justify a process by default."""


@dataclass(frozen=True)
class Training:
    """The task to train runs, side by side where that is possible."""

    runs: Sequence[Path]
    configs: Sequence[dict[str, Any]]
    """As plain values: the process looks up strategies by their names, which it may lack."""
    checkpoint_every: int | None
    compiled: bool
    asks: bool
    """Whether the parent decides on pruning."""
    log: Kind | None
    saves: ClassVar[bool] = True

    def __call__(self, data: Dataset, device: torch.device, line: Line) -> None:
        loop.train(
            [Config.from_dict(config) for config in self.configs],
            self.runs[0].parent,
            data,
            device=device,
            progress=line,
            checkpoint_every=self.checkpoint_every,
            compiled=self.compiled,
            prune=line.prune if self.asks else never,
            log=self.log,
        )


@dataclass(frozen=True)
class Evaluation:
    """The task to evaluate runs; gives a table a run."""

    runs: Sequence[Path]
    split: str
    samples: int
    memory: int | None
    saves: ClassVar[bool] = False

    def __call__(self, data: Dataset, device: torch.device, line: Line) -> list[pd.DataFrame]:
        runs = [Run.open(folder) for folder in self.runs]
        found = yardstick.evaluated(
            runs, data, self.split, self.samples, device=device, advance=line.advance, memory=self.memory
        )
        return [found[run] for run in runs]


def train(
    configs: Sequence[Config],
    runs: Path,
    data: Dataset,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    checkpoint_every: int | None = None,
    compiled: bool = False,
    prune: Prune = never,
    log: str | Kind | None = None,
    jobs: int | None = 1,
    together: int = 1,
) -> list[Run]:
    """``training.train`` in ``jobs`` processes, each with its share of the threads that torch has here.

    A population is cut where there are fewer populations than processes, by the given configurations and ``jobs``
    alone: the same call resumes with the same populations and ends with the same bits. Another number of ``jobs``
    changes the order of float32 sums, as other members of a population do. ``together`` consecutive configurations
    stay in one process, such as the seeds of a trial. ``prune`` is called in this process, on the runs that train
    side by side in one of the others. ``progress`` gets one bar, of the steps of all runs.

    ``jobs=None`` chooses: 1 on a GPU or where torch has less than 4 threads; otherwise half of the threads, at most the
    number of runs and one process for 10,000 steps. A script that gives more than 1 needs the usual
    ``if __name__ == "__main__":``, since each process imports it.

    Raises what ``training.train`` does, and ``ProcessDied`` for a process that was killed: the others save first.
    """
    device, configs, tracker = torch.device(device), list(dict.fromkeys(configs)), kind_of(log)
    made = {config: Run(runs / config.name, config) for config in configs}
    jobs = _checked(jobs, device, made, sum(run.total_steps for run in made.values()) // STEPS)
    parts = cut(list(made.values()), jobs, together)
    jobs = min(jobs, len(parts))
    here = partial(
        loop.train,
        runs=runs,
        data=data,
        device=device,
        progress=progress,
        checkpoint_every=checkpoint_every,
        compiled=compiled,
        prune=prune,
        log=tracker,
    )
    if jobs <= 1:
        return here(configs)
    pruned = set() if prune is never else pruned_before([run for run in made.values() if run.failure is None], prune)
    left: list[list[Run]] = []
    ended: list[list[Run]] = []
    for part in parts:
        (ended if all(run in pruned or run.finished or run.failure for run in part) else left).append(part)
    loop.check_request([run.config for part in left for run in part], runs, data, device, checkpoint_every)
    needs = sorted(len(part) * capacity.of_training(part[0].config) for part in left)
    require(sum(needs[-jobs:]), f"{jobs} jobs", device)
    here([run.config for part in ended for run in part])  # nothing to train, but their files are checked
    left.sort(key=_steps, reverse=True)  # the longest first, so that all processes end at about the same time
    tasks = [
        Training(
            [run.folder for run in part],
            [run.config.to_dict() for run in part],
            checkpoint_every,
            compiled,
            asks=prune is not never,
            log=tracker,
        )
        for part in left
    ]
    if tasks:
        spread(tasks, data, device, jobs, _threads(jobs), _Display(progress, left, jobs, prune).hear)
    return list(made.values())


def evaluate(
    runs: Sequence[Run],
    data: Dataset,
    split: str,
    samples: int,
    *,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] = lambda images: None,
    memory: int | None = None,
    jobs: int | None = 1,
) -> pd.DataFrame:
    """``yardstick.evaluate`` in ``jobs`` processes; see ``train``. The numbers do not depend on it.

    ``jobs=None`` chooses as ``train`` does, one process for 10 million images times samples.
    """
    device, runs = torch.device(device), list(dict.fromkeys(runs))
    draws = len(runs) * len(data.split(split)) * samples
    jobs = _checked(jobs, device, [run.config for run in runs], draws // DRAWS)
    missing = [run for run in runs if not run.finished or yardstick.stored(run, split, samples).empty]
    parts = cut(missing, jobs)
    if jobs <= 1 or len(parts) <= 1:
        return yardstick.evaluate(runs, data, split, samples, device=device, advance=advance, memory=memory)
    found: dict[Run, pd.DataFrame] = {}

    def hear(task: int, kind: str, value: Any) -> None:
        if kind == "advance":
            advance(value)
        elif kind == "done":
            found.update(zip(parts[task], value, strict=True))
        elif kind == "warning":
            warnings.warn(value, stacklevel=4)

    tasks = [Evaluation([run.folder for run in part], split, samples, memory) for part in parts]
    spread(tasks, data, device, jobs, _threads(jobs), hear)
    if there := [run for run in runs if run not in missing]:
        found |= yardstick.evaluated(there, data, split, samples, device=device, memory=memory)
    return pd.concat([found[run] for run in runs], ignore_index=True)


def check(jobs: int, configs: Iterable[Config]) -> None:
    """Raise ``InputError`` for more than one process where a strategy, say, is known to this process only."""
    check_range("jobs", jobs)
    own = next((found for each in configs if (found := _of_this_process(each))), "")
    if own and jobs > 1:
        raise InputError(f"{own} is registered in this process, and other processes lack it; use 1 job")


def cut(runs: Sequence[Run], jobs: int, together: int = 1) -> list[list[Run]]:
    """The runs of each task: those of a population, or a piece of it where it is more than a job's share.

    ``together`` consecutive runs stay in one piece. Depends on nothing that was trained before.
    """
    blocks = dict.fromkeys(tuple(runs[i : i + together]) for i in range(0, len(runs), together))
    groups: dict[str, list[tuple[Run, ...]]] = {}
    for block in blocks:
        groups.setdefault(block[0].config.population_key, []).append(block)
    total = sum(run.config.epochs for run in runs)
    parts = []
    for group in groups.values():
        epochs = sum(run.config.epochs for block in group for run in block)
        pieces = min(len(group), math.ceil(jobs * epochs / total))
        bounds = [len(group) * i // pieces for i in range(pieces + 1)]
        parts += [[run for block in group[a:b] for run in block] for a, b in pairwise(bounds)]
    return parts


def _checked(jobs: int | None, device: torch.device, configs: Collection[Config], worth: int) -> int:
    """The number of processes that was asked for, or that suits the machine and the size of the task."""
    if jobs is not None:
        check(jobs, configs)
        return jobs
    threads = torch.get_num_threads()
    alone = device.type == "cuda" or multiprocessing.current_process().daemon or any(map(_of_this_process, configs))
    if alone or threads < FEW:
        return 1
    return max(1, min(threads // EACH, len(configs), worth))


def _of_this_process(config: Config) -> str:
    """A row of a configuration that was registered by a user's code, which other processes need not run; else empty."""
    kinds = {
        f"strategy {config.strategy}": config.strategy_class,
        f"task {config.task}": config.task_class,
        f"likelihood {config.likelihood}": LIKELIHOODS[config.likelihood],
    }
    own = [name for name, kind in kinds.items() if not kind.__module__.startswith("discrete_vae.")]
    backbone = config.architecture.backbone
    if backbones.known(backbone) is not backbones.SHIPPED.get(backbone):
        own.append(f"backbone {backbone}")
    return next(iter(own), "")


def _threads(jobs: int) -> int:
    """Threads of each of so many processes."""
    return max(1, torch.get_num_threads() // jobs)


def _steps(part: Sequence[Run]) -> int:
    return sum(run.total_steps for run in part)


class _Display:
    """One bar for all processes: the steps of all runs."""

    def __init__(self, progress: Progress | None, parts: Sequence[Sequence[Run]], jobs: int, prune: Prune) -> None:
        self.progress, self.parts, self.prune = progress, parts, prune
        self.weights = [_steps(part) for part in parts]
        self.shares = [0.0] * len(parts)
        self.ended = 0
        self.warned: set[str] = set()
        if progress:
            count = sum(map(len, parts))
            progress.start(f"{count} runs in {min(jobs, len(parts))} processes", sum(self.weights), 0)

    def hear(self, task: int, kind: str, value: Any) -> Any:
        """Show what a process tells; answers ``ask`` with the names of the runs that leave."""
        if kind == "ask":
            epoch, metrics = value
            known = {run.config.name: run for run in self.parts[task]}
            leave = self.prune(epoch, {known[name]: values for name, values in metrics.items()})
            return [run.config.name for run in leave]
        if kind == "warning" and value not in self.warned:
            self.warned.add(value)
            if self.progress is None:
                warnings.warn(value, stacklevel=4)
            else:
                self.progress.message(value)
        if self.progress and kind == "message":
            self.progress.message(value)
        if kind in ("share", "done"):
            self.ended += len(self.parts[task]) * (kind == "done")
            self.shares[task] = max(self.shares[task], min(1.0, value) if kind == "share" else 1.0)
            done = sum(weight * share for weight, share in zip(self.weights, self.shares, strict=True))
            if self.progress:
                self.progress.update(int(done), {"runs ended": self.ended})
        return None
