"""Where studies are kept: an SQLite file, PostgreSQL, or a gRPC proxy; and what happens when a database is away."""

from __future__ import annotations

import functools
import importlib
import logging
import math
import socket
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import optuna
from filelock import FileLock, Timeout
from optuna.exceptions import OptunaError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from discrete_vae.errors import InputError
from discrete_vae.files import writable
from discrete_vae.places import as_file
from discrete_vae.secrets import is_doubtful, looks_like_connection, redact_secrets, redact_url, remember
from discrete_vae.tuning.schema import Content, content

GRACE = 120.0
"""Seconds without a sign of life after which a worker is taken for dead."""
PATIENCE = 600.0
"""Seconds that are waited for a database that does not answer."""
HISTORY = "retry_history"
"""A trial's attribute: the numbers that it had before it was taken up again, Optuna's name for them."""
LOCK = 0x6476_6165
"""The number of PostgreSQL's advisory lock."""

# Its fallback for queries that are too long is also tried, with a word, for a database that is broken.
logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)


class StorageError(InputError):
    """A storage refused: no trial is to blame, and the same command goes on once it works again."""


@contextmanager
def experimental() -> Iterator[None]:
    """Use what Optuna calls experimental without its saying so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextmanager
def exclusively(url: URL, engine: Engine | None = None) -> Iterator[None]:
    """Be the only one of all processes that use this database, which others wait for; for a moment's work.

    An SQLite file has a lock file beside it, PostgreSQL an advisory lock; other databases have none.
    """
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database)).resolve()
        with writable(file.parent):
            try:
                lock = FileLock(f"{file}.lock", timeout=60)
                lock.acquire()
            except Timeout:
                raise StorageError(f"{file}.lock has been held for 60 s; see which process hangs and end it") from None
        try:
            yield
        finally:
            lock.release()
    elif url.get_backend_name() == "postgresql":
        assert engine is not None
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            yield
    else:
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

    What it refuses is a ``StorageError``.
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
                if not _away(error):
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
            except _UNREADABLE as error:
                if isinstance(error, InputError) or _missing(error):
                    raise
                raise _unusable(redact_url(str(self.url)), error) from error
            else:
                if pause > 0.5:
                    self.returned = time.monotonic()
                return found
            time.sleep(pause)
            pause = min(2 * pause, 10)

    return call


_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, AssertionError, OverflowError, RecursionError)
"""What Optuna raises for rows of which it can make nothing, and for trials that do not fit a study."""


def _missing(error: BaseException) -> bool:
    """Whether what was asked for is not there."""
    return isinstance(error, KeyError) and "Record does not exist" in str(error)


def _unusable(shown: str, error: BaseException) -> StorageError:
    reason = ": ".join(filter(None, [type(error).__name__, _reason(error)]))
    return StorageError(
        f"storage {shown!r} holds what Optuna cannot use ({reason}); restore it, or name another --storage"
    )


def _reason(error: BaseException) -> str:
    """An error of a driver in one line, without secrets and without the statement that failed."""
    cause: BaseException = error
    while isinstance(cause, StorageInternalError) and cause.__cause__ is not None:
        cause = cause.__cause__
    told = str(cause.orig if isinstance(cause, DBAPIError) and cause.orig is not None else cause)
    return redact_secrets(" ".join(told.split()))[:200]


def _refused(storage: RDBStorage, error: BaseException) -> StorageError:
    """What to do about a database that answered, but would not do what it was asked."""
    reason, file = _reason(error), sqlite_file(storage)
    if file is not None and not file.exists():
        reason, remedy = f"the file was removed or moved while it was in use ({reason})", "put it back"
    else:
        remedy = _remedy(reason)
    return StorageError(f"storage {redact_url(str(storage.url))!r}: {reason}; {remedy}, then the same command goes on")


def _remedy(reason: str) -> str:
    """What to do where a database says this."""
    if "full" in reason:
        return "make room on its disk"
    if "readonly" in reason or "read-only" in reason or "permission" in reason:
        return "make it writable, or put back the file that was there"
    if "malformed" in reason or "not a database" in reason:
        return "restore it from a copy"
    return "see to it"


_Storage = TypeVar("_Storage", bound=type[BaseStorage])


def _wrapped(kind: _Storage, wrap: Callable[[Callable[..., Any]], Callable[..., Any]], *names: str) -> _Storage:
    """A storage whose calls, those of its interface and these, are wrapped."""
    for name in (*BaseStorage.__abstractmethods__, *names):
        setattr(kind, name, wrap(getattr(kind, name)))
    return kind


_wrapped(
    PatientStorage,
    _patiently,
    "record_heartbeat",
    "_get_stale_trial_ids",
    "_create_new_trial",
    "_set_trial_param",
    "_get_trials",
    "_get_best_trial_id",
)


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


def parse(url: str) -> URL:
    """The URL of a database, from one or from an SQLite file's path.

    Raises ``InputError`` for one that cannot be read, that could be read in two ways, and that keeps nothing.
    """
    shown = redact_url(url)
    remedy = "give a file, postgresql+psycopg://user@host/database, or grpc://host:port"
    if not url.strip():
        raise InputError(f"storage is {url!r}; {remedy}: is a variable unset?")
    if "://" not in url:
        if url == ":memory:" or looks_like_connection(url):
            raise InputError(f"storage {shown!r} is no file's name; {remedy} (./a:b for a file with a colon)")
        return URL.create("sqlite", database=str(as_file(url)))
    if is_doubtful(url):
        raise InputError(
            f"storage {shown!r} cannot be read without doubt; write %40 for an at sign in a name or a password, %3A "
            f"for a colon, %2F for a slash, %3F for a question mark; {remedy}"
        )
    try:
        parsed = make_url(url)
        backend_name = parsed.get_backend_name()
    except (ArgumentError, ValueError, AttributeError):
        raise InputError(f"storage {shown!r} cannot be read; {remedy}") from None
    if backend_name == "sqlite":
        file = str(parsed.database or "")
        if (
            not file.strip()
            or ":memory:" in file
            or file.startswith("file:")
            or "memory" in parsed.query.get("mode", "")
        ):
            raise InputError(f"storage {shown!r} names no file, so that a study would be lost; {remedy}")
        if parsed.host or parsed.username or parsed.password or parsed.query:
            raise InputError(f"storage {shown!r} cannot be read: a file has no host and no parameters; give its name")
        if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
            raise InputError(f"storage {shown!r} cannot be read: give the file's name alone")
        as_file(file)
    return parsed


def open_storage(url: str, grace: float = GRACE, make: bool = True) -> BaseStorage:
    """A storage by its URL or, for SQLite, the file's path, which is made if it is not there.

    Raises ``InputError`` for a URL that cannot be read, for a storage that cannot be reached, for a database that
    another program uses and, unless it may be made, for one that holds no studies: then nothing is written.
    """
    remember("--storage", url)
    if url.startswith("grpc://"):
        return _proxy(url)
    parsed, shown = parse(url), redact_url(url)
    try:
        found = content(parsed, shown)
        if found != Content.STORAGE and not make:
            missing = sqlite_path(parsed) is not None and not Path(str(parsed.database)).exists()
            what = f"there is no file {parsed.database}" if missing else f"storage {shown!r} holds no studies"
            raise InputError(f"{what}; python -m studies run NAME makes {'one' if missing else 'them'}")
        return _connected(parsed, grace) if found == Content.STORAGE else _made(parsed, shown, grace)
    except ArgumentError:
        raise InputError(
            f"storage {shown!r} cannot be read; give a file, postgresql+psycopg://user@host/database, or "
            "grpc://host:port"
        ) from None
    except ImportError as error:
        raise InputError(
            f"storage {shown!r} wants a package that is not installed: {redact_secrets(str(error))}"
        ) from error
    except (SQLAlchemyError, OptunaError, RuntimeError, *_UNREADABLE) as error:
        if isinstance(error, InputError):
            raise
        reason = _reason(error)
        raise InputError(
            f"storage {shown!r} cannot be opened: {reason}; {_remedy(reason)}, or name another --storage"
        ) from error


def _made(url: URL, shown: str, grace: float) -> BaseStorage:
    """A new storage: one process makes the tables, and those that began at the same time wait for it."""
    if (file := sqlite_path(url)) is not None:
        with writable(file.parent):
            pass
    engine = None if file is not None else create_engine(url, poolclass=NullPool)
    try:
        with exclusively(url, engine):
            content(url, shown)  # once more: another may have come first, with tables of its own
            return _connected(url, grace, make=True)
    finally:
        if engine is not None:
            engine.dispose()


def _connected(url: URL, grace: float, make: bool = False) -> BaseStorage:
    interval = max(1, round(grace / 4))
    with experimental():
        storage = PatientStorage(
            # braces: Optuna takes it for a template
            url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}"),
            engine_kwargs={"pool_pre_ping": True} if sqlite_path(url) is None else {"connect_args": {"timeout": 60}},
            heartbeat_interval=interval,
            grace_period=max(2, round(grace)),
            skip_table_creation=not make,
        )
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


def check_address(host: str, port: int) -> None:
    """Raise ``InputError`` for an address at which this machine cannot listen."""
    try:
        if not host.strip():
            raise ValueError("it is empty")
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(found[0][0], socket.SOCK_STREAM) as probe:
            probe.bind((found[0][4][0], 0))
    except (OSError, ValueError) as error:
        raise InputError(f"a proxy cannot listen at host {host!r} ({error}); give localhost or 0.0.0.0") from error


def serve(storage: BaseStorage, host: str, port: int) -> None:
    """Serve a storage by gRPC until the process ends. Raises ``InputError`` where the address is taken."""
    logging.getLogger("grpc._server").addFilter(_briefly)
    try:
        with experimental():
            optuna.storages.run_grpc_proxy_server(storage, host=host, port=port)
    except ImportError:
        raise InputError("a proxy wants grpcio and protobuf; pip install 'discrete-vae[studies]'") from None
    except RuntimeError as error:
        raise InputError(f"a proxy cannot listen at {host}:{port} ({error}); give another --host or --port") from error


def _briefly(record: logging.LogRecord) -> bool:
    """Have gRPC tell in a line what a storage refused; who called is told too."""
    record.exc_info = record.exc_text = None
    return True


class ProxiedStorage(GrpcStorageProxy):
    """A storage behind a proxy; what the proxy or its storage refuses is a ``StorageError``."""


def _proxied(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: ProxiedStorage, *args: Any, **kwargs: Any) -> Any:
        grpc = importlib.import_module("grpc")
        shown = f"grpc://{self._host}:{self._port}"
        try:
            return method(self, *args, **kwargs)
        except grpc.RpcError as error:
            code, told = getattr(error, "code", lambda: None)(), getattr(error, "details", lambda: None)()
            if code == grpc.StatusCode.UNAVAILABLE or told is None:
                raise StorageError(f"{shown}: the proxy has gone; start it again, then the same command") from error
            told = redact_secrets(" ".join(str(told).removeprefix("Exception calling application: ").split()))
            raise StorageError(f"{shown}: {told}") from error
        except _UNREADABLE as error:
            if isinstance(error, InputError | KeyError):
                raise
            raise _unusable(shown, error) from error

    return call


_wrapped(ProxiedStorage, _proxied)


def _proxy(url: str) -> BaseStorage:
    shown = redact_url(url)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, PORT if parts.port is None else parts.port
        if not host or not port or "@" in url or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError
        with experimental():
            storage = ProxiedStorage(host=f"[{host}]" if ":" in host else host, port=port)
        storage.wait_server_ready(timeout=30)
    except ValueError:
        raise InputError(f"storage {shown!r} cannot be read; give grpc://host:port") from None
    except ImportError:
        raise InputError(f"storage {shown!r} wants grpcio and protobuf; pip install 'discrete-vae[studies]'") from None
    except ConnectionError:
        raise InputError(
            f"storage {shown!r} does not answer; start one: python -m studies proxy --storage URL"
        ) from None
    print(
        f"{shown}: a proxy is not waited for if it goes away, and passes no signs of life on, so that a trial "
        "whose worker is killed stays RUNNING; "
        "`python -m studies clean NAME --stale` beside the database takes it up again",
        file=sys.stderr,
    )
    return storage


def sqlite_path(url: URL) -> Path | None:
    """The file of a database that is one; None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def sqlite_file(storage: BaseStorage) -> Path | None:
    """The file of a storage that is one; None for a server."""
    behind = backend(storage)
    return sqlite_path(make_url(str(behind.url))) if isinstance(behind, RDBStorage) else None


@contextmanager
def single_process(storage: BaseStorage) -> Iterator[bool]:
    """Warn where another worker uses the same SQLite file, and be known to the next; gives whether none does."""
    file = sqlite_file(storage)
    if file is None:
        yield False
        return
    lock = FileLock(f"{file}.worker.lock", timeout=0)
    try:
        with writable(file.parent):
            try:
                lock.acquire()
            except Timeout:  # an OSError too, but not one of the disk
                print(
                    f"another worker uses {file}, and SQLite lets one write at a time: for several workers give "
                    "--storage postgresql+psycopg://USER@HOST/DATABASE",
                    file=sys.stderr,
                )
        yield lock.is_locked
    finally:
        lock.release()


@contextmanager
def reached(name: str) -> Iterator[None]:
    """Turn a study that was removed meanwhile into an ``InputError``."""
    try:
        yield
    except KeyError as error:
        if _missing(error) or error.__cause__ is not None:  # behind a proxy it has no text
            raise InputError(f"{name} was removed from the storage while it was worked on") from error
        raise


def heartbeat(storage: BaseStorage) -> float | None:
    """Seconds between two signs of life; None for a storage that keeps none."""
    interval: float | None = getattr(storage, "get_heartbeat_interval", lambda: None)()
    return interval
