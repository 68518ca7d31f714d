"""A worker: asks a study for trials, trains them side by side, and tells what came out."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Protocol

import torch
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study as OptunaStudy
from optuna.trial import Trial, TrialState

from discrete_vae.config.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError, InUse
from discrete_vae.runs.run import Run
from discrete_vae.secrets import redact_secrets
from discrete_vae.training import Interrupted, Prune, capacity
from discrete_vae.training import Progress as TrainingProgress
from discrete_vae.training import loop as training
from discrete_vae.tuning.attributes import FAILURE, METRICS, RUNS, SURPLUS, VALUES, WORKER, value_of
from discrete_vae.tuning.retries import SignsOfLife, active_trials, origin, requeue, revive, this_worker
from discrete_vae.tuning.sampling import SeededByTrial, refusal
from discrete_vae.tuning.scores import known_scores, metrics_after, score_of, shown_value
from discrete_vae.tuning.search import Search
from discrete_vae.tuning.storage import StorageError, hasten, heartbeat, single_process
from discrete_vae.tuning.study import Study
from discrete_vae.tuning.trials import done, format_params

POLL = 2.0
"""Seconds between two looks at what other workers do."""
Saved = Callable[[OptunaStudy, Trial, Sequence[Run]], None]
"""Called with a trained trial before its value is told, to keep more of it."""


class Progress(TrainingProgress, Protocol):
    """Receives a study's progress as well."""

    def study(self, name: str, done: int, total: int, best: str | None) -> None: ...


@dataclass
class Worker:
    """A worker's folder, data, device and settings; ``work`` runs it."""

    runs: Path
    """The folder of the trials' runs."""
    data: Dataset
    """The data that trials are trained on."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    batch: int = 1
    """Trials that train side by side."""
    compiled: bool = False
    progress: Progress | None = None
    saved: Saved = lambda study, trial, runs: None
    train: Callable[..., object] = training.train
    """Trains the runs; measurements of all but training replace it."""
    _told: int = field(default=-1, init=False)

    def work(self, found: OptunaStudy, study: Study, search: Search, trials: int, timeout: float | None = None) -> None:
        """Train until the study has ``trials`` trials, whoever trained them, or the time is over, in seconds.

        Raises ``Interrupted`` after a signal, ``KeyboardInterrupt`` if nothing was training just then: trials that were
        asked for are given back, to go on from their checkpoints.
        """
        end = None if timeout is None else time.monotonic() + timeout
        interval = heartbeat(found._storage)
        with single_process(found._storage):
            revive(found)
            looked = time.monotonic()
            while end is None or time.monotonic() < end:
                self._tell_progress(found, study, trials)
                if not self._turn(found, study, search, trials):
                    if interval is None or not self._others(found):
                        break
                    time.sleep(POLL)
                if interval is not None and time.monotonic() > looked + interval:
                    revive(found)
                    looked = time.monotonic()

    def _others(self, found: OptunaStudy) -> bool:
        """Whether it is worth waiting: other workers' trials come to an end, or come back if they die."""
        return any(not trial.state.is_finished() for trial in active_trials(found.get_trials(deepcopy=False)))

    def _turn(self, found: OptunaStudy, study: Study, search: Search, trials: int) -> bool:
        """Ask for trials, train them and tell; whether there were any."""
        asked: list[Trial] = []
        with SignsOfLife(found._storage) as life:
            try:
                while len(asked) < self.batch and self._ask(found, search, trials, asked, life):
                    pass
                self._train(found, study, search, asked)
            except BaseException as error:  # others, or a later call, take them up again
                # Nor is a trial to blame for a storage, or a disk, that takes no more.
                blameless = isinstance(error, Interrupted | KeyboardInterrupt | StorageError)
                stopped = blameless or isinstance(error.__cause__, OSError)
                reason = None if stopped else str(error) or type(error).__name__
                hasten(found._storage)
                with contextlib.suppress(StorageError):  # then a later call sees that we are gone
                    for trial in asked:
                        requeue(found, found.get_trials(deepcopy=False)[trial.number], reason)
                raise
        return bool(asked)

    def _ask(self, found: OptunaStudy, search: Search, trials: int, asked: list[Trial], life: SignsOfLife) -> bool:
        """Ask for one more; whether there was a place for it."""
        there = found.get_trials(deepcopy=False)
        waiting = any(trial.state == TrialState.WAITING for trial in there)
        if not waiting and len(active_trials(there)) >= trials:
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that heartbeats are for optimize: see SignsOfLife
            trial = self._asked(found, search)
        try:
            if self._surplus(found, trial, trials):
                trial.set_user_attr(SURPLUS, True)
                found.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
            else:
                life.of(trial._trial_id)
                trial.set_user_attr(WORKER, this_worker())
                asked.append(trial)
        except UpdateFinishedTrialError:
            pass  # taken for dead already
        return True

    def _asked(self, found: OptunaStudy, search: Search) -> Trial:
        """A trial with its values. Raises ``InputError`` where Optuna cannot give them; the trial is given back."""
        sampler = found.sampler
        assert isinstance(sampler, SeededByTrial)
        sampler.asked = None
        try:
            return found.ask(dict(search.space))
        except BaseException as error:
            if sampler.asked is not None:
                with contextlib.suppress(StorageError):
                    requeue(found, sampler.asked)
            if not isinstance(error, Exception) or isinstance(error, InputError | KeyError):
                raise
            raise InputError(f"{found.study_name}: {refusal(error)}") from error

    def _surplus(self, found: OptunaStudy, trial: Trial, trials: int) -> bool:
        """Whether others had taken the last places, or this one: a storage gives numbers in one order to all."""
        counted = {each.number: origin(each) for each in active_trials(found.get_trials(deepcopy=False))}
        if trial.number not in counted:
            return True
        return sum(first < counted[trial.number] for first in counted.values()) >= trials

    def _train(self, found: OptunaStudy, study: Study, search: Search, asked: Sequence[Trial]) -> None:
        members: dict[Trial, list[Run]] = {}
        for trial in asked:
            try:
                configs = search.configs(trial.params, study.seeds, study.epochs)
                capacity.require_training(configs[0], len(configs), self.device)
            except InputError as error:
                self._fail(found, trial, str(error))
            else:
                members[trial] = [Run.create(self.runs, config) for config in configs]
        ends: dict[Trial, int] = {}  # after which epoch a trial was pruned
        lost: set[Trial] = set()

        def report(trial: Trial, epoch: int, value: float) -> bool:
            """Whether the trial goes on."""
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # a resumed trial tells an epoch again
                    trial.report(value, epoch)
            except UpdateFinishedTrialError:
                lost.add(trial)
                return False
            if epoch < study.epochs and trial.should_prune():
                ends[trial] = epoch
                return False
            return True

        def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> Collection[Run]:
            leave: list[Run] = []
            for trial, runs in members.items():
                there = [run for run in runs if run in metrics]
                if any(run.failure for run in runs):
                    leave += there  # the trial has failed with them
                elif len(there) == len(runs):
                    value = fmean(score_of(metrics[run], study.metric) for run in runs)
                    leave += [] if report(trial, epoch, value) else runs
            return leave

        for trial, runs in members.items():  # what another study, or an earlier attempt, has trained of them
            reported = trial.storage.get_trial(trial._trial_id).intermediate_values
            for epoch, value in known_scores(runs, study.metric):
                if epoch not in reported and not report(trial, epoch, value):
                    break
        configs = [run.config for trial, runs in members.items() if trial not in lost | ends.keys() for run in runs]
        if configs:
            self._train_runs(configs, prune)
        for trial, runs in members.items():
            if trial in lost or not self._tell(found, study, trial, runs, ends.get(trial)):
                self._message(f"{found.study_name} trial {trial.number}: taken for dead, and given to another")

    def _train_runs(self, configs: Sequence[Config], prune: Prune) -> None:
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

    def _tell(self, found: OptunaStudy, study: Study, trial: Trial, runs: Sequence[Run], end: int | None) -> bool:
        """Tell what came out, after the last epoch or the one that it was pruned after; whether it was still ours."""
        try:
            trial.set_user_attr(RUNS, [run.folder.name for run in runs])
            failures = [run.failure["message"] for run in runs if run.failure is not None]
            if failures:
                return self._fail(found, trial, failures[0])
            last = [metrics_after(run, end) for run in runs]
            values = {str(run.config.seed): score_of(own, study.metric) for run, own in zip(runs, last, strict=True)}
            trial.set_user_attr(VALUES, values)
            trial.set_user_attr(METRICS, {name: fmean(own[name] for own in last) for name in last[0]})
            self.saved(found, trial, runs)
        except UpdateFinishedTrialError:
            return False
        value = fmean(values.values())
        state = TrialState.COMPLETE if end is None else TrialState.PRUNED
        told_as = found.tell(trial, value if end is None else None, state, skip_if_finished=True).state
        what = "complete" if end is None else f"pruned after epoch {end}"
        score, params = shown_value(study, value), format_params(trial.params)
        self._message(f"{found.study_name} trial {trial.number}: {score}, {what}; {params}")
        return told_as == state

    def _fail(self, found: OptunaStudy, trial: Trial, reason: str) -> bool:
        """Tell why a trial failed; whether it was still ours."""
        try:
            trial.set_user_attr(FAILURE, redact_secrets(reason))
        except UpdateFinishedTrialError:
            return False
        found.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        self._message(f"{found.study_name} trial {trial.number}: failed, {redact_secrets(reason)}")
        return True

    def _message(self, text: str) -> None:
        if self.progress is not None:
            self.progress.message(text)

    def _tell_progress(self, found: OptunaStudy, study: Study, trials: int) -> None:
        ended = done(found.get_trials(deepcopy=False)) if self.progress is not None else []
        if self.progress is not None and len(ended) != self._told:
            values = [value_of(trial) for trial in ended if trial.state == TrialState.COMPLETE]
            best = shown_value(study, max(values)) if values else None
            self.progress.study(found.study_name, len(ended), trials, best)
            self._told = len(ended)
