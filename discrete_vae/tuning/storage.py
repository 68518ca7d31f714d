"""Where studies are kept: an SQLite file, PostgreSQL, or a gRPC proxy; and what happens when a database is away."""

from __future__ import annotations

import functools
import math
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from discrete_vae.errors import InputError
from discrete_vae.files import writable
from discrete_vae.runs import hidden

GRACE = 120.0
"""Seconds without a sign of life after which a worker is taken for dead."""
PATIENCE = 600.0
"""Seconds that are waited for a database that does not answer."""


@contextmanager
def experimental() -> Iterator[None]:
    """Use what Optuna calls experimental without its saying so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class PatientStorage(RDBStorage):
    """An ``RDBStorage`` whose calls wait for a database that does not answer, as long as ``patience``."""

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
            else:
                if pause > 0.5:
                    self.returned = time.monotonic()
                return found
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
    """Whether a database did not answer, or was busy, rather than refuse."""
    while error is not None and not isinstance(error, DBAPIError):
        error = error.__cause__
    if error is None:
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return "locked" in str(error.orig)
    # Classes 08: connection, 40: to be repeated, 57P: shut down or starting; 53300: too many. No class: no connection.
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        return not any(word in str(error.orig) for word in ("authentication", "does not exist", "no password"))
    return str(state).startswith(("08", "40", "57P", "53300"))


def open_storage(url: str, grace: float = GRACE, make: bool = True) -> BaseStorage:
    """A storage by its URL or, for SQLite, the file's path, which is made if it is not there.

    Raises ``InputError`` for a URL that cannot be read, for a storage that cannot be reached and, unless it may be
    made, for a file that is not there.
    """
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
    except (ArgumentError, ValueError):
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
                url.replace("{", "{{").replace("}", "}}"),  # which Optuna takes for a template
                engine_kwargs={"connect_args": {"timeout": 60}} if lite else {"pool_pre_ping": True},
                heartbeat_interval=interval,
                grace_period=max(2, round(grace)),
            )
    except ArgumentError:
        raise unreadable from None
    except ImportError as error:
        raise InputError(f"storage {hidden(url)!r} wants a package that is not installed: {error}") from error
    except (DBAPIError, StorageInternalError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise InputError(f"storage {hidden(url)!r} cannot be opened: {hidden(reason)[:200]}") from error
    return optuna.storages.get_storage(storage)


def hasten(storage: BaseStorage) -> None:
    """Wait for a database no longer: we are about to stop."""
    behind = backend(storage)
    if isinstance(behind, PatientStorage):
        behind.patience = 5.0


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
        raise InputError(f"storage {hidden(url)!r} cannot be read; give grpc://host:port") from None
    except ImportError:
        raise InputError(
            f"storage {hidden(url)!r} wants grpcio and protobuf; pip install 'discrete-vae[studies]'"
        ) from None
    except ConnectionError:
        raise InputError(
            f"storage {hidden(url)!r} does not answer; start one: python -m studies proxy --storage URL"
        ) from None
    print(
        f"{hidden(url)}: a proxy is not waited for if it goes away, and passes no signs of life on, so that a trial "
        "whose worker is killed stays RUNNING; "
        "`python -m studies clean NAME --stale` beside the database takes it up again",
        file=sys.stderr,
    )
    return storage


def sqlite_file(storage: BaseStorage) -> Path | None:
    """The file of a storage that is one; None for a server, and for one in memory."""
    behind = backend(storage)
    if not isinstance(behind, RDBStorage):
        return None
    url = make_url(str(behind.url))
    lite = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return Path(str(url.database)) if lite else None


@contextmanager
def alone(storage: BaseStorage) -> Iterator[bool]:
    """Warn where another worker uses the same SQLite file, and be known to the next; gives whether none does."""
    file = sqlite_file(storage)
    if file is None:
        yield False
        return
    lock = FileLock(f"{file}.worker.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        print(
            f"another worker uses {file}, and SQLite lets one write at a time: for several workers give "
            "--storage postgresql+psycopg://USER@HOST/DATABASE",
            file=sys.stderr,
        )
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def reached(name: str) -> Iterator[None]:
    """Turn a proxy that has gone, and a study that was removed meanwhile, into an ``InputError``."""
    try:
        yield
    except Exception as error:
        grpc = sys.modules.get("grpc")
        if grpc is not None and isinstance(error, grpc.RpcError):
            raise InputError(f"{name}: the proxy has gone; start it again, then the same command") from error
        if isinstance(error, KeyError) and "Record does not exist" in str(error):
            raise InputError(f"{name} was removed from the storage while it was worked on") from error
        raise


def heartbeat(storage: BaseStorage) -> float | None:
    """Seconds between two signs of life; None for a storage that keeps none."""
    interval: float | None = getattr(storage, "get_heartbeat_interval", lambda: None)()
    return interval
