"""A worker: asks a study for trials, trains them side by side, and tells what came out."""

from __future__ import annotations

import contextlib
import os
import platform
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import optuna
import torch
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from discrete_vae import training
from discrete_vae.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, InUse
from discrete_vae.runs import Run, hidden
from discrete_vae.tuning.search import DEFINITION, Search, SeededByTrial, Study, differences
from discrete_vae.tuning.storage import WORKER, SignsOfLife, again, alone, heartbeat, revive

SURPLUS = "surplus"
"""A trial's attribute: another worker had the last place, so nothing was trained."""
FAILURE, VALUES, METRICS, RUNS = "failure", "elbo by seed", "metrics", "runs"
"""A trial's attributes: why it failed; each seed's value; all metrics' means; its runs' folders."""
POLL = 2.0
"""Seconds between two looks at what other workers do."""
Saved = Callable[[OptunaStudy, Trial, Sequence[Run]], None]
"""Called with a trial that was trained, before it is told: what else to keep of it."""


class Progress(training.Progress, Protocol):
    """Where a worker tells how far the study is."""

    def study(self, name: str, done: int, total: int, best: float | None) -> None: ...


def open_study(study: Study, name: str, storage: BaseStorage) -> OptunaStudy:
    """The search ``name`` of a study in a storage; it is made if it is not there, by whoever comes first.

    Raises ``InputError`` if the storage holds another search by this name, with the differences.
    """
    asked = study.definition(study.names()[name])
    sampler = SeededByTrial(study.sampler, study.seed)
    with contextlib.suppress(DuplicatedStudyError):
        storage.create_new_study([StudyDirection.MAXIMIZE], name)
    found = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=study.pruner())
    stored = found.user_attrs.get(DEFINITION)
    if stored is None:
        found.set_user_attr(DEFINITION, asked)
    elif stored != asked:
        told = "; ".join(differences(stored, asked))
        raise InputError(
            f"study {name!r} in this storage is another one ({told}); ask for what is stored, name another --storage, "
            f"or remove it: python -m studies clean {study.name}"
        )
    return found


def standing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count: not those that were taken up again as another, and none that was one too many."""
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
    return [trial for trial in trials if trial.number not in again and SURPLUS not in trial.user_attrs]


def done(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that have ended: complete, pruned or failed."""
    return [trial for trial in standing(trials) if trial.state.is_finished()]


def ranked(found: OptunaStudy) -> list[FrozenTrial]:
    """The complete trials, best first."""
    complete = [trial for trial in standing(found.get_trials(deepcopy=False)) if trial.state == TrialState.COMPLETE]
    return sorted(complete, key=lambda trial: trial.values[0], reverse=True)


@dataclass
class Worker:
    """What a worker works with; ``work`` is what it does."""

    runs: Path
    data: Dataset
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch: int = 1
    """Trials that train side by side."""
    compiled: bool = False
    progress: Progress | None = None
    saved: Saved = lambda study, trial, runs: None
    train: Callable[..., object] = training.train
    """What trains; ``training.train`` but for measurements of everything else."""
    name: str = field(default_factory=lambda: f"{platform.node()}:{os.getpid()}")

    def work(self, found: OptunaStudy, study: Study, search: Search, trials: int, timeout: float | None = None) -> None:
        """Train until the study has ``trials`` trials, whoever trained them, or the time is over, in seconds.

        Raises ``training.Interrupted`` after a signal, ``KeyboardInterrupt`` if nothing was training just then: what
        was asked for is given back, to go on from its checkpoints.
        """
        end = None if timeout is None else time.monotonic() + timeout
        interval = heartbeat(found._storage)
        with alone(found._storage) as only:
            revive(found, everything=only)
            looked = time.monotonic()
            while end is None or time.monotonic() < end:
                self._tell_progress(found, trials)
                asked = self._ask(found, search, trials)
                if asked:
                    self._train(found, study, search, asked)
                elif interval is not None and self._others(found):
                    time.sleep(POLL)
                else:
                    break
                if interval is not None and time.monotonic() > looked + interval:
                    revive(found)
                    looked = time.monotonic()

    def _others(self, found: OptunaStudy) -> bool:
        """Whether it is worth waiting: other workers' trials come to an end, or come back if they die."""
        return any(not trial.state.is_finished() for trial in standing(found.get_trials(deepcopy=False)))

    def _ask(self, found: OptunaStudy, search: Search, trials: int) -> list[Trial]:
        """As many trials as there are places, up to the batch."""
        asked: list[Trial] = []
        while len(asked) < self.batch:
            there = found.get_trials(deepcopy=False)
            waiting = sum(trial.state == TrialState.WAITING for trial in there)
            if not waiting and len(standing(there)) >= trials:
                break
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that heartbeats are for optimize: see SignsOfLife
                trial = found.ask(dict(search.space))
            if self._surplus(found, trial, trials):
                trial.set_user_attr(SURPLUS, True)
                found.tell(trial, state=TrialState.FAIL)
                continue
            with SignsOfLife(found._storage, [trial._trial_id]):
                trial.set_user_attr(WORKER, self.name)
            asked.append(trial)
        return asked

    def _surplus(self, found: OptunaStudy, trial: Trial, trials: int) -> bool:
        """Whether other workers had taken the last places: a storage gives numbers in one order to all."""
        there = found.get_trials(deepcopy=False)
        own = there[trial.number]
        if "retry_history" in own.system_attrs:
            return False
        return sum(each.number < trial.number for each in standing(there)) >= trials

    def _train(self, found: OptunaStudy, study: Study, search: Search, asked: Sequence[Trial]) -> None:
        members: dict[Trial, list[Run]] = {}
        for trial in asked:
            try:
                configs = search.configs(trial.params, study.seeds, study.epochs)
            except InputError as error:
                self._fail(found, trial, str(error))
            else:
                members[trial] = [Run.create(self.runs, config) for config in configs]
        pruned: set[Trial] = set()
        lost: set[Trial] = set()

        def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> Collection[Run]:
            leave: list[Run] = []
            for trial, runs in members.items():
                there = [run for run in runs if run in metrics]
                if any(run.failure for run in runs):
                    leave += there  # the trial has failed with them
                elif len(there) == len(runs):
                    try:
                        with warnings.catch_warnings():
                            warnings.simplefilter("ignore", UserWarning)  # a resumed trial tells an epoch again
                            trial.report(fmean(metrics[run]["elbo"] for run in runs), epoch)
                    except UpdateFinishedTrialError:
                        lost.add(trial)
                        leave += runs
                    else:
                        if epoch < study.epochs and trial.should_prune():
                            pruned.add(trial)
                            leave += runs
            return leave

        with SignsOfLife(found._storage, [trial._trial_id for trial in members]):
            try:
                self._train_runs([run.config for runs in members.values() for run in runs], prune)
                for trial, runs in members.items():
                    try:
                        if trial not in lost:
                            self._tell(found, trial, runs, trial in pruned)
                    except UpdateFinishedTrialError:
                        lost.add(trial)
                    if trial in lost:
                        self._message(f"{found.study_name} trial {trial.number}: taken for dead, and given to another")
            except BaseException:  # an interruption, a full disk: others, or a later call, take them up again
                for trial in members:
                    again(found, found.get_trials(deepcopy=False)[trial.number])
                raise

    def _train_runs(self, configs: Sequence[Config], prune: training.Prune) -> None:
        waited = False
        while True:
            try:
                self.train(
                    configs,
                    self.runs,
                    self.data,
                    device=self.device,
                    progress=self.progress,
                    compiled=self.compiled,
                    prune=prune,
                )
                return
            except InUse as error:  # by a worker that was taken for dead, or that was asked for the same values
                if not waited:
                    self._message(str(error))
                waited = True
                time.sleep(POLL)

    def _tell(self, found: OptunaStudy, trial: Trial, runs: Sequence[Run], pruned: bool) -> None:
        trial.set_user_attr(RUNS, [run.folder.name for run in runs])
        failures = [run.failure["message"] for run in runs if run.failure is not None]
        if failures:
            self._fail(found, trial, failures[0])
            return
        last = [_last(run) for run in runs]
        value = fmean(own["elbo"] for own in last)
        trial.set_user_attr(VALUES, {str(run.config.seed): own["elbo"] for run, own in zip(runs, last, strict=True)})
        trial.set_user_attr(METRICS, {name: fmean(own[name] for own in last) for name in last[0]})
        self.saved(found, trial, runs)
        if pruned:
            found.tell(trial, state=TrialState.PRUNED)
        else:
            found.tell(trial, value)
        state = "pruned" if pruned else "complete"
        self._message(f"{found.study_name} trial {trial.number}: ELBO {value:.2f}, {state}; {told(trial.params)}")

    def _fail(self, found: OptunaStudy, trial: Trial, reason: str) -> None:
        trial.set_user_attr(FAILURE, hidden(reason))
        found.tell(trial, state=TrialState.FAIL)
        self._message(f"{found.study_name} trial {trial.number}: failed, {hidden(reason)}")

    def _message(self, text: str) -> None:
        if self.progress is not None:
            self.progress.message(text)

    def _tell_progress(self, found: OptunaStudy, trials: int) -> None:
        if self.progress is None:
            return
        ended = done(found.get_trials(deepcopy=False))
        values = [trial.value for trial in ended if trial.state == TrialState.COMPLETE and trial.value is not None]
        self.progress.study(found.study_name, len(ended), trials, max(values, default=None))


def told(params: Mapping[str, object]) -> str:
    """A trial's values in one line, of floats three digits, of joined names the first."""
    return " ".join(
        f"{name.partition('+')[0]}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )


def _last(run: Run) -> dict[str, Any]:
    """A run's newest validation metrics."""
    history = run.history()
    history = history[history["split"] == "validation"]
    last = history[history["epoch"] == history["epoch"].max()]
    return {str(name): float(value) for name, value in zip(last["metric"], last["value"], strict=True)}
