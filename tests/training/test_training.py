"""Training: a member's result is its own, failures stay alone, settings act, and every strategy learns."""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import discrete_vae.training.step
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Split, load
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise
from discrete_vae.runs.run import Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import journal, train
from discrete_vae.training import loop as training
from tests.tiny_images import middle

SMALL = Architecture(4, 3, (16,))
LEARNED = STRATEGIES["target-propagation"].Options("network")
CASES: dict[str, tuple[str, Any]] = {name: (name, None) for name in STRATEGIES}
CASES["learned inverse"] = "target-propagation", LEARNED
MIRROR = STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", local=True, warmup=3)
CASES["layer-local mirror"] = "target-propagation", MIRROR


@pytest.fixture(scope="module")
def data() -> Dataset:
    """The middle 6 x 6 pixels of binarised MNIST, with 500 images to validate on: a step takes milliseconds."""

    return middle()


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch is 25 steps, whatever the size of a batch."""
    monkeypatch.setattr(Run, "steps_per_epoch", 25)


def config(strategy: str = "gumbel-softmax", options: Any = None, **fields: Any) -> Config:
    if getattr(options, "inverse", None) == "mirror":
        fields["auxiliary_learning_rate"] = fields.get("learning_rate", Schedule(3e-4))
    small = replace(SMALL, categories=STRATEGIES[strategy].categories or SMALL.categories)
    given = {"epochs": 1, "batch_size": 100, "data": middle().config, **fields}
    return Config.fitting(strategy, options, architecture=small, **given)


def weights(run: Run) -> dict[str, Tensor]:
    return checkpoints.read(run.folder, run.step, run.config.identity)


def distance(first: Run, second: Run) -> float:
    """The largest difference between the parameters, moments and sums of two runs."""
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


def value(run: Run, split: str, metric: str, epoch: int = -1) -> float:
    history = run.history()
    epoch = history["epoch"].max() if epoch < 0 else epoch
    (found,) = history.query("split == @split and metric == @metric and epoch == @epoch")["value"]
    return float(found)


def others(strategy: str, options: Any) -> list[Config]:
    """Members that differ from a run in all that members may differ in."""
    options = options or STRATEGIES[strategy].Options()
    schedules = {
        item.name: Schedule(0.9, decay=0.5)
        for item in dataclasses.fields(options)
        if isinstance(getattr(options, item.name), Schedule)
    }
    hot = replace(options, **schedules)
    return [
        config(strategy, hot, seed=1, learning_rate=Schedule(0.03), beta=Schedule(0.1)),
        config(strategy, options, seed=2, beta=Schedule(2.0, warmup=1), auxiliary_learning_rate=Schedule(0.1)),
        config(strategy, hot, seed=0, learning_rate=Schedule(1e-3, decay=0.9, every=2, unit="step")),
        config(strategy, options, seed=3),
    ]


@pytest.mark.parametrize("case", CASES)
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


def test_an_epoch_shows_every_image_once_in_an_order_of_its_own(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Tensor] = []
    batch = Split.batch

    def record(split: Split, index: Tensor, *arguments: Any) -> Tensor:
        shown.append(index.clone())
        return batch(split, index, *arguments)

    monkeypatch.setattr(Split, "batch", record)
    runs = [Run(tmp_path, config(batch_size=2000, seed=seed)) for seed in range(2)]
    trainer = training.Trainer(runs, data, torch.device("cpu"))
    for _ in range(2):
        trainer.train_epoch(lambda: True)
    orders = torch.stack([torch.cat(shown[:25], 1), torch.cat(shown[25:], 1)]).flatten(0, 1)  # [2 epochs * 2 members]
    assert torch.equal(orders.sort(-1).values, torch.arange(50_000).expand(4, -1))
    assert len({tuple(order[:10].tolist()) for order in orders}) == 4


ABSURD = [Schedule(1e30), Schedule(1e-3, decay=1e33, every=30, unit="step")]


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


class Told:
    """A progress display that remembers, and that breaks down at a step."""

    def __init__(self, until: int = 1_000_000) -> None:
        self.until = until
        self.starts: list[tuple[str, int, int]] = []
        self.updates: list[tuple[int, dict[str, float]]] = []
        self.messages: list[str] = []

    def start(self, label: str, total: int, done: int) -> None:
        self.starts.append((label, total, done))

    def update(self, done: int, numbers: Mapping[str, float]) -> None:
        self.updates.append((done, dict(numbers)))
        if done >= self.until:
            raise BrokenPipeError

    def message(self, text: str) -> None:
        self.messages.append(text)


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


def test_when_all_have_failed_training_ends(data: Dataset, tmp_path: Path) -> None:
    configs = [config(seed=seed, epochs=1000, learning_rate=ABSURD[0]) for seed in range(2)]
    runs = train(configs, tmp_path, data)
    assert [run.status for run in runs] == ["failed", "failed"]
    assert runs[0].sessions()[0]["steps"][1] <= 50
    assert runs[0].history().empty


def test_progress_is_told(data: Dataset, tmp_path: Path) -> None:
    told = Told()
    absurd = config(seed=5, epochs=2, learning_rate=ABSURD[0])
    run, failed = train([config(epochs=2), absurd], tmp_path, data, progress=told)
    ((label, *steps),) = told.starts
    assert "gumbel-softmax" in label
    assert steps == [50, 0]
    first, second = (value(run, "train", "loss", epoch) for epoch in (1, 2))
    assert told.updates == [
        (25, {"loss": first}),
        (50, {"loss": second, "ELBO": value(run, "validation", "elbo", 1)}),
    ]
    assert failed.failure is not None
    assert told.messages == [failed.failure["message"]]


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


def test_images_that_the_configuration_does_not_name_are_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mnist"):
        train([config(data=DataConfig("mnist"))], tmp_path, data)
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("case", CASES)
def test_every_strategy_learns(data: Dataset, tmp_path: Path, case: str) -> None:
    """500 steps lift the ELBO of 36 pixels.

    The thesis' target propagation may lose its code, but not its decoder. So may DARN's baseline as Jang et al. print
    it, whose gradient has no first order.
    """
    rates = {"learning_rate": Schedule(3e-3), "auxiliary_learning_rate": Schedule(3e-3)}
    (run,) = train([config(*CASES[case], epochs=20, **rates)], tmp_path, data)
    untrained = -36 * math.log(2)
    frequency = data.train.pixels.double().mean(0)
    without_latents = -float(torch.distributions.Bernoulli(frequency).entropy().sum())
    if case in ("target-propagation", "learned inverse", "target-propagation-auto-encoder", "darn-baseline"):
        assert value(run, "validation", "reconstruction_hard") > untrained + 1
    elif case == "softmax":  # whose code lies inside the simplex, and is no one-hot sample's
        assert value(run, "validation", "reconstruction_relaxed") > without_latents + 5
    else:
        assert value(run, "validation", "elbo") > max(untrained, without_latents) + 1


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_rates_over_the_run_are_a_members_own(data: Dataset, tmp_path: Path, optimiser: str) -> None:
    """Runs of one and two epochs whose learning rate falls over the run: the same text, and other values."""
    rate = Schedule(1e-2, decay=1e-3, unit="run")
    short, long = (
        config("nvil", epochs=epochs, optimiser=optimiser, learning_rate=rate, auxiliary_learning_rate=rate)
        for epochs in (1, 2)
    )
    (alone,) = train([long], tmp_path / "alone", data)
    _, beside = train([short, long], tmp_path / "beside", data)
    assert beside.sessions()[0]["population"] == 2
    assert distance(alone, beside) < 1e-4


@pytest.mark.parametrize("strategy", ["gumbel-softmax", "reinmax", "target-propagation", "auto-encoder"])
def test_the_gradient_of_two_samples_is_the_mean_of_two_gradients(data: Dataset, tmp_path: Path, strategy: str) -> None:
    """With the same uniform numbers, of every parameter; and a step is as long as ever."""

    class Half(Noise):
        def __init__(self, *halves: int) -> None:
            super().__init__()
            self.halves = halves

        def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
            batch = shape[1] // len(self.halves)
            whole = torch.rand(2, *shape[:1], batch, *shape[2:], generator=torch.Generator().manual_seed(5))
            return torch.cat([whole[half] for half in self.halves], 1)

    def gradients(samples: int, *halves: int) -> list[Tensor]:
        runs = [Run(tmp_path, config(strategy, samples=samples, seed=seed)) for seed in range(2)]
        trainer = training.Trainer(runs, data, torch.device("cpu"))
        trainer.begin_epoch()
        observation = data.train.batch(trainer.order[0], trainer.generators)
        statistics, _, *found = trainer.gradients(observation, trainer.values[0], Half(*halves))
        return [statistics, *found]

    apart = zip(gradients(1, 0), gradients(1, 1), strict=True)
    for both, (first, second) in zip(gradients(2, 0, 1), apart, strict=True):
        torch.testing.assert_close(both, (first + second) / 2, rtol=1e-4, atol=1e-6)


def test_a_learning_rate_that_has_decayed_moves_nothing(data: Dataset, tmp_path: Path) -> None:
    """1e-3 in the first epoch, 1e-33 in the second, beside a member that goes on; moments move all the same."""
    frozen = config(learning_rate=Schedule(1e-3, decay=1e-30))
    before = weights(train([frozen], tmp_path / "one", data)[0])
    configs = [replace(frozen, epochs=2), config(learning_rate=Schedule(1e-3), epochs=2)]
    after, moving = (weights(run) for run in train(configs, tmp_path / "two", data))
    parameters = [name for name in before if name.startswith("model.")]
    assert max(float((after[name] - before[name]).abs().max()) for name in parameters) < 1e-6
    assert max(float((moving[name] - before[name]).abs().max()) for name in parameters) > 1e-3
    assert not torch.equal(after["adam.model.0.first"], before["adam.model.0.first"])


def test_auxiliary_learning_rate_moves_the_strategys_own_parameters_only(data: Dataset, tmp_path: Path) -> None:
    fields = {"options": LEARNED, "learning_rate": Schedule(1e-30)}
    runs = train(
        [config("target-propagation", auxiliary_learning_rate=Schedule(rate), **fields) for rate in (1e-30, 1e-2)],
        tmp_path,
        data,
    )
    still, moved = (weights(run) for run in runs)
    moves = {
        name: float((still[name] - moved[name]).abs().max()) for name in still if name.endswith(("weight", "bias"))
    }
    assert {name.partition(".")[0] for name, move in moves.items() if move > 1e-20} == {"strategy"}


def test_beta_weighs_the_kl(data: Dataset, tmp_path: Path) -> None:
    betas = [Schedule(0.0), Schedule(0.5), Schedule(1.0), Schedule(1.0, warmup=1000)]
    runs = train([config(epochs=10, beta=beta, learning_rate=Schedule(3e-3)) for beta in betas], tmp_path, data)
    free, half, full, warm = (value(run, "validation", "kl") for run in runs)
    assert free > half + 0.2 > full + 0.4
    assert warm == pytest.approx(free, rel=0.05)
    reconstruction, kl = (value(runs[1], "train", metric) for metric in ("reconstruction_relaxed", "kl"))
    assert value(runs[1], "train", "loss") == pytest.approx(-reconstruction + 0.5 * kl, rel=1e-5)


def test_temperatures_reach_their_members_step_by_step(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step in plain Python; that a recorded step does the same is proved in test_capture."""
    monkeypatch.setattr(
        discrete_vae.training.step, "Recorded", lambda function, noise, *rest: partial(function, noise=noise)
    )
    strategy = STRATEGIES["gumbel-softmax"]
    schedules = [Schedule(0.7), Schedule(1.0, decay=0.5, every=20, unit="step", minimum=0.3)]
    seen = []
    sample = strategy.reparameterised  # type: ignore[attr-defined]

    def record(self: Any, logits: Tensor, noise: Noise) -> Tensor:
        if logits.shape[:2] == (2, 100):  # a training batch
            seen.append(self.temperature.tolist())
        result: Tensor = sample(self, logits, noise)
        return result

    monkeypatch.setattr(strategy, "reparameterised", record)
    train([config(options=strategy.Options(schedule), epochs=2) for schedule in schedules], tmp_path, data)
    expected = [(0.7, temperature) for temperature in [1.0] * 20 + [0.5] * 20 + [0.3] * 10]
    assert [tuple(pair) for pair in seen] == [pytest.approx(pair) for pair in expected]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_bfloat16_trains_and_is_finite(data: Dataset, tmp_path: Path, strategy: str) -> None:
    fields = {"epochs": 4, "learning_rate": Schedule(3e-3)}
    half = train([config(strategy, precision="bfloat16", **fields)], tmp_path, data)[0]
    single = train([config(strategy, **fields)], tmp_path, data)[0]
    assert {each.dtype for name, each in weights(half).items() if name != "noise"} == {torch.float32}
    assert all(bool(each.isfinite().all()) for each in weights(half).values())
    assert distance(half, single) > 0, "the precision acts"
    metric = "reconstruction_hard"
    assert value(half, "validation", metric) > value(half, "validation", metric, 1)
    assert value(half, "validation", metric) == pytest.approx(value(single, "validation", metric), rel=0.1)


def test_tf32_would_be_float32_on_a_processor(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tf32, which has no effect on a processor; give float32, or --device cuda"):
        train([config(precision="tf32")], tmp_path, data)
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_a_member_whose_validation_is_not_finite_fails_alone(
    value: float, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights may still be finite; a history has no such numbers."""
    whole = journal.evaluate_population

    def broken(population, *rest):
        found = whole(population, *rest)
        found["elbo"][[run.config.seed for run in trained].index(1)] = value
        return found

    trained: list[Run] = []
    monkeypatch.setattr(journal, "evaluate_population", broken)
    monkeypatch.setattr(Run, "write_sessions", lambda run, *_: run in trained or trained.append(run))
    well, failed = train([config(seed=seed, epochs=1) for seed in range(2)], tmp_path, data)
    assert failed.failure is not None
    assert "a validation metric is not finite" in failed.failure["message"]
    assert well.finished
