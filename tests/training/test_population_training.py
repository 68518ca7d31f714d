"""A member of a population is trained as if it were alone; members end, leave by pruning, and fail, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise
from discrete_vae.runs.run import Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from discrete_vae.training import journal, train
from discrete_vae.training import loop as training
from tests.training.small_runs import ABSURD, CASES, Told, config, distance, of_each_kind, others, value, weights

pytestmark = pytest.mark.usefixtures("short_epochs")


@pytest.mark.usefixtures("plain_steps")
@pytest.mark.parametrize("case", of_each_kind(CASES))
def test_a_result_does_not_depend_on_who_is_trained_beside(data: Dataset, tmp_path: Path, case: str) -> None:
    """Within what the order of a float32 sum may change in 25 steps; the members' own noise would change far more."""
    own = config(*CASES[case], seed=7, learning_rate=Schedule(3e-3))
    beside = others(*CASES[case])
    (alone,) = train([own], tmp_path / "alone", data)
    *_, in_two = train([beside[0], own], tmp_path / "two", data)
    in_five = train([*beside[:2], own, *beside[2:]], tmp_path / "five", data)
    for run in (in_two, in_five[2]):
        assert run.sessions()[0]["population"] in (2, 5)
        assert distance(run, alone) < 1e-3
        # A bound of several samples has no KL of its own.
        for metric in {"loss", "kl"} & set(run.history().query("split == 'train'")["metric"]):
            assert value(run, "train", metric) == pytest.approx(value(alone, "train", metric), rel=1e-5)
        assert value(run, "validation", "elbo") == pytest.approx(value(alone, "validation", "elbo"), rel=1e-3)
    apart = train([replace(own, seed=8)], tmp_path / "apart", data)[0]
    assert distance(apart, alone) > 0.1, "the tolerance tells runs apart"


def test_order_noise_and_first_weights_are_the_same_bits(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record all that a member is given: its images, its uniform numbers and where its weights start."""
    seen: list[Tensor] = []
    uniform, batch = Noise.uniform, Split.batch

    def recorded(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def record(*arguments: Any, **keywords: Any) -> Tensor:
            result = function(*arguments, **keywords)
            seen.append(result.clone())
            return result

        return record

    monkeypatch.setattr(Noise, "uniform", recorded(uniform))
    monkeypatch.setattr(Split, "batch", recorded(batch))

    def given(configs: Sequence[Config], member: int) -> list[Tensor]:
        seen.clear()
        trainer = training.Trainer([Run(tmp_path, each) for each in configs], data, torch.device("cpu"))
        first = [parameter[member].clone() for parameter in trainer.population.state().values()]
        for _ in range(2):
            trainer.train_epoch(lambda: True)
        return first + [each[member] for each in seen]

    own, beside = config(seed=7), others("gumbel-softmax", None)
    alone = given([own], 0)
    assert len(alone) > 100
    for configs in ([beside[0], own], [*beside, own]):
        together = given(configs, len(configs) - 1)
        assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))
        assert not any(map(torch.equal, alone[-20:], given(configs, 0)[-20:])), "another seed's differ"


@pytest.mark.parametrize(("rate", "step", "good"), [(ABSURD[0], 1, "none"), (ABSURD[1], 31, "step 25")])
def test_a_member_whose_loss_is_not_finite_fails_alone(
    data: Dataset, tmp_path: Path, rate: Schedule, step: int, good: str
) -> None:
    """The absurd learning rate acts at the first step, or from step 30, in the second epoch, on."""
    well = [config(seed=seed, epochs=3, learning_rate=Schedule(1e-3 * (1 + seed))) for seed in range(2)]
    absurd = config(seed=5, epochs=3, learning_rate=rate)
    expected = train(well, tmp_path / "without", data)
    first, failed, second = train([well[0], absurd, well[1]], tmp_path / "with", data)

    assert failed.failure is not None
    assert failed.failure["epoch"] == failed.failure["step"] // 25 + 1
    assert failed.failure["step"] >= step
    message = failed.failure["message"]
    named = (str(failed.folder), f"at step {failed.failure['step']}", f"epoch {failed.failure['epoch']}", good, "try a")
    assert [part for part in named if part not in message] == []
    assert (failed.status, failed.finished) == ("failed", False)
    assert checkpoints.steps(failed.folder) == ([0] if good == "none" else [0, 25 * (failed.failure["epoch"] - 1)])
    assert all(bool(each.isfinite().all()) for each in (weights(failed) if failed.step else {}).values())

    for run, other in zip((first, second), expected, strict=True):
        assert run.finished
        assert distance(run, other) < 1e-3  # a population of three rounds otherwise than one of two
        pd.testing.assert_frame_equal(run.history(), other.history(), rtol=1e-5)

    sessions = len(failed.sessions())
    train([absurd, *well], tmp_path / "with", data)
    assert len(failed.sessions()) == sessions, "what failed is not tried again"


def test_the_others_go_on_from_where_they_are_after_a_member_failed(data: Dataset, tmp_path: Path) -> None:
    """A failed member's older checkpoint is no reason to roll the others back."""
    pair = [config(epochs=3), config(seed=5, epochs=3, learning_rate=ABSURD[1])]
    with pytest.raises(BrokenPipeError):
        train(pair, tmp_path, data, progress=Told(until=75))
    well, failed = (Run(tmp_path / each.name, each) for each in pair)
    assert (well.step, failed.step, failed.status) == (50, 25, "failed")
    train(pair, tmp_path, data)
    assert well.finished
    assert [each["steps"] for each in well.sessions()] == [[0, 50], [50, 75]]


def test_members_leave_when_they_have_their_epochs(data: Dataset, tmp_path: Path) -> None:
    """Each ends as it would alone, and the others go on with what they have."""
    rates = {"learning_rate": Schedule(3e-3, decay=0.9), "beta": Schedule(1.0, warmup=2)}
    configs = [config(seed=seed, epochs=epochs, **rates) for seed, epochs in enumerate((4, 1, 2, 4))]
    told = Told()
    together = train(configs, tmp_path / "together", data, progress=told)
    assert [label for label, *_ in told.starts] == ["4 runs of gumbel-softmax"]
    for run in together:
        (alone,) = train([run.config], tmp_path / "alone", data)
        assert run.finished
        times = {"seconds": 0, "member_seconds": 0}
        assert run.sessions()[0] | times == alone.sessions()[0] | times | {"population": 4}
        assert distance(run, alone) < 1e-3
        pd.testing.assert_frame_equal(run.history(), alone.history(), rtol=1e-3)
        assert sorted(path.name for path in run.folder.iterdir()) == sorted(p.name for p in alone.folder.iterdir())
    shares = [run.sessions()[0]["member_seconds"] for run in together]
    assert shares[0] == shares[3] > shares[2] > shares[1] > 0
    assert sum(shares) == pytest.approx(together[0].sessions()[0]["seconds"], abs=0.1), "nobody's time counts twice"


def test_a_pruned_run_leaves_and_goes_on_later(data: Dataset, tmp_path: Path) -> None:
    """It is told of every epoch until it leaves; asked for again it ends as if nothing had happened."""
    configs = [config(seed=seed, epochs=4) for seed in range(3)]
    asked: list[tuple[int, int]] = []

    def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> list[Run]:
        asked.extend((run.config.seed, epoch) for run in metrics)
        for found in metrics.values():
            assert found["elbo"] == pytest.approx(found["reconstruction_hard"] - found["kl"], rel=1e-5)
        return [run for run in metrics if (run.config.seed, epoch) in {(0, 1), (2, 3)}]

    first, second, third = train(configs, tmp_path / "pruned", data, prune=prune)
    assert sorted(asked) == [(0, 1), (1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3)]
    assert [run.status for run in (first, second, third)] == ["1 of 4 epochs", "finished", "3 of 4 epochs"]
    assert set(first.history()["epoch"]) == {1}
    whole = train(configs, tmp_path / "whole", data)
    assert distance(second, whole[1]) < 1e-3
    for run, other in zip(train(configs, tmp_path / "pruned", data), whole, strict=True):
        assert run.finished
        assert distance(run, other) < 1e-3
        pd.testing.assert_frame_equal(run.history(), other.history(), rtol=1e-3)


def test_a_pruned_run_stays_out_after_an_interruption(data: Dataset, tmp_path: Path) -> None:
    """The others then go on alone as they would have, with the same bits."""
    pair = [config(epochs=3), config(seed=1, epochs=3)]

    def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> list[Run]:
        return [run for run, found in metrics.items() if run.config.seed == 1 and found["elbo"] < 0]

    whole, pruned = train(pair, tmp_path / "whole", data, prune=prune)
    assert (whole.step, pruned.step) == (75, 25)
    with pytest.raises(BrokenPipeError):
        train(pair, tmp_path / "cut", data, prune=prune, progress=Told(until=75))
    cut, out = train(pair, tmp_path / "cut", data, prune=prune)
    assert (cut.step, out.step) == (75, 25)
    assert distance(cut, whole) == 0


def test_when_all_have_failed_training_ends(data: Dataset, tmp_path: Path) -> None:
    configs = [config(seed=seed, epochs=1000, learning_rate=ABSURD[0]) for seed in range(2)]
    runs = train(configs, tmp_path, data)
    assert [run.status for run in runs] == ["failed", "failed"]
    assert runs[0].sessions()[0]["steps"][1] <= 50
    assert runs[0].history().empty


def test_runs_of_different_shapes_train_one_after_the_other(data: Dataset, tmp_path: Path) -> None:
    configs = [config(), config("target-propagation"), config(seed=1), replace(config(), architecture=Architecture(2))]
    runs = train(configs, tmp_path, data)
    assert [run.config for run in runs] == configs
    assert all(run.finished for run in runs)
    assert [run.sessions()[0]["population"] for run in runs] == [2, 1, 2, 1]


def test_a_population_of_different_shapes_is_refused(data: Dataset, tmp_path: Path) -> None:
    runs = [Run(tmp_path, config()), Run(tmp_path, config(batch_size=50))]
    with pytest.raises(InputError, match="may differ in seeds, schedules and epochs only"):
        training.Trainer(runs, data, torch.device("cpu"))


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_member_whose_validation_is_not_finite_fails_alone(
    value: float, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights may still be finite; a history has no such numbers."""
    whole = journal.evaluate_population

    def broken(population, *rest, **options):
        found = whole(population, *rest, **options)
        found["elbo"][[run.config.seed for run in trained].index(1)] = value
        return found

    trained: list[Run] = []
    monkeypatch.setattr(journal, "evaluate_population", broken)
    monkeypatch.setattr(Run, "write_sessions", lambda run, *_: run in trained or trained.append(run))
    well, failed = train([config(seed=seed, epochs=1) for seed in range(2)], tmp_path, data)
    assert failed.failure is not None
    assert "a validation metric is not finite" in failed.failure["message"]
    assert well.finished
