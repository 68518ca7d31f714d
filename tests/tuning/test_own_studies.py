"""``python -m studies`` on own data, with another network, and from a file of one's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from PIL import Image

from discrete_vae.cli import command as cli
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tuning import open_storage
from reports import __main__ as reports_command
from studies import __main__ as command

COLOUR = "--dataset images.npz --likelihood discretised-logistic --backbone conv --channels 4 4 --hidden 8 --latents 4"
NAME = (
    "gumbel-softmax+latents=4+hidden=8+backbone=conv+channels=4,4+dataset=images+binarisation=none+batch-size=20"
    "+likelihood=discretised-logistic"
)
FILE = """
from optuna.distributions import FloatDistribution as Float
from discrete_vae.config import Config
from discrete_vae.tasks import Architecture
from discrete_vae.tuning import Search, Study

BASE = Config("reinmax", architecture=Architecture(4, 3, (8,)), batch_size=5000)
STUDY = Study("mine", "a file's", {"": Search(BASE, {"learning_rate": Float(1e-3, 1e-2)})}, seeds=(0,), epochs=1)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, with a few colour images of 8 rows and 12 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 12, 3), dtype=np.uint8)
    np.savez("images.npz", images=pixels, labels=np.arange(60) % 3)


def studies_command(line: str) -> int:
    return cli.run(command.app, line.split())


def states(name: str) -> list[str]:
    found = optuna.load_study(study_name=name, storage=open_storage("studies.sqlite"))
    return [trial.state.name for trial in found.get_trials()]


def test_a_study_on_own_colour_images_from_its_first_trial_to_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"run gumbel-softmax {COLOUR} --batch-size 20 --epochs 1 --seeds 1 --trials"
    assert studies_command(f"{run} 1") == 0, capsys.readouterr().err
    assert f"{NAME}: trial 1 of 1" in capsys.readouterr().err
    assert states(NAME) == ["COMPLETE"]
    assert studies_command(f"{run} 2") == 0, "the same options go on"
    assert states(NAME) == ["COMPLETE"] * 2

    Path("elsewhere").mkdir()
    moved = Path("images.npz").rename("elsewhere/images.npz")
    there = run.replace("images.npz", str(moved)).replace("run ", "worker ", 1)
    assert studies_command(f"{there} 3") == 0, "a worker with the data at another place takes part"
    assert states(NAME) == ["COMPLETE"] * 3

    pictures = [Image.open(path) for path in Path("artifacts").iterdir()]
    assert len(pictures) == 9
    assert all(trial.user_attrs.keys().isdisjoint({"artifacts"}) for trial in trials()), "each has all of its pictures"

    capsys.readouterr()
    assert studies_command("show gumbel-softmax+latents") == 0, "the beginning of the name is enough"
    assert "3 complete" in capsys.readouterr().out
    best = f"best {NAME} --fresh 1 --samples 2"
    assert studies_command(f"{best} --folder elsewhere") == 0, capsys.readouterr().err
    assert studies_command("export gumbel-softmax+ --out trials.csv") == 0
    assert set(pd.read_csv("trials.csv")["study"]) == {NAME}
    assert cli.run(reports_command.app, ["studies", "--out", "report", "--storage", "studies.sqlite"]) == 0
    assert NAME in Path("report/provenance.json").read_text()

    capsys.readouterr()
    assert studies_command("show gumbel-softmax") == 2, "that one was never run"
    assert f"name one of those it holds: {NAME}" in capsys.readouterr().err
    assert studies_command(f"run {NAME}") == 2
    assert "is gumbel-softmax with other options; give these" in capsys.readouterr().err
    assert studies_command(f"clean {NAME} --yes") == 0
    assert not optuna.get_all_study_names(open_storage("studies.sqlite"))


def trials() -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name=NAME, storage=open_storage("studies.sqlite")).get_trials()


def test_other_options_are_another_study(capsys: pytest.CaptureFixture[str]) -> None:
    line = "run gumbel-softmax --dataset images.npz --latents 4 --hidden 8 --batch-size 20 --epochs 1 --seeds 1"
    for categories in (2, 3):
        assert studies_command(f"{line} --trials 1 --categories {categories}") == 0
    names = [f"gumbel-softmax+latents=4+categories={k}+hidden=8+dataset=images+batch-size=20" for k in (2, 3)]
    assert [states(name) for name in names] == [["COMPLETE"]] * 2
    capsys.readouterr()
    assert studies_command("show gumbel-softmax+latents") == 2
    assert f"could be {names[0]} or {names[1]}; give more of its name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--learning-rate 0.1", "learning rate is searched by gumbel-softmax itself; leave it off"),
        ("--style 3", "style has no effect in gumbel-softmax"),
        ("--dataset nowhere.npz", "nowhere.npz"),
        ("--dataset images.npz --folder images", "folder images has no effect with the dataset at images.npz"),
        ("--likelihood gaussian", 'binarisation "none" needs grayscale images'),
        ("--task generator", "--task"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_made(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert studies_command(f"run gumbel-softmax {line}") == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not Path("studies.sqlite").exists()


def test_a_study_of_ones_own_in_any_file(capsys: pytest.CaptureFixture[str]) -> None:
    Path("sub").mkdir()
    Path("sub/mine.py").write_text(FILE)
    options = "--dataset images.npz --batch-size 20"
    assert studies_command(f"run sub/mine.py --trials 1 {options}") == 0, capsys.readouterr().err
    assert states("mine+dataset=images+batch-size=20") == ["COMPLETE"]
    for name in ("mine+dataset", "mine+dataset=images+batch-size=20"):
        assert studies_command(f"show {name}") == 0, "what is stored needs no file"
    capsys.readouterr()
    assert studies_command("show sub/mine.py") == 2
    assert "holds no study 'sub/mine.py'; name one of those it holds: mine+" in capsys.readouterr().err


def test_a_strategy_that_other_processes_lack_is_told_before_a_trial_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine.py").write_text(FILE)
    monkeypatch.setitem(STRATEGIES, "reinmax", type("Own", (STRATEGIES["reinmax"],), {"__module__": "mine"}))
    assert studies_command("run mine.py --jobs 2") == 2
    assert "strategy reinmax is registered in this process, and other processes lack it" in capsys.readouterr().err
    assert not Path("studies.sqlite").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "there is no Python file mine.py; give one that defines STUDY"),
        ("1 / 0", "mine.py: ZeroDivisionError: division by zero; correct it"),
        ("STUDY = 3", "mine.py defines no study; write STUDY = Study(...)"),
    ],
)
def test_a_file_without_a_study_is_told_in_a_line(
    text: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path("mine.py").write_text(text)
    assert studies_command("run mine.py") == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_studies_of_other_programs_are_none_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """By their own names neither, so that nobody removes them by mistake."""
    optuna.create_study(study_name="theirs", storage=open_storage("studies.sqlite"))
    for line in ("show theirs", "clean theirs --yes"):
        assert studies_command(line) == 2
        assert "unknown study 'theirs'" in capsys.readouterr().err
