"""Storages: URLs that cannot be used, passwords that are not shown, and SQLite's single worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from discrete_vae.errors import InputError
from discrete_vae.runs import hidden
from discrete_vae.tuning import alone, open_storage


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://user:secret@127.0.0.1:1/none", "cannot be opened"),
        ("nonsense://user:secret@host", "cannot be"),
        ("grpc://host:many", "cannot be read"),
        ("/dev/null/study.db", "cannot write /dev/null"),
        ("/dev", "cannot be opened"),
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


def test_passwords_are_hidden() -> None:
    assert (
        hidden("--storage postgresql+psycopg://me:p:a/ss@host/db x")
        == "--storage postgresql+psycopg://me:***@host/db x"
    )
    assert hidden("sqlite:///file.db grpc://host:13000") == "sqlite:///file.db grpc://host:13000"


def test_a_second_worker_on_sqlite_is_warned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (open_storage(str(tmp_path / "study.db")) for _ in range(2))
    with alone(first) as only:
        assert only
        assert not capsys.readouterr().err
        with alone(second) as only:
            assert not only
        told = capsys.readouterr().err
    assert "postgresql+psycopg" in told
    with alone(second) as only:
        assert only
