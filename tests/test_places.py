"""Every option of every command that is a path is a place, and what cannot be one is refused before any work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

import reports.__main__
import studies.__main__
from discrete_vae import places
from discrete_vae.cli import command as cli
from discrete_vae.errors import InputError
from discrete_vae.places import as_file, as_folder, as_place

APPS = {"discrete-vae": cli.application("vae"), "studies": studies.__main__.app, "reports": reports.__main__.app}


def paths(app: App, command: str) -> Iterator[tuple[str, Any]]:
    """The options that are paths of an app's commands, and what reads each."""
    for name in app:
        if not name.startswith("-"):
            yield from paths(app[name], f"{command} {name}")
    if app.default_command is not None:
        for argument in app.assemble_argument_collection():
            if "Path" in str(argument.hint):
                yield f"{command} {argument.name}", argument.parameter.converter


def test_every_path_of_every_command_is_a_place() -> None:
    found = dict(each for name, app in APPS.items() for each in paths(app, name))
    known = {"train reinmax --runs", "train reinmax --folder", "evaluate --runs", "sample --out", "list --runs"}
    assert found.keys() >= {f"discrete-vae {option}" for option in known}
    assert found.keys() >= {"studies run --artifacts", "studies export --out", "reports --out", "reports --folder"}
    assert {
        name for name, converter in found.items() if converter not in (places._folder, places._place, places._file)
    } == set()


NAMES = [
    ("", "no name"),
    (" ", "no name"),
    ("\t\n", "no name"),
    ("a\nb", "a character that cannot be shown"),
    ("a\0b", "a character that cannot be shown"),
    ("a\x1b[2Jb", "a character that cannot be shown"),
    ("a\udcffb", "is not UTF-8"),
    ("x" * 300, "File name too long"),
    ("x/" * 3000, "File name too long"),
    ("file/below", "Not a directory"),
    ("loop", "Too many levels of symbolic links"),
    ("loop/below", "Too many levels of symbolic links"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(("name", "reason"), NAMES)
def test_what_is_no_place_at_all(folder: Path, name: str, reason: str) -> None:
    for kind in (as_folder, as_place, as_file):
        with pytest.raises(InputError, match=reason) as caught:
            kind(name)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["file", "pipe", "/dev/null", "dangling"])
def test_a_folder_is_no_file(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' is a (file|link to nothing); name a folder"):
        as_folder(name)


@pytest.mark.parametrize("name", [".", "/", "..", "./", "folder", "folder/", "new/", "folder/..", "new/.."])
def test_a_file_is_no_folder(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' is a folder; name a file in it"):
        as_file(name)


def test_a_place_is_a_folder_or_a_file(folder: Path) -> None:
    assert [as_place(name) for name in ("file", "folder")] == [Path("file"), Path("folder")]
    for name, reason in (("pipe", "no regular file"), ("/dev/null", "no regular file"), ("dangling", "a link to")):
        with pytest.raises(InputError, match=f"'{name}' is {reason}.*; name a file or folder"):
            as_place(name)


@pytest.mark.parametrize("name", ["new", "new/er", "größe τ 日本", "x" * 255, " a ", "-"])
def test_what_is_not_there_can_be_made(folder: Path, name: str) -> None:
    assert as_folder(name) == as_place(name) == as_file(name) == Path(name)


@pytest.mark.parametrize(
    "command",
    [
        "discrete-vae train reinmax --runs",
        "discrete-vae train reinmax --folder",
        "discrete-vae list --runs",
        "discrete-vae sample name --out",
        "discrete-vae evaluate name --runs",
        "studies run gumbel-softmax --artifacts",
        "studies worker gumbel-softmax --runs",
        "studies best gumbel-softmax --folder",
        "studies export gumbel-softmax --out",
        "reports thesis --out",
    ],
)
def test_an_unset_variable_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    app, *words = command.split()
    before = set(folder.iterdir())
    for value in ("", " "):
        assert cli.run(APPS[app], [*words, value]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: Invalid value for {words[-1]}: {value!r} is no name; name a ")
        assert error.count("\n") == 1
    assert set(folder.iterdir()) == before
