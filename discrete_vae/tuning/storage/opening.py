"""Open a storage by its address, or make it; and the error if it cannot be opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from discrete_vae.errors import InputError
from discrete_vae.files import writable
from discrete_vae.secrets import redact_secrets, redact_url, remember
from discrete_vae.tuning.storage.address import parse, sqlite_path
from discrete_vae.tuning.storage.database import PatientStorage, experimental
from discrete_vae.tuning.storage.locks import exclusively
from discrete_vae.tuning.storage.proxy import connect
from discrete_vae.tuning.storage.refusals import UNREADABLE, is_missing, reason_of, remedy_of
from discrete_vae.tuning.storage.schema import Content, content

GRACE = 120.0
"""Seconds without a sign of life after which a worker is taken for dead."""


def open_storage(url: str, grace: float = GRACE, make: bool = True) -> BaseStorage:
    """A storage by its URL or, for SQLite, the file's path, which is made if it is not there.

    Raises ``InputError`` for a URL that cannot be read, for a storage that cannot be reached, for a database that
    another program uses and, unless it may be made, for one that holds no studies: then nothing is written.
    """
    remember("--storage", url)
    if url.startswith("grpc://"):
        return connect(url)
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
            f"storage {shown!r} needs a package that is not installed: {redact_secrets(str(error))}"
        ) from error
    except (SQLAlchemyError, OptunaError, RuntimeError, *UNREADABLE) as error:
        if isinstance(error, InputError):
            raise
        reason = reason_of(error)
        raise InputError(
            f"storage {shown!r} cannot be opened: {reason}; {remedy_of(reason)}, or name another --storage"
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


@contextmanager
def reached(name: str) -> Iterator[None]:
    """Turn a study that was removed meanwhile into an ``InputError``."""
    try:
        yield
    except KeyError as error:
        if is_missing(error) or error.__cause__ is not None:  # behind a proxy it has no text
            raise InputError(f"{name} was removed from the storage while it was worked on") from error
        raise
