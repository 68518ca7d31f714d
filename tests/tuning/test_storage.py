"""Storages: URLs that cannot be used, passwords that are not shown, and SQLite's single worker."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from discrete_vae.errors import InputError
from discrete_vae.tuning import open_storage, single_process
from discrete_vae.tuning.storage.refusals import is_away


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://user:secret@127.0.0.1:1/none", "cannot be opened"),
        ("nonsense://user:secret@host", "cannot be"),
        ("grpc://host:many", "cannot be read"),
        ("grpc://me:secret@127.0.0.1:many", "cannot be read"),
        ("postgresql+psycopg://user:secret@127.0.0.1:port/none", "cannot be read"),
        ("postgresql+psycopg://user:secret{1}@127.0.0.1:1/none", "cannot be opened"),
        ("/dev/null/study.db", "Not a directory"),
        ("/dev", "is a folder"),
    ],
)
def test_a_storage_that_cannot_be_used(url, reason) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_made_where_something_is_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        open_storage(str(tmp_path / "study.db"), make=False)
    assert not list(tmp_path.iterdir())


def test_what_asks_for_patience() -> None:
    """A lock and a server that is not there, but no refusal; SQLite's own words, and PostgreSQL's classes."""

    def error(cause: Exception) -> OperationalError:
        return OperationalError("select", {}, cause)

    assert is_away(error(sqlite3.OperationalError("database is locked")))
    assert not is_away(error(sqlite3.OperationalError("attempt to write a readonly database")))
    assert not is_away(error(sqlite3.OperationalError("database or disk is full")))
    assert is_away(error(psycopg.errors.AdminShutdown("terminating connection")))
    assert is_away(error(psycopg.OperationalError("connection failed: Connection refused")))
    assert not is_away(error(psycopg.OperationalError("password authentication failed for user")))
    assert not is_away(error(psycopg.errors.DiskFull("could not extend file")))
    assert not is_away(ValueError("another thing"))


def test_a_second_worker_on_sqlite_is_warned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (open_storage(str(tmp_path / "study.db")) for _ in range(2))
    with single_process(first) as only:
        assert only
        assert not capsys.readouterr().err
        with single_process(second) as only:
            assert not only
        told = capsys.readouterr().err
    assert "postgresql+psycopg" in told
    with single_process(second) as only:
        assert only
