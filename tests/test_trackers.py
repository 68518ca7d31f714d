"""Trackers: their logs hold the histories' numbers, once, and a run is the same with, without and despite them.

Weights & Biases is represented by a module that records calls: the real one starts a process of its own.
"""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from discrete_vae.cli import command as cli
from discrete_vae.config import Config
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError
from discrete_vae.files import parse_json
from discrete_vae.parallel import train as train_in_processes
from discrete_vae.runs.run import Run, find
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from discrete_vae.trackers import TRACKERS, tensorboard
from discrete_vae.trackers.pictures import pictures
from discrete_vae.training import train
from studies import __main__ as studies
from tests.readme import ROOT
from tests.tiny_images import middle
from tests.training.small_runs import Told, config

Events = list[Any]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return middle(1000, 100)


def small(data: Dataset, **fields: Any) -> Any:
    return config(data=data.config, epochs=4, **fields)


def events(run: Run) -> Events:
    """All that is in the one event file of a run."""
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event

    (path,) = (run.folder / "tensorboard").glob("events.*")
    return [Event.FromString(each) for each in RawEventFileLoader(str(path)).Load()]


def numbers(found: Events) -> list[tuple[int, str, float]]:
    return [(e.step, v.tag, v.simple_value) for e in found for v in e.summary.value if v.HasField("simple_value")]


def tags(found: Events, kind: str) -> list[tuple[int, str]]:
    return [(e.step, v.tag) for e in found for v in e.summary.value if v.HasField(kind)]


def expected(run: Run) -> list[tuple[int, str, float]]:
    """What ``history.csv`` says, in the float32 that TensorBoard keeps."""
    rows = run.history().itertuples(index=False)
    return [(row.epoch, f"{row.split}/{row.metric}", float(np.float32(row.value))) for row in rows]


def content(runs: list[Run]) -> dict[str, bytes]:
    """The runs' own files, but for the one that says when and where."""
    files = [path for run in runs for path in run.folder.iterdir() if path.is_file()]
    return {f"{each.parent.name}/{each.name}": each.read_bytes() for each in files if each.name != "environment.json"}


def test_the_event_file_has_the_history(data: Dataset, tmp_path: Path) -> None:
    runs = train([small(data), small(data, seed=1)], tmp_path / "with", data, log="tensorboard")
    for run in runs:
        found = events(run)
        assert sorted(numbers(found)) == sorted(expected(run))
        assert len(numbers(found)) > 20
        names = [v.tag for e in found for v in e.summary.value if v.metadata.plugin_data.plugin_name == "hparams"]
        assert "_hparams_/session_start_info" in names
        assert {tag for _, tag in tags(found, "image")} == {"reconstructions", "pi"}
        assert (4, "pi") in tags(found, "image")
    assert content(runs) == content(train([run.config for run in runs], tmp_path / "without", data))


@pytest.mark.parametrize("killed", ["tracker half written", "log not noted", "tracker not written"])
def test_resume_logs_each_number_once(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    """The process ends in its third epoch's writing: before, in the middle of, and after the tracker's own writing."""
    flush = tensorboard.TensorBoard.flush
    calls = []

    def dying(self: tensorboard.TensorBoard) -> str:
        calls.append(self)
        if len(calls) < 4:  # before training, and after two epochs
            return flush(self)
        if killed != "tracker not written":
            flush(self)
        if killed == "tracker half written":
            self.path.write_bytes(self.path.read_bytes()[:-7])
        raise KeyboardInterrupt

    monkeypatch.setattr(tensorboard.TensorBoard, "flush", dying)
    with pytest.raises(KeyboardInterrupt):
        train([small(data)], tmp_path, data, log="tensorboard", checkpoint_every=1)
    monkeypatch.setattr(tensorboard.TensorBoard, "flush", flush)
    (run,) = train([small(data)], tmp_path, data, log="tensorboard", checkpoint_every=1)
    found = events(run)
    assert sorted(numbers(found)) == sorted(expected(run))
    assert tags(found, "image") == [(n, tag) for n in (1, 2, 3, 4) for tag in ("reconstructions", "pi")]
    before = len(found)
    train([small(data)], tmp_path, data, log="tensorboard")
    assert len(events(run)) == before, "a finished run is logged once"


def test_a_finished_run_is_logged_later(data: Dataset, tmp_path: Path) -> None:
    (run,) = train([small(data)], tmp_path, data)
    train([small(data)], tmp_path, data, log="tensorboard")
    assert sorted(numbers(events(run))) == sorted(expected(run))


def test_a_tracker_that_fails_loses_nothing(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises at the second epoch: one line says so, and the next session logs what is missing."""
    scalars = tensorboard.TensorBoard.scalars

    def away(self: Any, epoch: int, values: Any) -> None:
        if epoch == 2:
            raise ConnectionError("no\nserver")
        scalars(self, epoch, values)

    monkeypatch.setattr(tensorboard.TensorBoard, "scalars", away)
    told, pair = Told(), [small(data), small(data, seed=1)]
    runs = train(pair, tmp_path / "with", data, log="tensorboard", checkpoint_every=1, progress=told)
    assert [each for each in told.messages if "tensorboard" in each] == [
        "tensorboard failed (ConnectionError: no server); training goes on without it, "
        "and the same command logs the rest"
    ]
    assert content(runs) == content(train(pair, tmp_path / "without", data, checkpoint_every=1))
    assert {step for step, *_ in numbers(events(runs[0]))} == {1}
    monkeypatch.setattr(tensorboard.TensorBoard, "scalars", scalars)
    train(pair, tmp_path / "with", data, log="tensorboard")
    for run in runs:
        assert sorted(numbers(events(run))) == sorted(expected(run))


def test_processes_log_too(data: Dataset, tmp_path: Path) -> None:
    pair = [small(data), small(data, seed=1)]
    for run in train_in_processes(pair, tmp_path, data, log="tensorboard", jobs=2):
        assert sorted(numbers(events(run))) == sorted(expected(run))


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "structured-prediction"},
        {"strategy": "gaussian-reparameterisation"},
        {"strategy": "nvil", "keep": "best"},
    ],
)
def test_other_models_are_logged(data: Dataset, tmp_path: Path, fields: dict[str, Any]) -> None:
    """Halves of images are not shown, nor probabilities where there are none."""
    told = Told()
    (run,) = train([small(data, **fields)], tmp_path, data, log="tensorboard", progress=told)
    assert not [each for each in told.messages if "failed" in each]
    shown = {tag for _, tag in tags(events(run), "image")}
    assert ("pi" in shown) == run.config.categorical
    assert ("reconstructions" in shown) == (run.config.task == "vae")


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, Any]]]:
    """The calls that a module in the place of ``wandb`` got."""
    calls: list[tuple[str, Any]] = []

    def init(**given: Any) -> Any:
        calls.append(("init", given))
        return SimpleNamespace(
            define_metric=lambda name, **rest: calls.append(("define", (name, rest))),
            config=SimpleNamespace(update=lambda values, **rest: calls.append(("config", values))),
            log=lambda values: calls.append(("log", values)),
            finish=lambda exit_code: calls.append(("finish", exit_code)),
        )

    fake = ModuleType("wandb")
    fake.init, fake.Image = init, lambda image: image  # type: ignore[attr-defined]
    fake.Settings = lambda **given: given  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delitem(sys.modules, TRACKERS["wandb"], raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    yield calls
    sys.modules.pop(TRACKERS["wandb"], None)


def test_weights_and_biases_gets_the_same(data: Dataset, tmp_path: Path, wandb: list[tuple[str, Any]]) -> None:
    (run,) = train([small(data)], tmp_path, data, log="wandb")
    kinds = [kind for kind, _ in wandb]
    assert kinds[:3] == ["init", "define", "config"]
    assert wandb[-1] == ("finish", 0)
    given = wandb[0][1]
    assert (given["id"], given["mode"], given["dir"]) == (run.config.name, "offline", run.folder / "wandb")
    assert given["settings"]["x_disable_meta"], "a command may hold a password"
    assert wandb[2][1]["architecture.latents"] == run.config.architecture.latents
    logged = [values for kind, values in wandb if kind == "log"]
    found = [(v["epoch"], tag, x) for v in logged for tag, x in v.items() if tag != "epoch" and isinstance(x, float)]
    rows = run.history().itertuples(index=False)
    assert sorted(found) == sorted((row.epoch, f"{row.split}/{row.metric}", row.value) for row in rows)
    assert any(isinstance(values.get("pi"), Image.Image) for values in logged)
    assert parse_json((run.folder / "wandb" / "logged.json").read_text())["epoch"] == 4


def test_a_failed_run_is_logged_to_its_last_epoch(data: Dataset, tmp_path: Path, wandb: list[tuple[str, Any]]) -> None:
    """Its last epochs come after its last good checkpoint; nothing trains them again."""
    bad = small(data, learning_rate=Schedule(1e-3, decay=1e12))
    (run,) = train([bad], tmp_path, data, log="tensorboard", checkpoint_every=4)
    assert run.failure
    assert run.step == 0
    assert numbers(events(run))
    assert sorted(numbers(events(run))) == sorted(expected(run))
    train([bad], tmp_path, data, log="wandb")
    assert wandb[-1] == ("finish", 1), "no success is shown"


@pytest.mark.parametrize("lost", ["events", "a part of the events", "logged.json", "a part of logged.json"])
def test_a_log_that_was_lost_is_made_again(data: Dataset, tmp_path: Path, lost: str) -> None:
    (run,) = train([small(data)], tmp_path, data, log="tensorboard")
    path = run.folder / "tensorboard" / ("logged.json" if "logged" in lost else tensorboard.NAME)
    if "part" in lost:
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    train([run.config], tmp_path, data, log="tensorboard")
    found = events(run)
    assert sorted(numbers(found)) == sorted(expected(run))
    assert tags(found, "image")


def test_pi_of_many_categories_is_no_huge_image(data: Dataset, tmp_path: Path) -> None:
    (run,) = train([Config(architecture=Architecture(2, 64, (16,)), data=data.config, epochs=1)], tmp_path, data)
    assert pictures(run, data, torch.device("cpu"))["pi"].size == (8 * 64 * 4, 2 * 4)


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the real store beside the runs of this test."""
    client = pytest.importorskip("mlflow").MlflowClient
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TELEMETRY_DISABLED", "true")
    return lambda: client(f"sqlite:///{tmp_path / 'mlflow.db'}")


def mlflow_numbers(client: Any, run: Run) -> list[tuple[int, str, float]]:
    """All that MLflow has of a run, but for the axis."""
    (found,) = client.search_runs(
        [client.get_experiment_by_name("discrete-vae").experiment_id], f"run_name = '{run.config.name}'"
    )
    assert found.data.params["architecture.latents"] == str(run.config.architecture.latents)
    history = [each for name in found.data.metrics for each in client.get_metric_history(found.info.run_id, name)]
    assert {each.path for each in client.list_artifacts(found.info.run_id)} == {"pi", "reconstructions"}
    assert found.info.status == "FINISHED"
    return [(each.step, each.key, each.value) for each in history if each.key != "epoch"]


def test_mlflow_gets_the_same(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow: Any) -> None:
    """Of runs side by side, whose process ends after the second epoch was sent and before that was noted."""
    from discrete_vae.trackers.mlflow import MLflow

    scalars, pair = MLflow.scalars, [small(data), small(data, seed=1)]

    def dying(self: Any, epoch: int, values: Any) -> None:
        scalars(self, epoch, values)
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(MLflow, "scalars", dying)
    with pytest.raises(KeyboardInterrupt):
        train(pair, tmp_path, data, log="mlflow", checkpoint_every=1)
    monkeypatch.setattr(MLflow, "scalars", scalars)
    runs = train(pair, tmp_path, data, log="mlflow", checkpoint_every=1)
    for run in runs:
        rows = run.history().itertuples(index=False)
        whole = sorted((row.epoch, f"{row.split}/{row.metric}", row.value) for row in rows)
        assert sorted(mlflow_numbers(mlflow(), run)) == whole
    assert runs[0].folder.joinpath("mlflow", "logged.json").exists()


def test_what_cannot_be_a_tracker(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made before it is said."""
    with pytest.raises(InputError, match="tensorboard, wandb, mlflow"):
        train([small(data)], tmp_path, data, log="nothing-known")
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, TRACKERS["wandb"], raising=False)
    with pytest.raises(InputError, match=r"pip install 'discrete-vae\[wandb\]'"):
        train([small(data)], tmp_path, data, log="wandb")
    broken = tmp_path / "versions" / "wandb.py"
    broken.parent.mkdir()
    broken.write_text("raise TypeError('Descriptors cannot be created')")
    monkeypatch.syspath_prepend(broken.parent)
    monkeypatch.delitem(sys.modules, "wandb")
    with pytest.raises(InputError, match=r"Descriptors cannot be created\); pip install 'discrete-vae\[wandb\]'"):
        train([small(data)], tmp_path / "runs", data, log="wandb")
    assert not (tmp_path / "runs").exists()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--dataset", "binarised-mnist-1000", "--batch-size", "40", "--epochs", "1", "--hidden", "16"]
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "reinmax", *few, "--log", "nothing-known"])
    assert end.value.code == 2
    assert "tensorboard, wandb" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "reinmax", *few, "--log", "tensorboard"])
    assert not end.value.code
    assert list(tmp_path.glob("runs/*/tensorboard/events.*"))


def test_a_study_logs_the_runs_of_its_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pydantic is loaded, as trackers do: cyclopts then holds defaults to their types."""
    importlib.import_module("pydantic")
    monkeypatch.chdir(tmp_path)
    few = ["--dataset", "binarised-mnist-1000", "--batch-size", "40", "--hidden", "16", "--epochs", "1", "--seeds", "2"]
    with pytest.raises(SystemExit) as end:
        studies.main(["run", "gumbel-softmax", *few, "--trials", "1", "--log", "tensorboard"])
    assert not end.value.code
    runs = find(tmp_path / "runs")
    assert len(runs) == 2
    for run in runs:
        assert sorted(numbers(events(run))) == sorted(expected(run))


def test_every_tracker_has_its_extra() -> None:
    """The message that a missing package gets names one that there is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"].keys() >= TRACKERS.keys()
