"""Optuna's database storage, with care for trials that are taken up twice and for a database that is away."""

from __future__ import annotations

import functools
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from discrete_vae.errors import InputError
from discrete_vae.secrets import redact_url
from discrete_vae.tuning.storage.inspection import backend, sqlite_file
from discrete_vae.tuning.storage.locks import exclusively
from discrete_vae.tuning.storage.refusals import (
    UNREADABLE,
    StorageError,
    is_away,
    is_missing,
    reason_of,
    remedy_of,
    unusable,
)

PATIENCE = 600.0
"""Seconds that are waited for a database that does not answer."""
HISTORY = "retry_history"
"""A trial's attribute: the numbers that it had before it was taken up again, Optuna's name for them."""

# It also logs its fallback for queries that are too long when a database is broken.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)


@contextmanager
def experimental() -> Iterator[None]:
    """Use Optuna's experimental parts without its warnings about them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class CarefulStorage(RDBStorage):
    """An ``RDBStorage`` in which a trial is taken up again once, however many workers try to at once.

    It does so for those behind a proxy too, whose calls all end here.
    """

    def _exclusively(self) -> Any:
        return exclusively(make_url(str(self.url)), self.engine)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        history = None if template_trial is None else template_trial.system_attrs.get(HISTORY)
        if not history:
            return super()._create_new_trial(study_id, template_trial)
        with self._exclusively():
            for trial in self.get_all_trials(study_id, deepcopy=False):
                if (known := trial.system_attrs.get(HISTORY)) and known[-1] == history[-1]:
                    return trial
            return super()._create_new_trial(study_id, template_trial)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        # PostgreSQL locks the trial's row between looking at its state and changing it, which SQLite cannot.
        with self._exclusively() if self.engine.name == "sqlite" else nullcontext():
            return super().set_trial_state_values(trial_id, state, values)


class PatientStorage(CarefulStorage):
    """A storage whose calls wait for a database that does not answer, as long as ``patience``.

    Its refusals are ``StorageError``s.
    """

    patience = PATIENCE
    returned = -math.inf
    """When it last answered again, by the monotonic clock."""


def _patiently(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        began, pause = time.monotonic(), 0.5
        while True:
            try:
                found = method(self, *args, **kwargs)
            except UpdateFinishedTrialError:
                if pause > 0.5 and method.__name__ == "set_trial_state_values":
                    # written before the answer was lost, or by another worker
                    return self.get_trial(args[0]).state == kwargs.get("state", args[1:2] and args[1])
                raise
            except (StorageInternalError, SQLAlchemyError) as error:
                if not is_away(error):
                    raise _refused(self, error) from error
                waited = time.monotonic() - began
                if waited > self.patience:
                    raise StorageError(
                        f"{redact_url(str(self.url))} has not answered for {waited:.0f} s; start it again, then the "
                        "same command goes on from there"
                    ) from error
                if pause == 0.5:
                    shown = redact_url(str(self.url))
                    print(f"{shown} does not answer; waiting for it", file=sys.stderr, flush=True)
            except UNREADABLE as error:
                if isinstance(error, InputError) or is_missing(error):
                    raise
                raise unusable(redact_url(str(self.url)), error) from error
            else:
                if pause > 0.5:
                    self.returned = time.monotonic()
                return found
            time.sleep(pause)
            pause = min(2 * pause, 10)

    return call


def _refused(storage: RDBStorage, error: BaseException) -> StorageError:
    """The error, with a remedy, for a database that answered, but refused."""
    reason, file = reason_of(error), sqlite_file(storage)
    if file is not None and not file.exists():
        reason, remedy = f"the file was removed or moved while it was in use ({reason})", "put it back"
    else:
        remedy = remedy_of(reason)
    return StorageError(f"storage {redact_url(str(storage.url))!r}: {reason}; {remedy}, then the same command goes on")


_Storage = TypeVar("_Storage", bound=type[BaseStorage])


def wrapped(kind: _Storage, wrap: Callable[[Callable[..., Any]], Callable[..., Any]], *names: str) -> _Storage:
    """A storage whose calls, those of its interface and these, are wrapped."""
    for name in (*BaseStorage.__abstractmethods__, *names):
        setattr(kind, name, wrap(getattr(kind, name)))
    return kind


wrapped(
    PatientStorage,
    _patiently,
    "record_heartbeat",
    "_get_stale_trial_ids",
    "_create_new_trial",
    "_set_trial_param",
    "_get_trials",
    "_get_best_trial_id",
)


def hasten(storage: BaseStorage) -> None:
    """Stop waiting for a database: the process is about to stop."""
    behind = backend(storage)
    if isinstance(behind, PatientStorage):
        behind.patience = 5.0
