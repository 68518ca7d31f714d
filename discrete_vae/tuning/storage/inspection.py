"""A storage behind Optuna's cache: its database, its file and its signs of life."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import make_url

from discrete_vae.tuning.storage.address import sqlite_path


def backend(storage: BaseStorage) -> BaseStorage:
    """The storage behind Optuna's cache."""
    found: BaseStorage = getattr(storage, "_backend", storage)
    return found


def sqlite_file(storage: BaseStorage) -> Path | None:
    """The file of a storage that is one; None for a server."""
    behind = backend(storage)
    return sqlite_path(make_url(str(behind.url))) if isinstance(behind, RDBStorage) else None


def heartbeat(storage: BaseStorage) -> float | None:
    """Seconds between two signs of life; None for a storage that keeps none."""
    interval: float | None = getattr(storage, "get_heartbeat_interval", lambda: None)()
    return interval
