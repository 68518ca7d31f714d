"""A run with patience ends where its validation score has not risen for so many epochs, as if that were its length."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from discrete_vae.cli.listing import show_runs
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import evaluate
from discrete_vae.runs.run import EVALUATION, HISTORY, Run, checkpoints, table
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, Supervision
from discrete_vae.training import train
from discrete_vae.tuning.scores import metrics_after
from tests.tiny_images import middle
from tests.training.killing import Killed, content, killed_after, unrecorded

CPU = torch.device("cpu")
EPOCHS = 8
quick = pytest.fixture(scope="module", autouse=True)(unrecorded)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return middle(1000, 200)


def config(**fields: Any) -> Config:
    """Ten steps an epoch."""
    options = STRATEGIES["gumbel-softmax"].Options(Schedule(1.0, decay=0.8))
    given = {"epochs": EPOCHS, "data": middle(1000, 200).config, "patience": 2, **fields}
    return Config(options=options, architecture=Architecture(3, 3, (15,)), **given)


PAIR = [
    config(learning_rate=Schedule(0.01, decay=8.0)),  # which gets worse in the middle
    config(seed=1, learning_rate=Schedule(0.01), patience=3),
]


@pytest.fixture(scope="module", params=["last", "best"])
def keep(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def pair(keep: str) -> list[Config]:
    return [replace(each, keep=keep) for each in PAIR]


@pytest.fixture(scope="module")
def whole(data: Dataset, pair: list[Config], tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    return train(pair, tmp_path_factory.mktemp("whole"), data, checkpoint_every=1)


def elbos(run: Run) -> list[float]:
    found = run.history().query("split == 'validation' and metric == 'elbo'")
    assert list(found["epoch"]) == list(range(1, len(found) + 1))
    return list(found["value"])


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return checkpoints.read(run.folder, run.step, run.config.identity)


def test_a_run_ends_with_its_patience(whole: Sequence[Run]) -> None:
    first, second = whole
    scores = elbos(first)
    best = max(range(len(scores)), key=scores.__getitem__) + 1
    assert 1 <= best < len(scores) < EPOCHS
    assert len(scores) == best + 2 == first.last_epoch
    assert (first.step, first.finished, first.status) == (10 * len(scores), True, "finished")
    assert first.kept_epoch == (best if first.config.keep == "best" else best + 2)
    assert (second.step, second.last_epoch, len(elbos(second))) == (10 * EPOCHS, EPOCHS, EPOCHS)
    assert checkpoints.steps(first.folder) == [10 * len(scores)]
    Population.load(whole, CPU)


def test_it_is_the_run_of_that_length(data: Dataset, pair: list[Config], whole: Sequence[Run], tmp_path: Path) -> None:
    """To the bit, and so is who trained beside it and went on."""
    plain = [replace(each, epochs=run.last_epoch, patience=0) for each, run in zip(pair, whole, strict=True)]
    assert len({each.population_key for each in (*pair, *plain)}) == 1
    for one, other in zip(whole, train(plain, tmp_path, data), strict=True):
        assert one.config.identity != other.config.identity
        assert (one.folder / "history.csv").read_text() == (other.folder / "history.csv").read_text()
        assert tensors(one).keys() == tensors(other).keys()
        assert all(torch.equal(tensor, tensors(other)[name]) for name, tensor in tensors(one).items())
        assert one.kept_epoch == other.kept_epoch


def test_what_has_ended_is_not_trained_again(
    data: Dataset, pair: list[Config], whole: Sequence[Run], tmp_path: Path
) -> None:
    """Alone, beside another that is asked for later, and beside one that goes on."""
    runs = tmp_path / "runs"
    shutil.copytree(whole[0].folder.parent, runs)
    before = content(whole)
    shutil.rmtree(runs / whole[1].folder.name)
    first, second = train(pair, runs, data, checkpoint_every=1)
    assert content([first]) == before[:1]
    assert second.finished
    (alone,) = train(pair[1:], tmp_path / "alone", data, checkpoint_every=1)
    assert content([second]) == content([alone])  # with nobody beside it


def test_killed_at_any_moment(data: Dataset, pair: list[Config], whole: Sequence[Run], tmp_path: Path) -> None:
    """The end is that of an unbroken run, whose patience counts from before the kill."""
    expected, wrong = content(whole), []
    with killed_after(0) as passed:
        train(pair, tmp_path / "counted", data, checkpoint_every=1)
    seen = set()
    for change in range(3, passed() + 1, 8):  # another moment of each epoch
        runs = tmp_path / str(change)
        with killed_after(change), pytest.raises(Killed):
            train(pair, runs, data, checkpoint_every=1)
        seen.add(Run(runs / pair[0].name, pair[0]).step)
        if content(train(pair, runs, data, checkpoint_every=1)) != expected:
            wrong.append(change)
        shutil.rmtree(runs)
    assert {10 * (whole[0].last_epoch - 1), 10 * whole[0].last_epoch} <= seen
    assert wrong == []


@pytest.mark.parametrize("every", [3, 100])
def test_patience_does_not_wait_for_a_checkpoint(
    data: Dataset, pair: list[Config], whole: Sequence[Run], every: int, tmp_path: Path
) -> None:
    assert content(train(pair, tmp_path, data, checkpoint_every=every)) == content(whole)


def test_a_run_may_be_pruned_before(data: Dataset, pair: list[Config], whole: Sequence[Run], tmp_path: Path) -> None:
    train(pair, tmp_path, data, prune=lambda at, metrics: [run for run in metrics if at == 2])
    first = Run.open(tmp_path / pair[0].name)
    assert (first.step, first.finished, first.status) == (20, False, f"2 of {EPOCHS} epochs")
    assert content(train(pair, tmp_path, data, checkpoint_every=1)) == content(whole)


def test_a_failed_run_has_not_ended(data: Dataset, tmp_path: Path) -> None:
    absurd = config(learning_rate=Schedule(0.01, decay=1e33, every=25, unit="step"), patience=1)
    (run,) = train([absurd], tmp_path, data)
    assert run.failure is not None
    assert not run.finished


@pytest.mark.parametrize(
    ("scores", "patience", "last"),
    [
        ([-3.0, -2.0, -4.0, -3.0, -1.0], 2, 4),
        ([-3.0, -2.0, -4.0, -1.0, -1.0], 2, EPOCHS),
        ([-3.0, -2.0, -2.0, -2.0], 2, 4),  # an equal is no rise
        ([-1.0, -2.0], 1, 2),
        ([-1.0, -2.0, -3.0], 0, EPOCHS),
        ([-1.0, math.nan, -2.0, -3.0], 2, EPOCHS),  # it failed
        ([], 1, EPOCHS),
    ],
)
def test_the_last_epoch(tmp_path: Path, scores: list[float], patience: int, last: int) -> None:
    run = Run.create(tmp_path, config(patience=patience))
    rows = [(epoch, "validation", "elbo", value) for epoch, value in enumerate(scores, 1)]
    rows += [(epoch, "validation", "kl", -float(epoch)) for epoch in range(1, 7)]
    rows += [(epoch, "train", "elbo", -float(epoch)) for epoch in range(1, 7)]
    (run.folder / "history.csv").write_text("".join(",".join(map(str, each)) + "\n" for each in [HISTORY, *rows]))
    assert (run.last_epoch, run.last_step) == (last, 10 * last)
    assert run.kept_at(run.total_steps) == last


def test_numbers_are_those_of_the_end(
    data: Dataset, whole: Sequence[Run], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the list, the table, an evaluation and a study."""
    monkeypatch.setenv("COLUMNS", "300")
    run, scores = whole[0], elbos(whole[0])
    expected = max(scores) if run.config.keep == "best" else scores[-1]
    assert show_runs([run]) == {}
    shown = capsys.readouterr().out
    assert f"finished at epoch {len(scores)}" in shown
    assert f"{expected:.2f}" in shown
    assert "patience=2" in shown
    assert metrics_after(run, None)["elbo"] == metrics_after(run, EPOCHS)["elbo"] == expected
    values = evaluate([run], data, "validation", 1).set_index("metric")["value"]
    assert values["elbo"] == pytest.approx(expected, rel=1e-5)
    run.write_evaluation(pd.DataFrame([("test", "elbo", 1, -3.0)], columns=EVALUATION))
    told = table([run])
    assert set(told[told["split"] == "test"]["epoch"]) == {run.kept_epoch}


CLASSES = {"task": "semi-supervised", "architecture": Architecture(1, 10, (15,))}


@pytest.mark.parametrize(
    ("fields", "metric"),
    [
        (CLASSES, "elbo"),
        ({**CLASSES, "score": "accuracy"}, "accuracy"),
        ({**CLASSES, "score": "accuracy", "keep": "last"}, "accuracy"),
        ({**CLASSES, "task": "labels-alone"}, "accuracy"),
    ],
)
def test_what_is_looked_at(data: Dataset, fields: dict[str, Any], metric: str, tmp_path: Path) -> None:
    """Of semi-supervised runs the ELBO or the accuracy, of the labels alone the accuracy: their ELBO is 0."""
    given = {"epochs": 6, "patience": 1, "keep": "best", "learning_rate": Schedule(0.1), **fields}
    (run,) = train([Config(data=data.config, supervision=Supervision(labelled=20), **given)], tmp_path, data)
    found = run.history().query("split == 'validation' and metric == @metric").set_index("epoch")["value"]
    assert run.kept_epoch == (found.idxmax() if run.config.keep == "best" else len(found))
    assert (
        run.last_epoch
        == len(found)
        == min(6, next((at for at in found.index[1:] if found[at] <= found[: at - 1].max()), 6))
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"patience": -1}, "patience is -1; give at least 0"),
        ({"patience": 2.0}, "patience is 2.0; give a whole number"),
        ({"patience": 2, "task": "generator", "data": DataConfig("expressions")}, "patience is 2, .* leave it at 0"),
        ({"score": "accuracy", "keep": "best"}, "score is accuracy, .* leave it at task, or give task semi-supervised"),
        ({"score": "accuracy", **CLASSES}, "score is accuracy, .* keep last and patience 0; leave it at task"),
        ({"score": "accurate", "keep": "best", **CLASSES}, "did you mean 'accuracy'"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    """Tasks whose score does not order epochs, and what is no number of epochs."""
    with pytest.raises(InputError, match=message):
        Config(**fields)
