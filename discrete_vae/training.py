"""The training loop: a population of runs, from their configurations to finished run folders."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor

from discrete_vae import checkpoints, schedules
from discrete_vae.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation import evaluate_population
from discrete_vae.files import write_atomically
from discrete_vae.noise import Noise, seeded
from discrete_vae.optimiser import PopulationAdam
from discrete_vae.population import Population, fill
from discrete_vae.runs import HISTORY, Run, environment

LOOK_EVERY = 25
"""Steps between two looks at the losses: for the progress display and for those that are not finite."""


class Interrupted(Exception):
    """Training was stopped by a signal, after saving; its text says how to resume."""


class Progress(Protocol):
    """Where the loop tells how far it is."""

    def start(self, label: str, total: int, done: int) -> None: ...
    def update(self, done: int, loss: float, elbo: float | None) -> None: ...
    def message(self, text: str) -> None: ...


class Trainer:
    """A population in training: model, optimisers, and where in the data and the noise it stands."""

    def __init__(self, runs: Sequence[Run], data: Dataset, device: torch.device) -> None:
        configs = [run.config for run in runs]
        self.runs, self.data, self.device = runs, data, device
        self.config = configs[0]
        self.steps_per_epoch = runs[0].steps_per_epoch
        self.population = Population.build(configs, data.train.pixels.shape[-1], device)
        self.model, self.strategy = self.population.model, self.population.strategy
        self.optimisers = [
            PopulationAdam(module.parameters(), len(runs), len({str(rate) for rate in rates}) == 1)
            for module, rates in (
                (self.model, [config.learning_rate for config in configs]),
                (self.strategy, [config.auxiliary_learning_rate for config in configs]),
            )
        ]
        self.step = 0
        self.generators = [torch.Generator(device) for _ in runs]
        self.noise = Noise(self.generators, device)
        self.sums = torch.zeros(len(runs), 3, device=device)
        self.failed_at = torch.full((len(runs),), -1, device=device)

    @property
    def epoch(self) -> int:
        """The epoch that the next step belongs to, from 0."""
        return self.step // self.steps_per_epoch

    def train_epoch(self, look: Callable[[], bool]) -> None:
        """Train to the end of the epoch; ``look`` is called every few steps and stops it by returning False."""
        offset = self.step % self.steps_per_epoch
        steps, size = self.steps_per_epoch - offset, self.config.batch_size
        if offset == 0:
            self.sums.zero_()
            for generator, run in zip(self.generators, self.runs, strict=True):
                generator.manual_seed(seeded(run.config.seed, "noise", self.epoch).initial_seed())
        order = torch.stack(
            [
                torch.randperm(len(self.data.train), generator=seeded(run.config.seed, "order", self.epoch))
                for run in self.runs
            ]
        ).to(self.device)
        scheduled = self.population.schedules(self.step, steps, self.steps_per_epoch)
        beta = self._table("beta", steps).to(self.device)
        rates = [self._table(name, steps) for name in ("learning_rate", "auxiliary_learning_rate")]

        for i in range(steps):
            start = (offset + i) * size
            observation = self.data.train.batch(order[:, start : start + size], self.generators)
            self.strategy.follow({name: values[i] for name, values in scheduled.items()})
            self._update(observation, beta[i], [rate[i] for rate in rates])
            if self.step % LOOK_EVERY == 0 and not look():
                return

    def _update(self, observation: Tensor, beta: Tensor, rates: Sequence[Tensor]) -> None:
        """One step of gradient descent on the batch ``[P, B, D]``."""
        # Without its cache: older torch kept weights that were first cast under no_grad, cut off from their gradient.
        bfloat16 = self.config.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
            parameters = self.model.encode(observation)
            estimate = self.strategy(parameters, self.model.objective(observation), self.noise)
            kl = self.model.kl(parameters).mean(-1)
        reconstruction = estimate.loss.mean(-1)
        loss = reconstruction + beta * kl  # [P]; the members' sum keeps their gradients apart
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        (loss + estimate.auxiliary).sum().backward()  # type: ignore[no-untyped-call]
        for optimiser, rate in zip(self.optimisers, rates, strict=True):
            optimiser.step(rate)
        with torch.no_grad():
            self.sums += torch.stack([loss, reconstruction, kl], -1)
            broken = ~torch.isfinite(loss + estimate.auxiliary) & (self.failed_at < 0)
            self.failed_at.masked_fill_(broken, self.step)
        self.step += 1

    def _table(self, name: str, steps: int) -> Tensor:
        columns = [getattr(run.config, name) for run in self.runs]
        return schedules.table(columns, self.step, steps, self.steps_per_epoch)

    def state(self) -> dict[str, Tensor]:
        """All that a checkpoint holds, ``[P, ...]`` each."""
        state = self.population.state()
        for which, optimiser in zip(("model", "strategy"), self.optimisers, strict=True):
            for i, (first, second) in enumerate(zip(optimiser.first, optimiser.second, strict=True)):
                state[f"adam.{which}.{i}.first"], state[f"adam.{which}.{i}.second"] = first, second
        state["sums"] = self.sums
        return state

    def save(self) -> None:
        """Write a checkpoint of every member that is finite, in its losses and in its parameters."""
        state = self.state()
        finite = torch.stack([tensor.isfinite().flatten(1).all(1) for tensor in state.values()]).all(0)
        self.failed_at.masked_fill_(~finite & (self.failed_at < 0), self.step)
        for p in self.healthy():
            run = self.runs[p]
            tensors = {name: value[p] for name, value in state.items()}
            tensors["noise"] = self.generators[p].get_state()
            checkpoints.write(run.folder, self.step, run.config.identity, tensors)

    def load(self, step: int) -> None:
        """Go back to the members' checkpoints of a step.

        Raises ``InputError`` for one in the middle of an epoch from another kind of device: its noise is of no use.
        """
        members = [checkpoints.read(run.folder, step, run.config.identity) for run in self.runs]
        fill(self.state(), members)
        self.step = step
        if step % self.steps_per_epoch:  # each epoch begins with fresh generators
            for run, generator, member in zip(self.runs, self.generators, members, strict=True):
                if member["noise"].shape != generator.get_state().shape:
                    raise InputError(
                        f"{run.folder} was stopped in mid-epoch on another kind of device than {self.device}; "
                        "resume it with the --device that it was started with"
                    )
                generator.set_state(member["noise"])
        for optimiser in self.optimisers:
            optimiser.set_step(step)

    def healthy(self) -> list[int]:
        """Members whose losses were all finite."""
        return [p for p, step in enumerate(self.failed_at.tolist()) if step < 0]

    def means(self) -> tuple[list[float], list[float], list[float]]:
        """Loss, reconstruction loss and KL of each member, averaged over the epoch's steps so far."""
        steps = (self.step - 1) % self.steps_per_epoch + 1
        loss, reconstruction, kl = (self.sums.T / steps).tolist()
        return loss, reconstruction, kl


def train(
    configs: Sequence[Config],
    runs: Path,
    data: Dataset,
    *,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    checkpoint_every: int = 1,
) -> list[Run]:
    """Train runs to their end, each in its folder below ``runs``; what is finished is not trained again.

    Runs that differ in seed and schedules only train side by side. Raises ``InputError`` on bad input, ``Interrupted``
    after a signal (SIGINT, SIGTERM), when all is saved. A run whose loss is not finite ends alone: see ``Run.failure``.
    """
    device = torch.device(device)
    for config in configs:
        if config.data != data.config:
            raise InputError(f"the images are {data.config}, but a run asks for {config.data}; load those")
    made: list[Run] = []
    with contextlib.ExitStack() as stack:
        for config in dict.fromkeys(configs):
            made.append(Run.create(runs, config))
            stack.enter_context(made[-1].held())
        groups: dict[tuple[str, int], list[Run]] = {}
        for run in made:
            if run.failure is None:
                groups.setdefault((run.config.population_key, _resume_at(run, made)), []).append(run)
        stop = stack.enter_context(_signals())
        for (_, step), group in groups.items():
            if step < group[0].total_steps:
                with _matmul_precision(group[0].config):
                    _train_population(group, step, data, device, progress, checkpoint_every, stop)
            for run in group:
                if run.finished:
                    checkpoints.prune(run.folder, keep=1)
    return made


def _resume_at(run: Run, others: Sequence[Run]) -> int:
    """The step at which a run joins others: the least advanced run's newest one, among those that it still has.

    So the members of a population that was killed while it wrote its checkpoints go on together, in the same products
    and with the same rounding, while runs that were asked for later start apart. A member that failed takes no part, so
    the others of its population, once interrupted, go on with the rounding of a smaller one.
    """
    newest = {
        other.step
        for other in others
        if other.config.population_key == run.config.population_key
        and other.failure is None
        and checkpoints.steps(other.folder)
    }
    return min(newest.intersection(checkpoints.steps(run.folder)), default=run.step)


def _train_population(
    runs: Sequence[Run],
    step: int,
    data: Dataset,
    device: torch.device,
    progress: Progress | None,
    checkpoint_every: int,
    stop: list[int],
) -> None:
    config, started = runs[0].config, time.time()
    trainer = Trainer(runs, data, device)
    if step:
        trainer.load(step)
    elif not all(checkpoints.steps(run.folder) for run in runs):
        trainer.save()  # so that members killed within the first epoch's writes find each other again
    elbo = None
    if progress:
        label = config.strategy if len(runs) == 1 else f"{len(runs)} runs of {config.strategy}"
        progress.start(label, runs[0].total_steps, trainer.step)

    def look() -> bool:
        _record_failures(trainer, progress)
        healthy = trainer.healthy()
        if progress and healthy:
            progress.update(trainer.step, trainer.means()[0][healthy[0]], elbo)
        return not stop and bool(healthy)

    known, earlier = environment(device) | {"population": len(runs)}, {run: run.sessions() for run in runs}

    def record_session() -> None:
        session = known | {"steps": [step, trainer.step], "seconds": round(time.time() - started, 1)}
        for run in runs:
            run.write_sessions([*earlier[run], session])

    record_session()
    while trainer.epoch < config.epochs:
        trainer.train_epoch(look)
        if trainer.healthy() and trainer.step % trainer.steps_per_epoch == 0:
            elbo = _record_epoch(trainer)
        if stop or trainer.epoch % checkpoint_every == 0 or trainer.epoch == config.epochs:
            trainer.save()
        _record_failures(trainer, progress)
        record_session()
        if stop or not trainer.healthy():
            break
    if stop and trainer.epoch < config.epochs:
        raise Interrupted(
            f"stopped by {signal.Signals(stop[0]).name} and saved at step {trainer.step} of "
            f"{runs[0].total_steps}; the same command goes on from there"
        )


def _record_epoch(trainer: Trainer) -> float:
    """Add the epoch's training means and the validation metrics to the histories; gives the first member's ELBO."""
    loss, reconstruction, kl = trainer.means()
    relaxed = trainer.strategy.claim.relaxed
    metric = "reconstruction_relaxed" if relaxed else "reconstruction_hard"
    validation = evaluate_population(trainer.population, trainer.data, "validation", 1)
    for p in trainer.healthy():
        run = trainer.runs[p]
        rows = [
            ("train", "loss", loss[p]),
            ("train", metric, -reconstruction[p]),
            ("train", "kl", kl[p]),
            *(("validation", name, float(values[p])) for name, values in validation.items()),
        ]
        history = run.history()
        history = history[history["epoch"] < trainer.epoch]
        new = pd.DataFrame([(trainer.epoch, *row) for row in rows], columns=HISTORY)
        run.write_history(pd.concat([history, new]) if len(history) else new)
    return float(validation["elbo"][trainer.healthy()[0]])


def _record_failures(trainer: Trainer, progress: Progress | None) -> None:
    for p, step in enumerate(trainer.failed_at.tolist()):
        run = trainer.runs[p]
        if step < 0 or run.failure is not None:
            continue
        good, epoch = run.step, step // trainer.steps_per_epoch + 1
        message = (
            f"{run.folder}: the loss or a parameter is not finite at step {step} (epoch {epoch}); "
            f"last good checkpoint: {f'step {good}' if good else 'none'}; try a lower learning rate "
            "or a higher temperature"
        )
        failure = {"step": step, "epoch": epoch, "message": message}
        write_atomically(run.folder / "failure.json", json.dumps(failure, indent=2) + "\n")
        if progress:
            progress.message(message)


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
