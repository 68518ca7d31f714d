"""A run that keeps its best epoch is that epoch's model, however its training was cut off."""

from __future__ import annotations

import math
import re
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from discrete_vae.cli import evaluate as evaluate_command
from discrete_vae.cli.listing import show_runs
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import evaluate
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs.run import EVALUATION, HISTORY, Run, checkpoints, table
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import Interrupted, train
from discrete_vae.tuning.scores import metrics_after
from tests.tiny_images import middle
from tests.training.killing import Killed, content, killed_after, unrecorded

CPU = torch.device("cpu")
EPOCHS = 5


@pytest.fixture(scope="module")
def data() -> Dataset:
    return middle(1000, 200)


def config(**fields: Any) -> Config:
    """Ten steps an epoch."""
    options = STRATEGIES["gumbel-softmax"].Options(Schedule(1.0, decay=0.8))
    given = {"epochs": EPOCHS, "data": middle(1000, 200).config, "keep": "best", **fields}
    return Config(options=options, architecture=Architecture(3, 3, (15,)), **given)


PAIR = [
    config(learning_rate=Schedule(0.01, decay=8.0)),  # which is torn apart in the end
    config(seed=1, learning_rate=Schedule(0.01)),
]
"""Members whose best epochs are in the middle and at the end."""


def elbos(run: Run) -> list[float]:
    found = run.history().query("split == 'validation' and metric == 'elbo'")
    assert list(found["epoch"]) == list(range(1, len(found) + 1))
    return list(found["value"])


quick = pytest.fixture(scope="module", autouse=True)(unrecorded)


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return train(PAIR, tmp_path_factory.mktemp("whole"), data, checkpoint_every=1)


def test_members_have_their_own_best_epochs(whole: Sequence[Run]) -> None:
    best = [max(range(EPOCHS), key=elbos(run).__getitem__) + 1 for run in whole]
    assert [run.kept_epoch for run in whole] == best
    assert 1 < best[0] < EPOCHS
    assert best[1] != best[0]
    for run in whole:
        assert checkpoints.steps(run.folder) == [50]
        assert checkpoints.steps(run.folder, checkpoints.BEST) == [10 * run.kept_epoch]


def test_it_is_the_model_of_a_run_that_ended_there(data: Dataset, whole: Sequence[Run], tmp_path: Path) -> None:
    """In its evaluation, its samples and its scheduled hyper-parameters."""
    for run in whole:
        shorter = replace(run.config, epochs=run.kept_epoch, keep="last")
        (last,) = train([shorter], tmp_path, data)
        one, other = (Population.load([each], CPU) for each in (run, last))
        for name, tensor in other.state().items():
            torch.testing.assert_close(one.state()[name], tensor, msg=name)
        temperature = 0.8**run.kept_epoch
        assert one.strategy.temperature.item() == pytest.approx(temperature)
        drawn = [each.model.draw(20, Noise([seeded(0, "prior")])) for each in (one, other)]
        torch.testing.assert_close(*drawn)  # a member alone rounds otherwise
        values = [evaluate([each], data, "validation", 1).set_index("metric")["value"] for each in (run, last)]
        assert values[0].to_dict() == pytest.approx(values[1].to_dict(), rel=1e-4)
        assert values[0]["elbo"] == pytest.approx(max(elbos(run)), rel=1e-5)


def test_training_does_not_depend_on_what_is_kept(data: Dataset, whole: Sequence[Run], tmp_path: Path) -> None:
    last = train([replace(each, keep="last") for each in PAIR], tmp_path, data)
    for one, other in zip(whole, last, strict=True):
        assert one.config.identity != other.config.identity
        assert elbos(one) == elbos(other)
        assert checkpoints.steps(other.folder, checkpoints.BEST) == []
        tensors = [checkpoints.read(each.folder, 50, each.config.identity) for each in (one, other)]
        assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.fixture(scope="module")
def changes(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Files that training the pair renames or removes."""
    with killed_after(0) as passed:
        train(PAIR, tmp_path_factory.mktemp("counted"), data, checkpoint_every=1)
    return passed()


def test_killed_at_any_moment(data: Dataset, whole: Sequence[Run], changes: int, tmp_path: Path) -> None:
    """What is on the disk after each change is a model already, or none yet; the end is that of an unbroken run."""
    expected, wrong, seen = content(whole), [], set()
    scores = [elbos(run) for run in whole]
    for change in range(2, changes + 1, 6):  # another moment of each epoch
        runs = tmp_path / str(change)
        with killed_after(change), pytest.raises(Killed):
            train(PAIR, runs, data, checkpoint_every=1)
        for own, each in zip(scores, PAIR, strict=True):
            run = Run(runs / each.name, each)
            if run.step:
                assert run.kept_epoch == max(range(run.step // 10), key=own.__getitem__) + 1
                Population.load([run], CPU)
        seen.add(tuple(Run(runs / each.name, each).step for each in PAIR))
        again = train(PAIR, runs, data, checkpoint_every=1)
        if content(again) != expected:
            wrong.append(change)
        shutil.rmtree(runs)
    assert any(first != second for first, second in seen), "kills fell between two members' checkpoints"
    assert wrong == []


def test_best_epochs_between_two_checkpoints(data: Dataset, whole: Sequence[Run], tmp_path: Path) -> None:
    """They wait in memory for the checkpoint that knows of them, and are lost with it."""

    def stop(at: int, metrics: Any) -> tuple[()]:
        if at == 4:
            signal.raise_signal(signal.SIGINT)
        return ()

    def die(at: int, metrics: Any) -> tuple[()]:
        if at == 4:
            raise Killed
        return ()

    assert content(train(PAIR, tmp_path / "unbroken", data, checkpoint_every=100)) == content(whole)
    with pytest.raises(Killed):
        train(PAIR, tmp_path, data, checkpoint_every=3, prune=die)
    assert [(run.step, run.kept_epoch) for run in found(tmp_path)] == [(30, kept_before(run, 3)) for run in whole]
    with pytest.raises(Interrupted):
        train(PAIR, tmp_path, data, checkpoint_every=100, prune=stop)
    assert [(run.step, run.kept_epoch) for run in found(tmp_path)] == [(40, kept_before(run, 4)) for run in whole]
    Population.load(found(tmp_path), CPU)
    assert content(train(PAIR, tmp_path, data, checkpoint_every=100)) == content(whole)


def found(runs: Path) -> list[Run]:
    return [Run.open(runs / each.name) for each in PAIR]


def kept_before(run: Run, epoch: int) -> int:
    return max(range(epoch), key=elbos(run).__getitem__) + 1


def test_a_pruned_run_is_its_best_epoch_so_far(data: Dataset, whole: Sequence[Run], tmp_path: Path) -> None:
    train(PAIR, tmp_path, data, prune=lambda at, metrics: [run for run in metrics if at == 4 and run.config.seed == 0])
    first, second = found(tmp_path)
    assert (first.step, first.kept_epoch) == (40, kept_before(whole[0], 4))
    assert second.finished
    assert content([second])[0][1] == whole[1].kept_epoch
    assert metrics_after(first, 4)["elbo"] == max(elbos(first)[:4])
    Population.load([first], CPU)


def test_a_failed_run_is_its_best_epoch_before(data: Dataset, tmp_path: Path) -> None:
    absurd = config(learning_rate=Schedule(0.01, decay=1e33, every=25, unit="step"))
    (run,) = train([absurd], tmp_path, data, checkpoint_every=1)
    assert run.failure is not None
    assert run.kept_epoch in (1, 2)
    Population.load([run], CPU)


@pytest.mark.parametrize(
    ("scores", "kept"),
    [([-3.0, -1.0, -2.0], 2), ([-2.0, -1.0, -1.0], 2), ([math.nan, -5.0, math.nan], 2), ([math.nan], 0), ([], 0)],
)
def test_the_kept_epoch(tmp_path: Path, scores: list[float], kept: int) -> None:
    """The earlier of equals; no NaN, no other split and metric, and nothing behind the checkpoint."""
    run = Run.create(tmp_path, config())
    rows = [(epoch, "validation", "elbo", value) for epoch, value in enumerate([*scores, 0.0], 1)]
    rows[-1] = 4, *rows[-1][1:]
    rows += [(1, "train", "elbo", 9.0), (1, "validation", "kl", 9.0)]
    lines = [HISTORY, *rows]
    (run.folder / "history.csv").write_text("".join(",".join(map(str, each)) + "\n" for each in lines))
    assert run.kept_at(39) == kept
    assert replace(run, config=replace(run.config, keep="last")).kept_at(39) == 3


def test_the_list_and_the_table_tell_the_kept_epoch(
    whole: Sequence[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert show_runs(whole) == {}
    shown = capsys.readouterr().out
    for run in whole:
        assert f"finished, kept: epoch {run.kept_epoch}" in shown
        assert f"{max(elbos(run)):.2f}" in shown
    assert shown.count("keep=best") == 2
    run = replace(whole[0], folder=tmp_path)
    shutil.copytree(whole[0].folder, tmp_path, dirs_exist_ok=True)
    run.write_evaluation(pd.DataFrame([("test", "elbo", 1, -3.0)], columns=EVALUATION))
    told = table([run])
    assert set(told[told["split"] == "test"]["epoch"]) == {run.kept_epoch}


def test_weights_that_are_not_there(data: Dataset, whole: Sequence[Run], tmp_path: Path) -> None:
    run = replace(whole[0], folder=tmp_path / whole[0].folder.name)
    shutil.copytree(whole[0].folder, run.folder)
    path = checkpoints.path_of(run.folder, 10 * run.kept_epoch, checkpoints.BEST)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    message = f"checkpoint {path} is corrupt (its SHA-256 does not match); {checkpoints.REMEDY_BEST}"
    with pytest.raises(InputError, match=re.escape(message)):
        Population.load([run], CPU)
    path.unlink()
    for ask in (run.check, lambda: Population.load([run], CPU)):
        with pytest.raises(InputError, match=f"{re.escape(str(path))} cannot be read .*delete the run's folder"):
            ask()
    write = checkpoints.read(run.folder, 50, run.config.identity)
    checkpoints.path_of(run.folder, 50).unlink()
    checkpoints.write(run.folder, 40, run.config.identity, write)
    with pytest.raises(InputError, match="cannot be read"):  # before it trains to the end in vain
        train([run.config], tmp_path, data)


def test_no_epoch_has_ended(tmp_path: Path) -> None:
    run = Run.create(tmp_path, config())
    checkpoints.write(run.folder, 5, run.config.identity, {})
    assert (run.kept_epoch, run.status) == (0, "0.5 of 5 epochs")
    with pytest.raises(InputError, match="has not come to the end of one; train it further"):
        Population.load([run], CPU)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "generator", "data": DataConfig("expressions")}, "keep is best, .* task generator; leave it at last"),
        ({"strategy": "backpropagation", "task": "critic", "data": DataConfig("8-gaussians")}, "leave it at last"),
        ({"keep": "beast"}, "did you mean 'best'"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    """Tasks whose score does not order epochs, and what is neither."""
    with pytest.raises(InputError, match=message):
        Config(**{"keep": "best", **fields})
    assert Config.fitting(**{**fields, "keep": "best"} if "task" in fields else {}).keep == "last"


def test_the_evaluation_tells_the_kept_epoch(
    data: Dataset, whole: Sequence[Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(evaluate_command, "load", lambda *arguments: data)
    evaluate_command.evaluate(str(whole[0].folder), split="validation", samples=1)
    shown = " ".join(capsys.readouterr().out.split())  # the caption is folded
    assert f"validation, nats; {whole[0].config.identity} as of epoch {whole[0].kept_epoch}, its best" in shown
    assert f"{max(elbos(whole[0])):.3f}"[:-1] in shown
