"""The processes themselves: what they find there, how they begin, and that they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from discrete_vae.errors import InputError
from discrete_vae.foreign import out_of_file
from discrete_vae.parallel.child import Line
from discrete_vae.parallel.jobs import _checked
from discrete_vae.parallel.pool import spread
from tests.readme import ROOT

CPU = torch.device("cpu")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="no server of processes")
BEGIN = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
CALL = """
import torch
from discrete_vae.parallel.pool import spread
from tests.parallel.test_pool import Endless, Looking
if __name__ == "__main__":
    spread([{task}], None, torch.device("cpu"), 1, 1, lambda *told: print(*told, flush=True))
"""


def script(folder: Path, task: str) -> list[str]:
    """A command that does a task in a process of its own."""
    path = folder / "mine.py"
    path.write_text(BEGIN + CALL.format(task=task))
    return [sys.executable, str(path)]


@dataclass(frozen=True)
class Looking:
    """A task that tells a variable of its process' environment."""

    variable: str
    runs: ClassVar[tuple[Path, ...]] = ()
    saves: ClassVar[bool] = False

    def __call__(self, data: None, device: torch.device, line: Line) -> None:
        line.tell("found", os.environ.get(self.variable))


def looked(variable: str) -> str | None:
    """A variable, as a new process sees it."""
    found: list[str | None] = []

    def hear(task: int, kind: str, value: Any) -> None:
        if kind == "found":
            found.append(value)

    spread([Looking(variable)], None, torch.device("cpu"), 1, 1, hear)
    return found[0]


def test_a_process_has_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the server of processes, which began with another test."""
    for value in ("first", "second"):
        monkeypatch.setenv("LOOKED_AT", value)
        assert looked("LOOKED_AT") == value
    monkeypatch.delenv("LOOKED_AT")
    assert looked("LOOKED_AT") is None


def test_a_script_that_does_not_guard_its_calls_is_told_so(tmp_path: Path) -> None:
    """Each process imports it, and would begin processes too."""
    script = tmp_path / "mine.py"
    lines = ["import torch", "from discrete_vae.parallel.pool import spread"]
    lines.append("spread([print], None, torch.device('cpu'), 1, 1, print)")
    script.write_text("\n".join(lines))
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert 'below `if __name__ == "__main__":`' in ended.stderr.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="no server of processes")
def test_a_server_of_processes_that_died_is_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKED_AT", "this")
    assert looked("LOOKED_AT") == "this"
    server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    os.kill(server, signal.SIGKILL)
    os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)  # not reaped: that is for multiprocessing
    assert looked("LOOKED_AT") == "this"


@on_linux
def test_a_process_has_the_library_of_the_script(tmp_path: Path) -> None:
    """Not one in the working directory, which a script that lies elsewhere does not see."""
    (tmp_path / "here" / "discrete_vae").mkdir(parents=True)
    (tmp_path / "here" / "discrete_vae" / "__init__.py").write_text("raise RuntimeError")
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = script(tmp_path, "Looking('PYTHONPATH')")
    ended = subprocess.run(command, cwd=tmp_path / "here", env=elsewhere, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == ["0 found None", "0 done None"]


@on_linux
def test_a_server_that_died_keeps_no_process_waiting() -> None:
    """Its processes go on, but are no longer known as alive."""

    def hear(task: int, kind: str, value: Any) -> None:
        if kind == "found":
            server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
            os.kill(server, signal.SIGKILL)
            os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
            multiprocessing.active_children()  # asks for each one's end

    spread([Looking("HOME")], None, CPU, 1, 1, hear)


@dataclass(frozen=True)
class Deaf(Looking):
    """A task after which a process ignores SIGTERM, as the handler of a user's script may."""

    def __call__(self, data: None, device: torch.device, line: Line) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def test_a_process_that_hears_no_signals_ends_after_its_tasks() -> None:
    spread([Deaf("")] * 2, None, CPU, 2, 1, lambda *told: None)


@dataclass(frozen=True)
class Endless(Looking):
    """A task that tells of nothing any more."""

    def __call__(self, data: None, device: torch.device, line: Line) -> None:
        line.tell("begun")
        while True:
            pass


def test_processes_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen(script(tmp_path, "Endless('')"), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "0 begun None\n"
        parent.kill()
        assert parent.stdout.read() == "", "its end: the process has let go of it, too"


def test_what_a_users_file_defines_is_known_to_processes(tmp_path: Path) -> None:
    """Its module has a name of ours."""
    (tmp_path / "mine.py").write_text(
        "from tests.parallel.test_pool import Looking\n"
        "class Own(Looking):\n"
        "    def __call__(self, data, device, line): line.tell('found', 'own')\n"
        "TASK = Own('')\n"
    )
    told: list[Any] = []
    task: Any = out_of_file(str(tmp_path / "mine.py"), "task", "TASK")
    spread([task], None, CPU, 1, 1, lambda number, kind, value: told.append((kind, value)))
    assert told == [("found", "own"), ("done", None)]


def test_a_process_that_cannot_begin_others_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672]")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(InputError, match="make room there, set TMPDIR"):
            looked("HOME")
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="a process of a pool cannot begin processes of its own; give one job"):
        looked("HOME")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert _checked(None, CPU, [], 100) == 1


@on_linux
def test_a_folder_whose_name_is_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    (deep := tmp_path / ("x" * 100)).mkdir()
    command = script(tmp_path, "Looking('')")
    ended = subprocess.run(command, env=os.environ | {"TMPDIR": str(deep)}, capture_output=True, text=True, check=False)
    assert "a process cannot be begun (AF_UNIX path too long)" in ended.stderr.splitlines()[-1]
