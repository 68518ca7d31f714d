"""Training learns, and rates, beta, temperatures, samples and precision have the effect that they are set for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import discrete_vae.training.step
from discrete_vae.data import DataConfig, Dataset, Split
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise
from discrete_vae.runs.run import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.training import loop as training
from discrete_vae.training import train
from tests.training.small_runs import ABSURD, CASES, LEARNED, Told, config, distance, of_each_kind, value, weights

pytestmark = pytest.mark.usefixtures("short_epochs")


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


def test_progress_ends_where_the_run_ends(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also between two looks, or a short run's bar would stay half full."""
    for module in (training, discrete_vae.training.step):
        monkeypatch.setattr(module, "LOOK_EVERY", 10)
    told = Told()
    train([config(epochs=1)], tmp_path, data, progress=told)
    assert [done for done, _ in told.updates] == [10, 20, 25]


def test_images_that_the_configuration_does_not_name_are_refused(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mnist"):
        train([config(data=DataConfig("mnist"))], tmp_path, data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", of_each_kind(CASES))
def test_every_strategy_learns(data: Dataset, tmp_path: Path, case: str) -> None:
    """250 steps lift the ELBO of 36 pixels.

    The thesis' target propagation may lose its code, but not its decoder. So may DARN's baseline as Jang et al. print
    it, whose gradient has no first order.
    """
    rates = {"learning_rate": Schedule(6e-3), "auxiliary_learning_rate": Schedule(6e-3)}
    (run,) = train([config(*CASES[case], epochs=10, **rates)], tmp_path, data)
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


@pytest.mark.usefixtures("plain_steps")
@pytest.mark.parametrize("strategy", of_each_kind(STRATEGIES))
def test_bfloat16_trains_and_is_finite(data: Dataset, tmp_path: Path, strategy: str) -> None:
    fields = {"epochs": 2, "learning_rate": Schedule(3e-3)}
    half = train([config(strategy, precision="bfloat16", **fields)], tmp_path, data)[0]
    single = train([config(strategy, **fields)], tmp_path, data)[0]
    assert {each.dtype for name, each in weights(half).items() if name != "noise"} == {torch.float32}
    assert all(bool(each.isfinite().all()) for each in weights(half).values())
    assert distance(half, single) > 0, "the precision acts"
    metric = "reconstruction_hard"
    assert value(half, "validation", metric) > value(half, "validation", metric, 1)
    assert value(half, "validation", metric) == pytest.approx(value(single, "validation", metric), rel=0.1)


def test_tf32_would_be_float32_on_a_processor(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tf32, which has no effect on a CPU; give float32, or --device cuda"):
        train([config(precision="tf32")], tmp_path, data)
    assert not list(tmp_path.iterdir())
