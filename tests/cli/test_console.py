"""What cannot be printed is an error in one line, and a log that cannot be written stops nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from discrete_vae.cli.console import standard_output
from discrete_vae.errors import InputError
from discrete_vae.progress import TerminalProgress, terminal_progress

LIST = [sys.executable, "-c", "from discrete_vae.cli.command import main; main()", "list"]


def broken() -> io.TextIOWrapper:
    """A pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_behind_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(InputError, match=r"cannot write \(No space left on device\); make room"), standard_output():
            print("lost")  # what is left of it goes nowhere when the file is closed, and raises nothing


def test_a_pipe_whose_reader_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", broken())
    with pytest.raises(InputError, match="the reader of standard output has gone"), standard_output():
        print("lost")
    sys.stdout.close()


def test_a_character_that_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(stream, encoding="ascii"))
    with standard_output():
        print("τ \udcff")
    assert stream.getvalue() == b"\\u03c4 \\udcff\n"


def test_an_error_of_a_file_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{tmp_path}: Is a directory"), standard_output():
        tmp_path.read_text()


@pytest.mark.parametrize("shell", ["{} >&-", "{} >/dev/full", "{} | true", "{} 2>&1 >&- | cat"])
def test_a_command_whose_output_is_lost_ends_in_one_line(tmp_path: Path, shell: str) -> None:
    """Also when Python ends, with what is still in the buffer."""
    words = " ".join(f"'{word}'" for word in LIST)
    run = ["bash", "-o", "pipefail", "-c", shell.format(words)]
    ended = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    error = ended.stderr + ended.stdout
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_a_log_that_cannot_be_written_stops_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", broken())
    with terminal_progress() as progress, progress.counting("images", 2) as done:
        progress.message("lost")
        done(2)


def test_a_log_has_a_line_a_minute() -> None:
    """Of bars that are not full, with an estimate, where no bar can be seen."""
    now, log = 0.0, io.StringIO()
    progress = TerminalProgress(Progress(console=Console(file=log), get_time=lambda: now))
    progress.start("two runs", 100, 0)
    for done in range(10, 100, 10):
        now += 15
        progress.update(done, {"loss": 5.0})
    lines = ["two runs: 50%, loss 5, about 0:01:15 left", "two runs: 90%, loss 5, about 0:00:15 left"]
    assert log.getvalue().splitlines() == lines


def test_bad_input_leaves_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError), terminal_progress() as progress, progress.counting("images", 2):
        raise InputError("bad")
    assert capsys.readouterr().err == ""


def test_what_was_made_is_told_beside_it(tmp_path: Path) -> None:
    """On standard error where the content itself has gone to standard output."""
    code = (
        "import pathlib, sys; from discrete_vae.cli.console import announce; "
        "announce(pathlib.Path(sys.argv[1]), 'made')"
    )
    for path, told in (("/dev/stdout", ("", "made\n")), (str(tmp_path), ("made\n", ""))):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == told
