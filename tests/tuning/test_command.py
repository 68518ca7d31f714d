"""``python -m studies``, in this process, on the tiny study: from its first trial to its report."""

from __future__ import annotations

import dataclasses
import errno
import json
import signal
from pathlib import Path

import pandas as pd
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.distributions import CategoricalDistribution as Choices
from optuna.samplers import GridSampler
from optuna.trial import TrialState
from optuna_dashboard import get_note
from sqlalchemy import event

from discrete_vae.cli import command as cli
from discrete_vae.schedules import Schedule
from discrete_vae.tuning import Search, Worker, active_trials
from discrete_vae.tuning.attributes import deaths_of
from discrete_vae.tuning.storage import backend
from reports import __main__ as reports_command
from studies import studies
from studies.command import choice
from studies.pictures import Pictures
from tests.tuning.studies_command import stored, studies_command, trial_of
from tests.tuning.tiny_worker import BASE, tiny

pytestmark = pytest.mark.usefixtures("tiny_study")


def test_a_study_from_its_first_trial_to_its_report(capsys: pytest.CaptureFixture[str]) -> None:
    """Run, on for more trials, shown, its best again on test images, exported, reported, removed."""
    assert studies_command("run", "tiny") == 0
    told = capsys.readouterr()
    assert "tiny: trial 2 of 2  best ELBO" in told.err
    assert "2 complete" in told.out
    assert studies_command("run", "tiny", "--trials", "3") == 0, "more trials are not another study"
    assert len(stored().get_trials()) == 3
    best = stored().best_trial

    capsys.readouterr()
    assert studies_command("show", "tiny") == 0
    first = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("│"))
    assert f"{best.value:.2f}" in first

    for _ in range(2):  # the second time nothing is trained
        assert studies_command("best", "tiny", "--fresh", "2", "--samples", "2") == 0
    told = capsys.readouterr()
    assert "2 fresh seeds" in told.out
    kept = stored().user_attrs["best again"]
    assert str(best.number) in kept["trials"]
    assert list(kept["trials"][str(best.number)]["test elbo"]) == ["2", "3"], "seeds that the study has not seen"

    assert studies_command("export", "tiny", "--out", "trials.csv") == 0
    table = pd.read_csv("trials.csv")
    assert list(table["state"]) == ["complete"] * 3
    assert table["value"].to_list() == pytest.approx(table[["elbo 0", "elbo 1"]].mean(axis=1).to_list())
    assert set(table["param temperature"]) == {trial.params["temperature"] for trial in stored().get_trials()}

    assert cli.run(reports_command.app, ["studies", "--out", "report", "--storage", "studies.sqlite"]) == 0
    written = {path.name: path.read_bytes() for path in Path("report").glob("*") if path.suffix != ".pdf"}
    assert {"compare.tex", "best.tex", "studies_history.png", "trials.csv"} <= set(written)
    elbos = kept["trials"][str(best.number)]["test elbo"].values()
    assert f"{sum(elbos) / 2:.2f}" in written["compare.tex"].decode()
    provenance = json.loads(written["provenance.json"])
    assert len(provenance["runs"]) == 10, "three trials of two seeds, and two of them again with two more"
    assert provenance["seeds"] == [0, 1, 2, 3]
    assert cli.run(reports_command.app, ["studies", "--out", "report", "--storage", "studies.sqlite"]) == 0
    again = {path.name: path.read_bytes() for path in Path("report").glob("*") if path.suffix != ".pdf"}
    assert again == written, "the same bytes"

    assert studies_command("clean", "tiny") == 2, "there is nobody to ask"
    assert "--yes" in capsys.readouterr().err
    assert studies_command("clean", "tiny", "--yes") == 0
    assert studies_command("show", "tiny") == 2
    assert "holds no study 'tiny'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_says_how_to_go_on(number, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Between trials, where no training waits for signals; in training, see test_search."""
    whole = Worker._tell_progress

    def interrupted(worker, found, study, trials):
        whole(worker, found, study, trials)
        if len(found.get_trials()) == 1:
            signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(Worker, "_tell_progress", interrupted)
        assert studies_command("run", "tiny") == 130
    assert "tiny: stopped; 1 of 2 trials have ended, and the same command goes on" in capsys.readouterr().err
    assert studies_command("run", "tiny") == 0
    assert [trial.state for trial in stored().get_trials()] == [TrialState.COMPLETE] * 2


def test_clean_gives_stale_trials_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert studies_command("run", "tiny", "--trials", "1") == 0
    search = next(iter(tiny().searches.values()))
    stored().ask(dict(search.space))
    assert studies_command("clean", "tiny", "--stale") == 0
    assert "1 trials given back" in capsys.readouterr().out
    states = [trial.state for trial in stored().get_trials()]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]


def test_pictures_are_kept_with_a_trial(tmp_path: Path) -> None:
    assert studies_command("run", "tiny", "--trials", "1") == 0
    (trial,) = stored().get_trials()
    kept = get_all_artifact_meta(trial, storage=stored()._storage)
    assert {each.filename for each in kept} == {"learning_curve.png", "reconstructions.png", "heat_map_of_pi.png"}
    for each in kept:
        assert (tmp_path / "artifacts" / each.artifact_id).read_bytes().startswith(b"\x89PNG")
    assert '"strategy": "gumbel-softmax"' in get_note(trial_of(stored(), 0))


@pytest.mark.parametrize("kind", ["read-only", "full"])
def test_a_folder_that_takes_no_pictures_does_not_lose_the_trial(
    kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "full":

        def full(*_) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(FileSystemArtifactStore, "write", full)
    else:
        (tmp_path / "artifacts").touch()  # root may write to any folder, but not to a file as if it were one
    assert studies_command("run", "tiny", "--trials", "1") == 0
    (trial,) = stored().get_trials()
    assert trial.state == TrialState.COMPLETE
    assert "artifacts cannot be written" in trial.user_attrs["artifacts"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("full", "database or disk is full; make room on its disk"),
        ("read-only", "attempt to write a readonly database; make it writable"),
        ("moved", "the file was removed or moved while it was in use"),
    ],
)
def test_a_storage_that_takes_no_more_is_one_line_and_the_study_goes_on(
    kind, reason, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SQLite's own errors, in the midst of the second trial."""
    monkeypatch.setattr(Pictures, "__call__", lambda *_: None)
    assert studies_command("run", "tiny", "--trials", "1") == 0

    def breaking(_, study, trial, runs) -> None:
        if kind == "moved":
            Path("studies.sqlite").rename("moved.sqlite")
        else:
            pragma = "PRAGMA max_page_count = 1" if kind == "full" else "PRAGMA query_only = 1"
            event.listen(backend(study._storage).engine, "checkout", lambda made, *_: made.execute(pragma).fetchall())
        trial.set_user_attr("large", "x" * 100_000)

    capsys.readouterr()
    with monkeypatch.context() as patched:
        patched.setattr(Pictures, "__call__", breaking)
        assert studies_command("run", "tiny") == 2
    told = [line for line in capsys.readouterr().err.splitlines() if "error" in line.lower()]
    assert len(told) == 1
    assert reason in told[0]
    assert "then the same command goes on" in told[0]
    if kind == "moved":
        Path("moved.sqlite").rename("studies.sqlite")
    assert studies_command("run", "tiny") == 0
    counted = active_trials(stored().get_trials())
    assert [trial.state for trial in counted] == [TrialState.COMPLETE] * 2
    assert not any(deaths_of(trial) for trial in counted if kind == "full"), "no trial is to blame"


def test_networks_are_searched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Tuples and schedules as choices: run, on, shown, its best again, exported, reported."""
    space = {
        "architecture.hidden": Choices([(8,), (8, 8)]),
        "learning_rate": Choices([Schedule(0.001), Schedule(0.01, decay=0.9)]),
    }
    study = dataclasses.replace(tiny(1), searches={"": Search(BASE, space)}, trials=3)
    monkeypatch.setattr(Pictures, "__call__", lambda *_: None)
    monkeypatch.setattr(choice, "studies", lambda: {"tiny": study})
    for trials in ("2", "4"):
        assert studies_command("run", "tiny", "--trials", trials) == 0
    made = [study.searches[""].configs(trial.params, [0], 1)[0] for trial in stored().get_trials()]
    assert {config.architecture.hidden for config in made} == {(8,), (8, 8)}
    assert {config.learning_rate.decay for config in made} == {1.0, 0.9}
    capsys.readouterr()
    assert studies_command("show", "tiny") == 0
    assert "architecture.hidden=[8" in capsys.readouterr().out
    assert studies_command("best", "tiny", "--fresh", "1", "--samples", "2") == 0
    assert studies_command("export", "tiny", "--out", "trials.csv") == 0
    assert set(pd.read_csv("trials.csv")["param architecture.hidden"]) == {"[8]", "[8, 8]"}
    assert cli.run(reports_command.app, ["studies", "--out", "report", "--storage", "studies.sqlite"]) == 0
    assert "{[}8, 8{]}" in Path("report/best.tex").read_text()


@pytest.mark.parametrize("url", ["folder/", "a\x1b.db", "sqlite:///folder/", "sqlite:///a\x1b.db"])
def test_a_storages_file_is_a_file_as_any_other(url: str, tmp_path: Path) -> None:
    assert studies_command("run", "tiny", "--storage", url) == 2
    assert not list(tmp_path.iterdir())


def test_a_trial_too_large_for_the_machine_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    space = {"architecture.hidden": Choices([(8,), (10**9, 10**9)])}
    grid = GridSampler({"architecture.hidden": ["[8]", "[1000000000, 1000000000]"]}, seed=0)
    study = dataclasses.replace(tiny(1), searches={"": Search(BASE, space)}, trials=2, sampler=lambda seed: grid)
    monkeypatch.setattr(Pictures, "__call__", lambda *_: None)
    monkeypatch.setattr(choice, "studies", lambda: {"tiny": study})
    assert studies_command("run", "tiny") == 0
    (failed,) = (trial for trial in stored().get_trials() if trial.state == TrialState.FAIL)
    assert "of memory" in failed.user_attrs["failure"]


def test_every_study_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(choice, "studies", studies)
    assert studies_command("list") == 0
    told = capsys.readouterr().out
    for name, study in studies().items():
        assert f"{name}: {study.summary}" in told
