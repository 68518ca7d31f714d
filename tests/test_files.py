"""Files are whole or absent, and an error names the path and what to do."""

import errno
import os
from pathlib import Path

import pytest

from discrete_vae.errors import InputError
from discrete_vae.files import writable, write_atomically


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up between the first byte and the flush."""

    def fsync(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("content", "stored"), [("π = 3\n", "π = 3\n".encode()), (b"\x00\xff", b"\x00\xff")])
def test_writes_text_as_utf8_and_bytes_as_they_are(tmp_path: Path, content: str | bytes, stored: bytes) -> None:
    path = tmp_path / "deep" / "er" / "file"
    write_atomically(path, content)
    assert path.read_bytes() == stored
    assert names(path.parent) == ["file"]


def test_replaces_older_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "a long first text")
    write_atomically(path, "short")
    assert path.read_text() == "short"


@pytest.mark.usefixtures("full_disk")
def test_full_disk_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No space left on device; name a folder with free space") as caught:
        write_atomically(tmp_path / "file", "new")
    assert str(tmp_path) in str(caught.value)
    assert names(tmp_path) == []


def test_full_disk_leaves_the_old_content(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    request.getfixturevalue("full_disk")
    with pytest.raises(InputError):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_failure_that_is_no_disk_error_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_the_new_content_is_flushed_before_it_takes_the_place_of_the_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    flushed = []

    def fsync(descriptor: int) -> None:
        (part,) = [each for each in tmp_path.iterdir() if each != path]
        flushed.append((path.read_text(), part.read_text()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, "new")
    assert flushed == [("old", "new")]


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "results"
    blocker.write_text("not a folder")
    with pytest.raises(InputError, match="cannot write") as caught:
        write_atomically(blocker / "run" / "config.json", "{}")
    message = str(caught.value)
    assert str(blocker) in message
    assert "name a folder" in message
    assert "\n" not in message
    assert blocker.read_text() == "not a folder"


def test_writable_makes_the_folder_and_lets_other_errors_pass(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), writable(folder):
        raise ZeroDivisionError
    assert folder.is_dir()
