"""``python -m studies``, in this process, on the tiny study."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import signal
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.trial import TrialState
from optuna_dashboard import get_note

from discrete_vae import cli, data
from discrete_vae.tuning import open_storage
from reports import __main__ as reports_command
from studies import __main__ as command
from studies import studies
from tests.tuning.tiny_worker import images, tiny


@pytest.fixture(autouse=True)
def _tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny study alone, on few images, in a folder of its own."""
    few = images()
    test = dataclasses.replace(few.test, pixels=few.test.pixels[:500], labels=few.test.labels[:500])
    few = dataclasses.replace(few, test=test)
    study = dataclasses.replace(tiny(2), trials=2)
    monkeypatch.setattr(command, "studies", lambda: {"tiny": study})
    monkeypatch.setattr(data, "load", lambda *_: few)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdin", io.StringIO())


def studies_command(*words: str) -> int:
    return cli.run(command.app, list(words))


def stored(url: str = "studies.sqlite") -> optuna.Study:
    return optuna.load_study(study_name="tiny", storage=open_storage(url))


def trial_of(study: optuna.Study, number: int) -> optuna.Trial:
    return optuna.Trial(study, study.get_trials()[number]._trial_id)


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
    assert {"studies_compare.tex", "studies_best.tex", "studies_history.png", "trials.csv"} <= set(written)
    elbos = kept["trials"][str(best.number)]["test elbo"].values()
    assert f"{sum(elbos) / 2:.2f}" in written["studies_compare.tex"].decode()
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
    whole = command.Worker._tell_progress

    def interrupted(worker, found, study, trials):
        whole(worker, found, study, trials)
        if len(found.get_trials()) == 1:
            signal.raise_signal(number)

    with monkeypatch.context() as patched:
        patched.setattr(command.Worker, "_tell_progress", interrupted)
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


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("run", "tinny"), "did you mean 'tiny'"),
        (("run", "tiny", "--trials", "0"), "trials is 0; give at least 1"),
        (("run", "tiny", "--seeds", "0"), "seeds is 0; give at least 1"),
        (("run", "tiny", "--batch", "-1"), "batch is -1; give at least 1"),
        (("run", "tiny", "--only", "some"), "unknown search of tiny 'some'"),
        (("run", "tiny", "--storage", "nonsense://me:secret@host/db"), "cannot be"),
        (("show", "tiny", "--storage", "none.sqlite"), "there is no file none.sqlite"),
        (("best", "tiny", "--fresh", "0"), "fresh is 0; give at least 1"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy(words, reason, capsys: pytest.CaptureFixture[str]) -> None:
    assert studies_command(*words) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1
    assert "secret" not in told


def test_other_lengths_are_another_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert studies_command("run", "tiny", "--trials", "1") == 0
    assert studies_command("run", "tiny", "--epochs", "3") == 2
    told = capsys.readouterr().err
    assert "epochs: 2 stored, 3 asked" in told
    assert "--storage" in told


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


def test_every_study_is_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "studies", studies)
    assert studies_command("list") == 0
    told = capsys.readouterr().out
    for name, study in studies().items():
        assert f"{name}: {study.summary}" in told
