"""One process at a time: locks beside an SQLite file, and PostgreSQL's advisory lock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.storages import BaseStorage
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from discrete_vae.files import check_room, writable
from discrete_vae.tuning.storage.inspection import sqlite_file
from discrete_vae.tuning.storage.refusals import StorageError

LOCK = 0x6476_6165
"""The number of PostgreSQL's advisory lock."""


@contextmanager
def exclusively(url: URL, engine: Engine | None = None) -> Iterator[None]:
    """Hold this database alone among all processes, for a short task; others wait.

    An SQLite file has a lock file beside it, PostgreSQL an advisory lock; other databases have none. Raises
    ``StorageError`` if another process holds the file for a minute.
    """
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database)).resolve()
        check_room(file.parent)  # for a lock waits where it cannot be made
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


@contextmanager
def single_process(storage: BaseStorage) -> Iterator[bool]:
    """Warn if another worker uses the same SQLite file, and register this one; gives whether there is no other."""
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
