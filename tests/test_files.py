"""Files are whole or absent, and an error names the path and what to do."""

import concurrent.futures
import errno
import os
import stat
import time
from pathlib import Path

import pytest

from discrete_vae import files
from discrete_vae.errors import InputError
from discrete_vae.files import PART, parse_json, read_text, remove_parts, writable, write_atomically, write_output


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


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "target"
    link, chain, dangling = (tmp_path / name for name in ("link", "chain", "dangling"))
    link.symlink_to(target)
    chain.symlink_to(link)
    dangling.symlink_to(tmp_path / "far" / "new")
    target.write_text("old")
    write_atomically(chain, "through")
    write_atomically(dangling, "made")
    assert link.is_symlink()
    assert chain.is_symlink()
    assert dangling.is_symlink()
    assert target.read_text() == "through"
    assert names(tmp_path / "far") == ["new", "target"]


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, "content")
    assert os.read(reading, 100) == b"content"
    os.close(reading)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_pipe_that_nobody_reads_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="nobody reads that pipe"):
        write_atomically(tmp_path / "pipe", "content")


def test_a_full_pipe_whose_reader_takes_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(InputError, match="nobody reads that pipe"):
        write_atomically(tmp_path / "pipe", b"x" * 10**7)
    os.close(reading)


def test_a_slow_reader_gets_all_of_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    content = os.urandom(10**6)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        read = threads.submit((tmp_path / "pipe").read_bytes)
        while True:
            try:
                write_atomically(tmp_path / "pipe", content)
                break
            except InputError:  # the reader is not there yet
                time.sleep(0.01)
        assert read.result() == content


@pytest.mark.parametrize(
    ("name", "held", "begins", "written"),
    [
        ("new.png", None, b"\x89PNG", True),
        ("empty", b"", b"\x89PNG", True),
        ("older", b"\x89PNG older", b"\x89PNG", True),
        ("thesis.png", b"mine", b"\x89PNG", False),
        ("config.json", b"{}", b"\x89PNG", False),
        ("trials.csv", b'"study",trial\n', b"study", True),
        ("trials.csv", b"study,trial\n", b"study", True),
        ("history.csv", b"epoch,split\n", b"study", False),
        ("samples.txt", b"3+4\n", b"", True),
        ("config.json", b"{}", b"", False),
    ],
)
def test_an_output_takes_the_place_of_its_kind_only(
    tmp_path: Path, name: str, held: bytes | None, begins: bytes, written: bool
) -> None:
    path = tmp_path / name
    if held is not None:
        path.write_bytes(held)
    if written:
        write_output(path, b"new", begins)
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(InputError, match="another kind of file; name a new one"):
            write_output(path, b"new", begins)
        assert path.read_bytes() == held


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_devices_are_written_through() -> None:
    write_atomically(Path("/dev/null"), "content")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(InputError, match="cannot write /dev/full: No space left on device"):
        write_atomically(Path("/dev/full"), "content")


def test_a_file_that_stands_for_an_open_one_is_refused(tmp_path: Path) -> None:
    """Another file in its place would not be what the shell has opened."""
    with (tmp_path / "output").open("w") as file, pytest.raises(InputError, match="stands for an open file"):
        write_atomically(Path(f"/dev/fd/{file.fileno()}"), "content")
    assert (tmp_path / "output").read_text() == ""


@pytest.mark.parametrize("name", [".", "/", "", ".."])
def test_a_folder_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="it is a folder; name a file"):
        write_atomically(Path(name), "content")
    assert names(tmp_path) == []


def test_a_read_only_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("kept")
    path.chmod(0o444)
    with pytest.raises(InputError, match="it is read-only"):
        write_atomically(path, "new")
    assert path.read_text() == "kept"


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("x" * 255), "content")
    with pytest.raises(InputError, match="File name too long"):
        write_atomically(tmp_path / ("x" * 256), "content")
    assert names(tmp_path) == ["x" * 255]


def test_only_own_parts_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".mine.part").write_text("of the user")
    (tmp_path / f"{PART}0123.part").write_text("left by a killed process")
    remove_parts(tmp_path)
    assert names(tmp_path) == [".mine.part"]


def test_what_is_not_a_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # which would be waited for
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="it is not a file") as caught:
            read_text(path)
        assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "1e999", "NaN", "-Infinity", '{"a": 1, "a": 1}', "9" * 5000, "\ufeff{}", "", '{"a": {"b": 1e999}}'],
)
def test_json_in_the_strict_sense(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
