"""Signs of life, and what becomes of trials whose worker has died or was stopped: they are tried again."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.secrets import redact_secrets
from discrete_vae.tuning.attributes import (
    DEATHS,
    FAILURE,
    STOPPED,
    SURPLUS,
    WORKER,
    deaths_of,
    history_of,
    worker_of,
)
from discrete_vae.tuning.storage import GRACE, HISTORY, backend, experimental, heartbeat, sqlite_file

RETRIES = 3
"""How often a trial whose worker died is tried again: the trial may be what kills workers."""


class SignsOfLife:
    """Tells a storage that trials are being worked on: Optuna does so in ``optimize`` only, not for ask and tell."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage, self.interval = storage, heartbeat(storage)
        self.trials: list[int] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> SignsOfLife:
        if self.interval is not None:
            self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()

    def of(self, trial: int) -> None:
        """Begin with a trial."""
        if self.interval is not None:
            self.storage.record_heartbeat(trial)  # type: ignore[attr-defined]
        self.trials.append(trial)

    def _beat(self) -> None:
        while not self.over.wait(self.interval):
            for trial in list(self.trials):
                with contextlib.suppress(Exception):  # the worker meets the storage's error itself
                    self.storage.record_heartbeat(trial)  # type: ignore[attr-defined]


def origin(trial: FrozenTrial) -> int:
    """The number that a trial had before it was first taken up again, or has."""
    return next(iter(history_of(trial)), trial.number)


def active_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count: without those that were tried again as another, and without surplus ones.

    Where two workers tried the same one again at once, the first of these counts.
    """
    successors: dict[int, int] = {}
    for trial in trials:
        if history := history_of(trial):
            successors.setdefault(history[-1], trial.number)
    taken = set(successors.values())
    return [
        trial
        for trial in trials
        if trial.number not in successors
        and (trial.number in taken or not history_of(trial))
        and SURPLUS not in trial.user_attrs
    ]


def revive(study: OptunaStudy, everything: bool = False) -> int:
    """Try trials again whose worker has died; gives the number of trials that are still being worked on.

    A trial is dead without a sign of life for the grace period; in an SQLite file also if its process is gone; and if
    ``everything``, whenever it is running. A trial that has died more than ``RETRIES`` times has failed.
    """
    storage = study._storage
    behind = backend(storage)
    grace = getattr(behind, "grace_period", None) or GRACE
    # After an outage no worker has given a sign of life, and all get time to do so.
    if time.monotonic() > getattr(behind, "returned", -math.inf) + grace:
        with experimental():
            optuna.storages.fail_stale_trials(study)
    limit = datetime.now() - timedelta(seconds=grace)
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        unheard = WORKER not in trial.user_attrs and trial.datetime_start is not None and trial.datetime_start < limit
        if everything or unheard or (sqlite_file(storage) is not None and _gone(trial)):
            _fail(study, trial)
    _retry(study)
    return len(study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))


def this_worker() -> str:
    """The name of this process in a trial's attributes."""
    return f"{platform.node()}:{os.getpid()}"


def _gone(trial: FrozenTrial) -> bool:
    """Whether a trial's worker was a process of this machine that has ended; our own begins with no trial."""
    host, process = worker_of(trial) or ("", 0)
    return host == platform.node() and (process == os.getpid() or not psutil.pid_exists(process))


def requeue(study: OptunaStudy, trial: FrozenTrial, reason: str | None = None) -> None:
    """Give a running trial back, to be taken up again from its checkpoints; it is then another trial.

    One that is given back for a reason counts as dead; after too many deaths it has failed for this reason.
    """
    storage = study._storage
    with contextlib.suppress(UpdateFinishedTrialError):
        if reason is None:
            storage.set_trial_user_attr(trial._trial_id, STOPPED, True)
        elif deaths_of(trial) >= RETRIES:
            storage.set_trial_user_attr(trial._trial_id, FAILURE, redact_secrets(reason))
    _fail(study, trial)
    _retry(study)


def _fail(study: OptunaStudy, trial: FrozenTrial) -> None:
    with contextlib.suppress(UpdateFinishedTrialError):
        study._storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)


def _retry(study: OptunaStudy) -> None:
    """Try every trial again that failed for no reason of its own, as a new one with its values."""
    for trial in active_trials(study.get_trials(deepcopy=False)):
        deaths = deaths_of(trial) + (STOPPED not in trial.user_attrs)
        if trial.state != TrialState.FAIL or FAILURE in trial.user_attrs or deaths > RETRIES:
            continue
        history = [*history_of(trial), trial.number]
        study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                system_attrs={**trial.system_attrs, "failed_trial": history[0], HISTORY: history, DEATHS: deaths},
                intermediate_values=trial.intermediate_values,
            )
        )
