"""Numbers of ended runs, kept in tables: of which runs, and not of two that contradict each other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.runs.run import EVALUATION, HISTORY
from reports import __main__ as reports_command
from reports.kit.cache import Cache
from reports.kit.kept import keep

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


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """Nothing is written."""
    with pytest.raises(InputError, match="nowhere holds no run that has ended; name the folder of the runs"):
        keep(tmp_path / "nowhere", tmp_path / "kept")
    failed(tmp_path / "runs")
    with pytest.raises(InputError, match="did you mean 'kl'"):
        keep(tmp_path / "runs", tmp_path / "kept", ["kll"])
    assert not list((tmp_path / "kept").iterdir())


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
    assert "1 run of these without an evaluation" in capsys.readouterr().out
