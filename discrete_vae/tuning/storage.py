"""Where studies are kept: an SQLite file, PostgreSQL, or a gRPC proxy; and what happens when a database is away."""

from __future__ import annotations

import functools
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from discrete_vae.errors import InputError
from discrete_vae.files import writable
from discrete_vae.runs import hidden

DEFAULT = "studies.sqlite"
GRACE = 120.0
"""Seconds without a sign of life after which a worker is taken for dead."""
RETRIES = 3
"""How often a trial is taken up again whose worker has died: it may be what kills them."""
PATIENCE = 600.0
"""Seconds that are waited for a database that does not answer."""

WORKER = "worker"
"""A trial's attribute: who has it. Set with its first sign of life."""


@contextmanager
def experimental() -> Iterator[None]:
    """Use what Optuna calls experimental without its saying so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class PatientStorage(RDBStorage):
    """An ``RDBStorage`` whose calls wait for a database that does not answer, as long as ``patience``."""

    patience = PATIENCE


def _patiently(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        began, pause = time.monotonic(), 0.5
        while True:
            try:
                return method(self, *args, **kwargs)
            except UpdateFinishedTrialError:
                if pause > 0.5 and method.__name__ == "set_trial_state_values":
                    return True  # it was written before the answer was lost
                raise
            except (StorageInternalError, DBAPIError) as error:
                if not _away(error):
                    raise
                waited = time.monotonic() - began
                if waited > self.patience:
                    raise InputError(
                        f"{hidden(str(self.url))} has not answered for {waited:.0f} s; start it again, then the same "
                        "command goes on from there"
                    ) from error
                if pause == 0.5:
                    print(f"{hidden(str(self.url))} does not answer; waiting for it", file=sys.stderr, flush=True)
            time.sleep(pause)
            pause = min(2 * pause, 10)

    return call


for _name, _method in list(vars(RDBStorage).items()):
    if callable(_method) and (
        _name in BaseStorage.__abstractmethods__
        or _name in ("record_heartbeat", "_get_stale_trial_ids", "_create_new_trial", "_set_trial_param", "_get_trials")
    ):
        setattr(PatientStorage, _name, _patiently(_method))


def _away(error: BaseException | None) -> bool:
    """Whether a database did not answer, rather than refuse."""
    while error is not None:
        if isinstance(error, DBAPIError):
            return isinstance(error, OperationalError) or error.connection_invalidated
        error = error.__cause__
    return False


def open_storage(url: str | None, grace: float = GRACE, make: bool = True) -> BaseStorage:
    """A storage by its URL or, for SQLite, the file's path, which is made if it is not there.

    Raises ``InputError`` for a URL that cannot be read, for a storage that cannot be reached and, unless it may be
    made, for a file that is not there.
    """
    url = url or DEFAULT
    if url.startswith("grpc://"):
        return _proxy(url)
    if "://" not in url:
        url = f"sqlite:///{url}"
    unreadable = InputError(
        f"storage {hidden(url)!r} cannot be read; give a file, postgresql+psycopg://user@host/database, or "
        "grpc://host:port"
    )
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise unreadable from None
    lite = parsed.get_backend_name() == "sqlite"
    if lite and not make and not Path(parsed.database or "").exists():
        raise InputError(f"there is no file {parsed.database}; python -m studies run NAME makes one")
    if lite and make and parsed.database:
        with writable(Path(parsed.database).parent):
            pass
    interval = max(1, round(grace / 4))
    try:
        with experimental():
            storage = PatientStorage(
                url,
                engine_kwargs={"connect_args": {"timeout": 60}} if lite else {"pool_pre_ping": True},
                heartbeat_interval=interval,
                grace_period=max(2, round(grace)),
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(RETRIES, True),
            )
    except ArgumentError:
        raise unreadable from None
    except ImportError as error:
        raise InputError(f"storage {hidden(url)!r} wants a package that is not installed: {error}") from error
    except (DBAPIError, StorageInternalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"storage {hidden(url)!r} cannot be opened: {hidden(reason)[:200]}") from error
    return optuna.storages.get_storage(storage)


def backend(storage: BaseStorage) -> BaseStorage:
    """What is behind Optuna's cache."""
    found: BaseStorage = getattr(storage, "_backend", storage)
    return found


PORT = 13000
"""At which a proxy listens."""


def serve(storage: BaseStorage, host: str, port: int) -> None:
    """Serve a storage by gRPC until the process ends. Raises ``InputError`` where the address is taken."""
    try:
        with experimental():
            optuna.storages.run_grpc_proxy_server(storage, host=host, port=port)
    except ImportError:
        raise InputError("a proxy wants grpcio and protobuf; pip install 'discrete-vae[studies]'") from None
    except RuntimeError as error:
        raise InputError(f"a proxy cannot listen at {host}:{port} ({error}); give another --host or --port") from error


def _proxy(url: str) -> BaseStorage:
    host, _, port = url.removeprefix("grpc://").partition(":")
    try:
        with experimental():
            storage = GrpcStorageProxy(host=host, port=int(port or PORT))
        storage.wait_server_ready(timeout=30)
    except ValueError:
        raise InputError(f"storage {url!r} cannot be read; give grpc://host:port") from None
    except ImportError:
        raise InputError(f"storage {url!r} wants grpcio and protobuf; pip install 'discrete-vae[studies]'") from None
    except ConnectionError:
        raise InputError(f"storage {url!r} does not answer; start one: python -m studies proxy --storage URL") from None
    print(
        f"{url}: a proxy passes no signs of life on, so a trial whose worker is killed stays RUNNING; "
        "`python -m studies clean NAME --stale` beside the database takes it up again",
        file=sys.stderr,
    )
    return storage


@contextmanager
def alone(storage: BaseStorage) -> Iterator[bool]:
    """Whether no other worker uses the same SQLite file, which says so for as long as the context lasts."""
    behind = backend(storage)
    url = make_url(str(behind.url)) if isinstance(behind, RDBStorage) else None
    if url is None or url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        yield False
        return
    lock = FileLock(f"{Path(url.database)}.worker.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        print(
            f"another worker uses {url.database}, and SQLite lets one write at a time: for several workers give "
            "--storage postgresql+psycopg://USER@HOST/DATABASE",
            file=sys.stderr,
        )
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def heartbeat(storage: BaseStorage) -> float | None:
    """Seconds between two signs of life; None for a storage that keeps none."""
    interval: float | None = getattr(storage, "get_heartbeat_interval", lambda: None)()
    return interval


class SignsOfLife:
    """Tells a storage that trials are being worked on: Optuna does so in ``optimize`` only, not for ask and tell."""

    def __init__(self, storage: BaseStorage, trials: Sequence[int]) -> None:
        self.storage, self.trials = storage, trials
        self.interval = heartbeat(storage)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> None:
        if self.interval is not None:
            self._once()
            self.thread.start()

    def __exit__(self, *error: object) -> None:
        self.over.set()
        if self.thread.is_alive():
            self.thread.join()

    def _beat(self) -> None:
        while not self.over.wait(self.interval):
            self._once()

    def _once(self) -> None:
        for trial in self.trials:
            self.storage.record_heartbeat(trial)  # type: ignore[attr-defined]


def revive(study: OptunaStudy, everything: bool = False) -> int:
    """Have trials whose worker has died tried again; gives how many trials are still being worked on.

    ``everything`` takes all that are running for dead. Trials that got no first sign of life are known by their age.
    """
    storage = study._storage
    with experimental():
        optuna.storages.fail_stale_trials(study)
    running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    limit = datetime.now() - timedelta(seconds=getattr(backend(storage), "grace_period", None) or GRACE)
    for trial in running:
        unheard = WORKER not in trial.user_attrs and trial.datetime_start is not None and trial.datetime_start < limit
        if everything or unheard:
            again(study, trial)
    return len(study.get_trials(deepcopy=False, states=[TrialState.RUNNING]))


def again(study: OptunaStudy, trial: FrozenTrial) -> None:
    """Give a running trial back, to be taken up again from its checkpoints; it is then another trial."""
    storage = study._storage
    try:
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    except UpdateFinishedTrialError:
        return
    with experimental():
        RetryHeartbeatStaleTrialCallback(None, True)(study, storage.get_trial(trial._trial_id))
