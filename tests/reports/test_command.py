"""Bad input ends in one line and exit code 2, before anything is trained."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from discrete_vae import parallel
from discrete_vae.training import Interrupted
from reports import __main__ as command
from reports import thesis
from reports.kit import cost
from reports.kit.context import ReportContext
from reports.kit.report import Report


def end(tokens: Sequence[str]) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as error:
        command.main(tokens)
    assert isinstance(error.value.code, int)
    return error.value.code


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["thesiss", "--out", "OUT"], "unknown report 'thesiss'; did you mean 'thesis'?"),
        (["thesis", "--preset", "fulll", "--out", "OUT"], "unknown preset 'fulll'; did you mean 'full'?"),
        (["thesis", "--preset", "quick"], "--out requires an argument"),
        (["thesis", "--out", "OUT", "--threads", "0"], "--threads: '0'; give a whole number of at least 1"),
        (["thesis", "--out", "OUT", "--threads", "many"], "many"),
        (["thesis", "--out", "OUT", "--device", "abacus"], "device 'abacus' is unknown"),
        (["thesis", "--out", "OUT", "--device", "cuda:99"], "device 'cuda:99' is not there"),
        (["thesis", "--outt", "OUT"], "--outt"),
    ],
)
def test_bad_input(tokens: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert end([str(out) if token == "OUT" else token for token in tokens]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not out.exists()


def test_unwritable_out_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(parallel, "train", refuse)
    (tmp_path / "file").write_text("")
    out, runs = tmp_path / "file" / "out", tmp_path / "runs"
    assert end(["thesis", "--preset", "quick", "--out", str(out), "--runs", str(runs)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: Invalid value for --out: '{out}' cannot be reached (Not a directory); name")
    assert error.count("\n") == 1
    assert not runs.exists()


@pytest.mark.parametrize(
    "signalled", [Interrupted("stopped by SIGINT; the same command goes on from there"), KeyboardInterrupt()]
)
def test_interruption_tells_how_to_go_on(
    signalled: BaseException, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise signalled

    monkeypatch.setitem(command.REPORTS, "thesis", dataclasses.replace(thesis.REPORT, make=interrupt))
    assert end(["thesis", "--out", str(tmp_path)]) == 130
    assert "the same command goes on" in capsys.readouterr().err


def test_help_and_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert end(["--help"]) == 0
    assert "python -m reports thesis --preset quick" in capsys.readouterr().out
    assert end(["list"]) == 0
    listed = capsys.readouterr().out
    assert "thesis" in listed
    assert "--preset full: 50 epochs" in listed
    assert end(["list", "polynomial", "polynomial"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("polynomial: ") == 1
    assert "whose minutes are not measured" in listed


def test_minutes_are_measured_on_data_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "step_seconds", lambda *args: 1.0)
    assert end(["list", "more-data", "--folder", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert "--preset quick" in shown.out
    assert "minutes if none is known" in shown.out or "hours if none is known" in shown.out
    assert f"error: {tmp_path}" in shown.err
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert end(["list", "more-data"]) == 0, "a preset without its data keeps nothing else from being told"
    shown = capsys.readouterr()
    assert shown.out.count("with --folder FOLDER of their data, or --download, it tells the minutes") == 2
    assert "    committed: --preset laptop" in shown.out
    assert end(["list", "--download"]) == 2
    assert "download has no effect without a report's name" in capsys.readouterr().err


@pytest.fixture
def _made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports that only write a table and their provenance."""

    def make(preset: object, bench: ReportContext) -> None:
        bench.write("results.csv", f"of {bench.report}")
        bench.write_provenance([])

    for name in ("thesis", "jang"):
        report = Report(name, "", command.REPORTS[name].presets, make)
        monkeypatch.setitem(command.REPORTS, name, report)


@pytest.mark.usefixtures("_made_at_once")
def test_no_file_of_the_users_is_touched(tmp_path: Path) -> None:
    mine = {".probe": "1", "notes.txt": "2", ".report": "3", ".part": "4", ".x.part": "5"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    for _ in range(2):
        assert end(["thesis", "--out", str(tmp_path)]) == 0
    assert {name: (tmp_path / name).read_text() for name in mine} == mine
    assert {path.name for path in tmp_path.iterdir()} == {*mine, "results.csv", "provenance.json"}


@pytest.mark.usefixtures("_made_at_once")
@pytest.mark.parametrize("name", ["results.csv", "thesis.tex", "thesis.pdf", "thesis.log", "references.bib", "a.png"])
def test_a_folder_with_files_of_the_users_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """They might be written over."""
    (tmp_path / name).write_text("mine")
    assert end(["thesis", "--out", str(tmp_path)]) == 2
    assert f"holds {name!r}, which report thesis has not made" in capsys.readouterr().err
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.usefixtures("_made_at_once")
def test_a_folder_of_another_report_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert end(["thesis", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert end(["jang", "--out", str(tmp_path)]) == 2
    assert "holds provenance.json, which is report thesis's" in capsys.readouterr().err
    assert (tmp_path / "results.csv").read_text() == "of thesis"
    (tmp_path / "provenance.json").write_text("[1]")
    assert end(["thesis", "--out", str(tmp_path)]) == 2
    assert "which is no report's" in capsys.readouterr().err


def test_an_interrupted_report_goes_on_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(preset: object, bench: ReportContext) -> None:
        bench.write("results.csv", "partly\n")
        raise Interrupted("stopped")

    monkeypatch.setitem(command.REPORTS, "thesis", dataclasses.replace(thesis.REPORT, make=make))
    for _ in range(2):
        assert end(["thesis", "--out", str(tmp_path)]) == 130
