"""Numbers of ended runs, kept in tables: of which runs, and not of two that contradict each other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae import backbones
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.runs.run import EVALUATION, HISTORY
from discrete_vae.tasks import Architecture
from reports import __main__ as reports_command
from reports.kit.cache import PROVENANCE, Cache
from reports.kit.kept import LOCK, ROWS, keep

CONFIG = Config("reinmax", epochs=3)


def failed(runs: Path, elbo: float = -2.0, test: float = -3.0) -> Run:
    """A run that ended after an epoch, without weights."""
    run = Run.create(runs, CONFIG)
    rows = [(1, "validation", "elbo", elbo), (1, "validation", "kl", 1.0), (1, "train", "critic_loss", 0.5)]
    run.write_history(pd.DataFrame(rows, columns=HISTORY))
    run.write_evaluation(pd.DataFrame([("test", "elbo", 10, test)], columns=EVALUATION))
    (run.folder / "failure.json").write_text(json.dumps({"step": 7, "epoch": 2, "message": "not finite"}))
    return run


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("other", [{"elbo": -2.5}, {"test": -3.5}])
def test_numbers_that_contradict_the_tables_are_not_added(other: dict[str, float], tmp_path: Path) -> None:
    """As of a run that was trained on two machines: every report would read both."""
    out = tmp_path / "kept"
    keep(failed(tmp_path / "runs").folder.parent, out)
    before = content(out)
    keep(tmp_path / "runs", out)
    assert content(out) == before
    with pytest.raises(
        InputError, match=rf"elsewhere has another elbo of {CONFIG.name} than .*kept; name another folder"
    ):
        keep(failed(tmp_path / "elsewhere", **other).folder.parent, out)
    assert content(out) == before


def test_metrics_may_come_later(tmp_path: Path) -> None:
    failed(tmp_path / "runs")
    keep(tmp_path / "runs", tmp_path / "kept")
    keep(tmp_path / "runs", tmp_path / "kept", ["critic_loss"])
    (known,) = Cache([tmp_path / "kept"]).of(CONFIG, tmp_path)
    assert set(zip(known.history()["split"], known.history()["metric"], strict=True)) == {
        ("validation", "elbo"),
        ("train", "critic_loss"),
    }


def test_tables_of_two_machines_come_together(tmp_path: Path) -> None:
    """As if the runs of both had been kept in one place; a second call changes nothing."""
    failed(tmp_path / "here")
    other = Run.create(tmp_path / "there", dataclasses.replace(CONFIG, seed=1))
    other.write_evaluation(pd.DataFrame([("test", "elbo", 10, -4.0)], columns=EVALUATION))
    (other.folder / "failure.json").write_text(json.dumps({"step": 7, "epoch": 2, "message": "not finite"}))
    keep(tmp_path / "here", tmp_path / "both")
    keep(tmp_path / "there", tmp_path / "both")
    keep(tmp_path / "here", tmp_path / "kept")
    keep(tmp_path / "there", tmp_path / "theirs")
    for _ in range(2):
        assert [run.config.seed for run in keep(tmp_path / "theirs", tmp_path / "kept")] == [0, 1]
        assert content(tmp_path / "kept") == content(tmp_path / "both")
    failed(tmp_path / "again", -2.5)
    keep(tmp_path / "again", tmp_path / "contradicting")
    with pytest.raises(InputError, match="another elbo of"):
        keep(tmp_path / "contradicting", tmp_path / "kept")


def test_another_end_of_a_run_is_not_added(tmp_path: Path) -> None:
    """It would be dropped from every table, or counted as finished without numbers."""
    failed(tmp_path / "runs")
    keep(tmp_path / "runs", tmp_path / "kept")
    told = tmp_path / "kept" / PROVENANCE
    told.write_text(told.read_text().replace('"failed"', '"finished"'))
    with pytest.raises(InputError, match=f"another end of {CONFIG.name}"):
        keep(tmp_path / "runs", tmp_path / "kept")


def test_tables_and_runs_may_lie_in_one_folder(tmp_path: Path) -> None:
    failed(tmp_path / "runs")
    keep(tmp_path / "runs", tmp_path / "runs")
    other = Run.create(tmp_path / "runs", dataclasses.replace(CONFIG, seed=1))
    (other.folder / "failure.json").write_text(json.dumps({"step": 7, "epoch": 2, "message": "not finite"}))
    for out in ("runs", "kept"):
        assert [run.config.seed for run in keep(tmp_path / "runs", tmp_path / out)] == [0, 1]


def test_copies_and_older_versions_are_passed_over(tmp_path: Path) -> None:
    """Of two folders of one configuration either could be meant."""
    failed(tmp_path / "copies", test=-9.0).folder.rename(tmp_path / "copies" / "zz-copy")
    failed(tmp_path / "copies")
    with pytest.warns(UserWarning, match="1 of the folders in .* are passed over, such as zz-copy"):
        (run,) = keep(tmp_path / "copies", tmp_path / "kept")
    assert run.evaluation()["value"].tolist() == [-3.0]
    older = tmp_path / "kept"
    for path in (older / PROVENANCE, older / ROWS):
        path.write_text(path.read_text().replace(CONFIG.name, "reinmax-0123456789ab"))
    keep(failed(tmp_path / "runs").folder.parent, older)
    names = [run["run"] for run in json.loads((older / PROVENANCE).read_text())["runs"]]
    assert names == ["reinmax-0123456789ab", CONFIG.name]


def test_half_of_the_tables_is_told(tmp_path: Path) -> None:
    failed(tmp_path / "runs")
    keep(tmp_path / "runs", tmp_path / "kept")
    (tmp_path / "kept" / ROWS).unlink()
    for where, out in (("kept", "other"), ("runs", "kept")):
        with pytest.raises(InputError, match=rf"kept has no {ROWS} beside its {PROVENANCE}; bring it as well"):
            keep(tmp_path / where, tmp_path / out)


def test_a_run_of_another_network_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file decides its numbers, and the configuration has its name alone."""
    config = dataclasses.replace(CONFIG, architecture=Architecture(3, 3, (), backbone="mine:networks"))
    run = Run.create(tmp_path / "runs", config)
    run.write_evaluation(pd.DataFrame([("test", "elbo", 10, -3.0)], columns=EVALUATION))
    run.write_sessions([{"seconds": 1.0, "device": "cpu", "commit": "", "backbone": "0123"}])
    (run.folder / "failure.json").write_text(json.dumps({"step": 7, "epoch": 2, "message": "not finite"}))
    for now, known in (("0123", True), ("4567", False)):
        monkeypatch.setattr(backbones, "digest", lambda name, now=now: now)
        keep(tmp_path / "runs", tmp_path / "kept")
        assert bool(Cache([tmp_path / "kept"]).of(config, tmp_path)) is known


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(InputError, match="nowhere holds no run that has ended; name the folder of the runs"):
        keep(tmp_path / "nowhere", tmp_path / "kept")
    failed(tmp_path / "runs")
    with pytest.raises(InputError, match="did you mean 'kl'"):
        keep(tmp_path / "runs", tmp_path / "kept", ["kll"])
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [LOCK]


@pytest.mark.parametrize("name", ["", ".", "..", "../jang", "a/b", "/tmp", "-x", ".git", "a\n"])
def test_a_name_stays_among_the_kept(name: str, tmp_path: Path) -> None:
    failed(tmp_path / "runs")
    with pytest.raises(InputError, match="give letters, digits, - and _"):
        reports_command.keep(name, runs=tmp_path / "runs")


def test_the_command_says_which_runs_a_report_would_train_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = failed(tmp_path / "runs")
    reports_command.keep("mine", runs=tmp_path / "runs", out=tmp_path / "scored")
    assert capsys.readouterr().out == f"{tmp_path / 'scored'}: 1 run\n"
    (run.folder / "evaluation.csv").unlink()
    reports_command.keep("mine", runs=tmp_path / "runs", out=tmp_path / "unscored")
    assert "without an evaluation" not in capsys.readouterr().out, "no report trains a failed run again"
    told = tmp_path / "unscored" / PROVENANCE
    told.write_text(told.read_text().replace('"failed"', '"finished"'))
    reports_command.keep("mine", runs=tmp_path / "unscored", out=tmp_path / "unscored")
    assert "1 run of these without an evaluation, as trials are" in capsys.readouterr().out
