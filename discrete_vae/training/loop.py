"""The training loop: a population of runs, from their configurations to finished run folders."""

from __future__ import annotations

import contextlib
import gc
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from discrete_vae import trackers
from discrete_vae.arithmetic import arithmetic
from discrete_vae.config.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, check_range
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import Run
from discrete_vae.tasks import AdversarialTask
from discrete_vae.trackers.log import Log
from discrete_vae.training import capacity
from discrete_vae.training.interruption import Interrupted, noted_signals
from discrete_vae.training.journal import Journal, end_epoch, record_failures
from discrete_vae.training.progress import Progress
from discrete_vae.training.resuming import Prune, never, pruned_before, resume_at
from discrete_vae.training.step import LOOK_EVERY, Trainer


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
    log: str | trackers.Kind | None = None,
) -> list[Run]:
    """Train runs to their end, each in its folder below ``runs``; what is finished is not trained again.

    Runs that differ only in seed, schedules, epochs and patience train side by side; one that is finished, pruned or
    failed leaves the others to go on. A run whose loss is not finite fails alone: see ``Run.failure``. ``prune`` is
    called after each epoch on the runs that train side by side, and once more when they are resumed, so it has to give
    the same answer; a pruned run is saved, and goes on where ``prune`` lets it. A checkpoint is written every
    ``checkpoint_every`` epochs; by default every epoch, as long as that takes no more than a twentieth of the time.
    ``compiled`` lets ``torch.compile``'s back end fuse the step's kernels. ``log`` names one of ``trackers.TRACKERS``,
    which gets the histories of all these runs; if it fails, training goes on.

    Raises ``InputError`` on bad input, ``Interrupted`` after a signal (SIGINT, SIGTERM), when all is saved.
    """
    device = torch.device(device)
    tracker = trackers.kind_of(log)
    check_request(configs, runs, data, device, checkpoint_every)
    made: list[Run] = []
    with contextlib.ExitStack() as stack:
        for config in dict.fromkeys(configs):
            made.append(Run.create(runs, config))
            stack.enter_context(made[-1].held())
            made[-1].check_network()
        for run in made:
            if progress and run.failure:
                progress.message(" ".join(run.failure["message"].split()))
        left = pruned_before([run for run in made if run.failure is None], prune)
        well = [run for run in made if run.failure is None and run not in left]
        groups: dict[tuple[str, int], list[Run]] = {}
        going = [run for run in well if not run.finished]
        for run in well:
            if (step := resume_at(run, going)) < run.last_step:
                groups.setdefault((run.config.population_key, step), []).append(run)
        tell = progress.message if progress else warnings.warn
        followed = Log(tracker, data, device, tell) if tracker else None
        if followed:
            stack.callback(followed.close)
            followed.follow(made)  # what earlier sessions did not log
        stop = stack.enter_context(noted_signals())
        for (_, step), group in groups.items():
            with arithmetic(group[0].config.precision):
                _train_population(
                    group, step, data, device, progress, checkpoint_every, compiled, prune, stop, followed
                )
        for run in made:
            if run.finished:
                run.prune(keep=1)
    if stop:  # after all was done: the signal is for the caller
        signal.raise_signal(stop[0])
    return made


def check_request(
    configs: Sequence[Config], runs: Path, data: Dataset, device: torch.device, checkpoint_every: int | None
) -> None:
    """Raise ``InputError`` for what ``train`` cannot do, before anything is made."""
    if checkpoint_every is not None:
        check_range("checkpoint every", checkpoint_every)
    for config in configs:
        if config.data != data.config:
            raise InputError(
                f"the images are {data.config}, but a run asks for {config.data}; load those, or give "
                "Config(data=dataset.config)"
            )
        if config.precision == "tf32" and device.type == "cpu":
            raise InputError("precision is tf32, which has no effect on a CPU; give float32, or --device cuda")
    data.check()
    new = [config for config in dict.fromkeys(configs) if not (runs / config.name).exists()]
    sizes: dict[str, list[Config]] = {}
    for config in new:
        sizes.setdefault(config.population_key, []).append(config)
    for alike in sizes.values():
        capacity.require_training(alike[0], len(alike), device)
        _rehearse(alike[0], data, device)


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
    log: Log | None,
) -> None:
    warn = progress.message if progress else warnings.warn
    trainer = Trainer(runs, data, device, compiled, warn)
    if not trainer.strategy.recordable:
        name = type(trainer.strategy).__name__
        warn(
            f"{name} runs in Python at every step, which is slower: if all that changes from step to step are its "
            f"parameters and buffers, in place, say `recordable = True` in the class {name}"
        )
    journal = Journal(runs, step, device, log)
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
        left: set[Run] = set()
        if whole and trainer.healthy() and (metrics := end_epoch(trainer, journal)):
            left = journal.best.stalled(metrics, trainer.epoch).union(prune(trainer.epoch, metrics))
            first = next(iter(metrics.values()))
            score = {"ELBO": first["elbo"]} if "elbo" in first else {}
        ended = {run for run in trainer.runs if run in left or trainer.step >= run.total_steps}
        if stop or ended or trainer.failed() or journal.due(trainer.epoch, checkpoint_every):
            journal.write(trainer)
            for run in ended:
                if run.finished:  # only now, when all have written: see resume_at
                    run.prune(keep=1)
        # Not in the middle of an epoch, from which the others could not go on in a population of this size.
        failed = record_failures(trainer, progress) if whole or not trainer.healthy() else set()
        if log:
            log.follow(list(failed))  # to the last epoch, as nothing of these is trained again
        stay = [p for p, run in enumerate(trainer.runs) if run not in ended | failed]
        if not stay:
            if trainer.step % LOOK_EVERY:
                look()  # so that the bar of a short run ends full
            return
        if stop:
            raise Interrupted(
                f"stopped by {signal.Signals(stop[0]).name} and saved at step {trainer.step} of "
                f"{max(run.total_steps for run in runs)}; the same command goes on from there"
            )
        if len(stay) < len(trainer.runs):
            trainer = trainer.keep(stay)
            gc.collect()  # the old one is part of a cycle, and large
