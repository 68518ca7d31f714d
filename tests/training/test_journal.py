"""What training leaves on the disk: checkpoints as often as asked, every epoch once, sessions; and what it takes up."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import discrete_vae.training.step
from discrete_vae.config import Config
from discrete_vae.data import Dataset, load
from discrete_vae.errors import InputError
from discrete_vae.runs.run import Run, checkpoints
from discrete_vae.training import journal, train
from discrete_vae.training import loop as training
from tests.training.small_runs import config, value

pytestmark = pytest.mark.usefixtures("short_epochs")


def test_writing_takes_a_small_share_of_the_time(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stands still but for a checkpoint, which takes a second, and an epoch, which takes four."""
    now, steps = 0.0, []

    def write(folder: Path, step: int, *rest: Any) -> None:
        nonlocal now
        now += 1
        steps.append(step)

    monkeypatch.setattr(checkpoints, "write", write)
    monkeypatch.setattr(journal.time, "monotonic", lambda: now)

    def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> list[Run]:
        nonlocal now
        now += 4
        return []

    train([config(epochs=17)], tmp_path, data, prune=prune)
    # At first, then at every fifth epoch: 20 seconds of training for one of writing; and at the end.
    assert steps == [0, 25, 150, 275, 400, 425]


def test_what_is_finished_is_not_trained_again(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [config(), config(seed=1)]
    first = train(pair, tmp_path, data)
    before = {path: path.read_bytes() for path in tmp_path.glob("*/*.*")}

    def refuse(*arguments: Any) -> None:
        raise AssertionError("a finished run is trained again")

    monkeypatch.setattr(training, "Trainer", refuse)
    assert train([*pair, *pair], tmp_path, data) == first
    assert {path: path.read_bytes() for path in tmp_path.glob("*/*.*")} == before
    with pytest.raises(AssertionError, match="trained again"):
        train([*pair, config(seed=2)], tmp_path, data)
    assert train(pair, tmp_path, data) == first, "an exception frees the folders"


def test_checkpoints_are_as_frequent_as_asked_and_at_the_end(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    monkeypatch.setattr(checkpoints, "write", lambda folder, step, *rest: steps.append(step))
    train([config(epochs=7)], tmp_path, data, checkpoint_every=3)
    assert steps == [0, 75, 150, 175]


def test_history_has_every_epoch_once(data: Dataset, tmp_path: Path) -> None:
    (run,) = train([config(epochs=3)], tmp_path, data)
    history = run.history()
    assert not history.duplicated(["epoch", "split", "metric"]).any()
    assert set(history["epoch"]) == {1, 2, 3}
    assert set(history[history["split"] == "train"]["metric"]) == {"loss", "reconstruction_relaxed", "kl"}
    assert {"elbo", "kl", "reconstruction_hard", "reconstruction_relaxed"} <= set(
        history[history["split"] == "validation"]["metric"]
    )
    loss = -value(run, "train", "reconstruction_relaxed") + value(run, "train", "kl")
    assert value(run, "train", "loss") == pytest.approx(loss, rel=1e-5)


def test_the_session_is_recorded(data: Dataset, tmp_path: Path) -> None:
    (run,) = train([config()], tmp_path, data)
    (session,) = json.loads((run.folder / "environment.json").read_text())
    assert session["steps"] == [0, 25]
    assert session["population"] == 1
    assert session["packages"]["torch"] == torch.__version__
    assert session["seconds"] >= 0


def test_two_trainings_write_the_same_files(tmp_path: Path, data: Dataset) -> None:
    """Byte by byte, but for what says when and where."""
    found = []
    for name in ("first", "second"):
        made = train([config(epochs=2), config(epochs=2, seed=1)], tmp_path / name, data)
        files = [path for run in made for path in sorted(run.folder.iterdir()) if path.name != "environment.json"]
        found.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert sum(path.name == "checkpoint-000000050.safetensors" for path in found[0]) == 2


MISFITS: dict[str, tuple[str, Tensor | None, str]] = {
    "missing": ("adam.model.0.first", None, "is absent, not float32"),
    "surplus": ("other", torch.ones(2), "'other' is float32 [2], not absent"),
    "moment": ("adam.model.0.second", torch.tensor(0.0), "is float32 [], not float32"),
    "sums": ("sums", torch.zeros(1), "is float32 [1], not float32 [3]"),
    "not finite": ("sums", torch.full((3,), torch.nan), "is not finite"),
    "no noise": ("noise", None, "'noise' is absent, not uint8 [5056]"),
    "noise of floats": ("noise", torch.zeros(5056), "'noise' is float32 [5056], not uint8 [5056]"),
    "no generator": ("noise", torch.ones(5056, dtype=torch.uint8), "'noise' is no state of a generator"),
}


@pytest.mark.parametrize("step", [25, 30])
def test_training_goes_on_from_a_fitting_checkpoint_only(tmp_path: Path, data: Dataset, step: int) -> None:
    run = Run.create(tmp_path, config(epochs=3))
    trainer = discrete_vae.training.step.Trainer([run], data, torch.device("cpu"))
    trainer.step = step
    trainer.save()
    path = checkpoints.path_of(run.folder, step)
    good = checkpoints.read(run.folder, step, run.config.identity)
    for name, tensor, message in MISFITS.values():
        changed = {each: kept for each, kept in good.items() if each != name}
        checkpoints.write(run.folder, step, run.config.identity, changed | ({} if tensor is None else {name: tensor}))
        content = path.read_bytes()
        with pytest.raises(InputError, match=re.escape(message)) as caught:
            train([run.config], tmp_path, data)
        assert str(path) in str(caught.value)
        assert path.read_bytes() == content
    checkpoints.write(run.folder, step, run.config.identity, good)
    assert train([run.config], tmp_path, data)[0].finished


@pytest.mark.parametrize("step", [75, 80])
def test_a_renamed_checkpoint_makes_no_run_finished(tmp_path: Path, data: Dataset, step: int) -> None:
    """And the good one is not removed for it."""
    run = Run.create(tmp_path, config(epochs=3))
    trainer = discrete_vae.training.step.Trainer([run], data, torch.device("cpu"))
    trainer.step = 25
    trainer.save()
    good, false = (checkpoints.path_of(run.folder, each) for each in (25, step))
    false.write_bytes(good.read_bytes())
    with pytest.raises(InputError, match=f"{false.name} is of step 25; give it back that name"):
        train([run.config], tmp_path, data)
    assert good.exists()
    false.unlink()
    assert train([run.config], tmp_path, data)[0].finished


def test_checkpoints_every_so_many_epochs_are_at_least_each(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint every is 0; give at least 1"):
        train([Config()], tmp_path / "runs", load(), checkpoint_every=0)
    assert not (tmp_path / "runs").exists()
