"""The training loop: a population of runs, from their configurations to finished run folders."""

from __future__ import annotations

import contextlib
import gc
import json
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

import pandas as pd
import torch

from discrete_vae.config.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, check_range
from discrete_vae.evaluation.diagnostics import diagnose
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import evaluate_population
from discrete_vae.files import write_atomically
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import HISTORY, Run, environment
from discrete_vae.tasks import AdversarialTask
from discrete_vae.training import capacity
from discrete_vae.training.step import Trainer

WRITING = 0.05
"""Share of the time that may go to checkpoints, unless it is said how often they are written."""
Prune = Callable[[int, Mapping[Run, Mapping[str, float]]], Collection[Run]]
"""Which runs shall leave, from their epoch and the validation metrics of all that train side by side."""


def never(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> Collection[Run]:
    """The ``Prune`` that lets every run go on."""
    return ()


class Interrupted(Exception):
    """Training was stopped by a signal, after saving; its text says how to resume."""


class Progress(Protocol):
    """Where the loop tells how far it is."""

    def start(self, label: str, total: int, done: int) -> None: ...
    def update(self, done: int, numbers: Mapping[str, float]) -> None: ...
    def message(self, text: str) -> None: ...


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
) -> list[Run]:
    """Train runs to their end, each in its folder below ``runs``; what is finished is not trained again.

    Runs that differ in seed, schedules and epochs only train side by side; one that is finished, pruned or failed
    leaves the others to go on. A run whose loss is not finite fails alone: see ``Run.failure``. ``prune`` is asked
    after each epoch about the runs that train side by side, and once more when they are resumed, so it has to
    answer the same; a pruned run is saved, and goes on where ``prune`` lets it. A checkpoint is written every
    ``checkpoint_every`` epochs; by default every epoch, as long as that takes no more than a twentieth of the time.
    ``compiled`` lets ``torch.compile``'s back end fuse the step's kernels.

    Raises ``InputError`` on bad input, ``Interrupted`` after a signal (SIGINT, SIGTERM), when all is saved.
    """
    device = torch.device(device)
    if checkpoint_every is not None:
        check_range("checkpoint every", checkpoint_every)
    for config in configs:
        if config.data != data.config:
            raise InputError(f"the images are {data.config}, but a run asks for {config.data}; load those")
        if config.precision == "tf32" and device.type == "cpu":
            raise InputError("precision is tf32, which has no effect on a processor; give float32, or --device cuda")
    data.check()
    new = [config for config in dict.fromkeys(configs) if not (runs / config.name).exists()]
    sizes: dict[str, list[Config]] = {}
    for config in new:
        sizes.setdefault(config.population_key, []).append(config)
    for alike in sizes.values():
        capacity.require_training(alike[0], len(alike), device)
        _rehearse(alike[0], data, device)
    made: list[Run] = []
    with contextlib.ExitStack() as stack:
        for config in dict.fromkeys(configs):
            made.append(Run.create(runs, config))
            stack.enter_context(made[-1].held())
        for run in made:
            if progress and run.failure:
                progress.message(" ".join(run.failure["message"].split()))
        left = _left([run for run in made if run.failure is None], prune)
        well = [run for run in made if run.failure is None and run not in left]
        groups: dict[tuple[str, int], list[Run]] = {}
        for run in well:
            if (step := _resume_at(run, well)) < run.total_steps:
                groups.setdefault((run.config.population_key, step), []).append(run)
        stop = stack.enter_context(_signals())
        for (_, step), group in groups.items():
            with _matmul_precision(group[0].config):
                _train_population(group, step, data, device, progress, checkpoint_every, compiled, prune, stop)
        for run in made:
            if run.finished:
                checkpoints.prune(run.folder, keep=1)
    if stop:  # when all was done; it is for whoever called
        signal.raise_signal(stop[0])
    return made


def _rehearse(config: Config, data: Dataset, device: torch.device) -> None:
    """Estimate a first batch's loss: what a strategy, a task or a size cannot do ends here, before anything is made."""
    population = Population.build([config], device)
    model, generators = population.model, [seeded(config.seed, "rehearsal", device=device)]
    model.setup(data.train, config, [config.seed])
    order = torch.arange(config.step_size, device=device).unsqueeze(0)
    observation = model.train_batch(data.train, order, generators)
    if isinstance(model, AdversarialTask):
        observation = model.critic_batches(observation)[1]
    beta = population.schedules(0, 1, 1)[0, 0].to(device)
    model.estimate(population.layer_strategies, observation, model.encode(observation), beta, Noise(generators, device))


def _left(runs: Sequence[Run], prune: Prune) -> set[Run]:
    """The runs that were pruned before: ``prune`` is asked again about the epochs at which they stand."""
    standing: dict[int, dict[Run, dict[str, float]]] = {}
    for run in runs:
        epoch, rest = divmod(run.step, run.steps_per_epoch)
        if rest or run.finished:
            continue
        history = run.history()
        last = history[(history["epoch"] == epoch) & (history["split"] == "validation")]
        metrics = {str(name): float(value) for name, value in zip(last["metric"], last["value"], strict=True)}
        if metrics:
            standing.setdefault(epoch, {})[run] = metrics
    return {run for epoch, metrics in standing.items() for run in prune(epoch, metrics)}


def _resume_at(run: Run, others: Sequence[Run]) -> int:
    """The step at which a run joins others: the least advanced run's newest one, among those that it still has.

    So the members of a population that was killed while it wrote its checkpoints go on together, in the same products
    and with the same rounding, while runs that were asked for later start apart.
    """
    newest = {
        other.step
        for other in others
        if other.config.population_key == run.config.population_key
        and checkpoints.steps(other.folder)
        and not other.finished
    }
    return min(newest.intersection(checkpoints.steps(run.folder)), default=run.step)


def _train_population(
    runs: Sequence[Run],
    step: int,
    data: Dataset,
    device: torch.device,
    progress: Progress | None,
    checkpoint_every: int | None,
    compiled: bool,
    prune: Prune,
    stop: list[int],
) -> None:
    trainer = Trainer(runs, data, device, compiled, progress.message if progress else lambda text: None)
    journal = _Journal(runs, step, device)
    if step:
        trainer.load(step)
    elif not all(checkpoints.steps(run.folder) for run in runs):
        trainer.save()  # so that members killed within the first epoch's writes find each other again
    score: dict[str, float] = {}
    if progress:
        label = runs[0].config.strategy if len(runs) == 1 else f"{len(runs)} runs of {runs[0].config.strategy}"
        progress.start(label, max(run.total_steps for run in runs), trainer.step)

    def look() -> bool:
        healthy = trainer.healthy()
        if progress and healthy:
            critic = {name.replace("_", " "): each[healthy[0]] for name, each in trainer.criticism().items()}
            progress.update(trainer.step, critic or {"loss": trainer.means()[0][healthy[0]], **score})
        return not stop and bool(healthy)

    journal.write_sessions(trainer)
    while True:
        trainer.train_epoch(look)
        whole = trainer.step % trainer.steps_per_epoch == 0
        pruned: set[Run] = set()
        if whole and trainer.healthy() and (metrics := _end_epoch(trainer, journal)):
            pruned = set(prune(trainer.epoch, metrics))
            first = next(iter(metrics.values()))
            score = {"ELBO": first["elbo"]} if "elbo" in first else {}
        ended = {run for run in trainer.runs if run in pruned or trainer.step >= run.total_steps}
        if stop or ended or trainer.failed() or journal.due(trainer.epoch, checkpoint_every):
            journal.write(trainer)
            for run in trainer.runs:
                if run.finished:  # only now, when all have written: see _resume_at
                    checkpoints.prune(run.folder, keep=1)
        # Not in the middle of an epoch, from which the others could not go on in a population of this size.
        failed = _record_failures(trainer, progress) if whole or not trainer.healthy() else set()
        stay = [p for p, run in enumerate(trainer.runs) if run not in ended | failed]
        if not stay:
            return
        if stop:
            raise Interrupted(
                f"stopped by {signal.Signals(stop[0]).name} and saved at step {trainer.step} of "
                f"{max(run.total_steps for run in runs)}; the same command goes on from there"
            )
        if len(stay) < len(trainer.runs):
            trainer = trainer.keep(stay)
            gc.collect()  # the old one is part of a cycle, and large


class _Journal:
    """Writes what training leaves on the disk, and remembers what waits for it and how long it takes."""

    def __init__(self, runs: Sequence[Run], step: int, device: torch.device) -> None:
        self.session = environment(device) | {"population": len(runs)}
        self.earlier = {run: run.sessions() for run in runs}
        self.first, self.started = step, time.monotonic()
        self.written, self.cost = self.started, 0.0
        self.told, self.shares = self.started, dict.fromkeys(runs, 0.0)
        self.rows: dict[Run, list[pd.DataFrame]] = {run: [] for run in runs}

    def due(self, epoch: int, every: int | None) -> bool:
        """Whether it is time to write: every so many epochs, or where that takes a small share of the time."""
        if every is not None:
            return epoch % every == 0
        return self.cost <= WRITING * (time.monotonic() - self.written)

    def write(self, trainer: Trainer) -> None:
        """Write the histories so far, then the checkpoints that they belong to."""
        began = time.monotonic()
        for run in trainer.runs:
            if rows := self.rows[run]:
                history = run.history()
                history = history[history["epoch"] < rows[0]["epoch"].iloc[0]]
                run.write_history(pd.concat([history, *rows] if len(history) else rows))
                rows.clear()
        trainer.save()
        self.write_sessions(trainer)
        self.written = time.monotonic()
        self.cost = self.written - began

    def write_sessions(self, trainer: Trainer) -> None:
        """Write what this process trained the members on, and how far it is."""
        now = time.monotonic()
        for run in trainer.runs:
            self.shares[run] += (now - self.told) / len(trainer.runs)
            session = self.session | {
                "steps": [self.first, trainer.step],
                "seconds": round(now - self.started, 1),
                "member_seconds": round(self.shares[run], 2),
            }
            run.write_sessions([*self.earlier[run], session])
        self.told = now


def _end_epoch(trainer: Trainer, journal: _Journal) -> dict[Run, dict[str, float]]:
    """Note the epoch's training means and validation metrics; gives the metrics of each run whose numbers are finite.

    A run of which a metric is not finite has failed, as one whose loss is not.
    """
    loss, reconstruction, kl = trainer.means()
    relaxed = trainer.strategy.claim.relaxed
    metric = "reconstruction_relaxed" if relaxed else "reconstruction_hard"
    trainer.population.follow(trainer.values[-1])  # a captured step leaves no values behind
    validation = evaluate_population(trainer.population, trainer.data, "validation", 1)
    validation |= diagnose(trainer.population, trainer.data)
    trainer.alive &= torch.stack([each.to(trainer.device).isfinite() for each in validation.values()]).all(0)
    columns = {name: values.tolist() for name, values in validation.items()}
    metrics = {}
    for p in trainer.healthy():
        run = trainer.runs[p]
        metrics[run] = {name: float(values[p]) for name, values in columns.items()}
        rows = [("train", "loss", loss[p]), *(("train", name, each[p]) for name, each in trainer.criticism().items())]
        if trainer.model.exact and not trainer.strategy.loss_includes_kl and trainer.game is None:
            rows += [("train", metric, -reconstruction[p]), ("train", "kl", kl[p])]
        rows += [("validation", name, value) for name, value in metrics[run].items()]
        journal.rows[run].append(pd.DataFrame([(trainer.epoch, *row) for row in rows], columns=HISTORY))
    return metrics


def _record_failures(trainer: Trainer, progress: Progress | None) -> set[Run]:
    """Write why members failed; gives these."""
    failed = set()
    for p, step in trainer.failed().items():
        run = trainer.runs[p]
        good, epoch = run.step, step // trainer.steps_per_epoch + 1
        message = (
            f"{run.folder}: the loss, a parameter or a validation metric is not finite at step {step} (epoch {epoch}); "
            f"last good checkpoint: {f'step {good}' if good else 'none'}; try a lower learning rate "
            "or a higher temperature"
        )
        failure = {"step": step, "epoch": epoch, "message": message}
        write_atomically(run.folder / "failure.json", json.dumps(failure, indent=2) + "\n")
        failed.add(run)
        if progress:
            progress.message(message)
    return failed


@contextlib.contextmanager
def _matmul_precision(config: Config) -> Iterator[None]:
    """Let CUDA's float32 products use TF32 where the configuration says so; processors have no such thing."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of dying in the middle of an update; a second one is not held back."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each, handler in previous.items():
            signal.signal(each, handler)

    previous = {}
    with contextlib.suppress(ValueError):  # outside the main thread, signals are not ours to handle
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
