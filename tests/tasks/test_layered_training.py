"""Several stochastic layers and structured prediction, from a configuration to evaluated runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.data import Dataset
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.runs import Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import never, train
from tests.tiny_images import middle

DEEP = Architecture(4, 3, (16,), layers=2)
MIRROR = STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", warmup=20)
CASES: dict[str, dict[str, Any]] = {
    "vae, nvil": {"strategy": "nvil"},
    "vae, gumbel-softmax by sgd": {"strategy": "gumbel-softmax", "optimiser": "sgd"},
    "prediction, reinmax by sgd": {"strategy": "reinmax", "task": "structured-prediction", "optimiser": "sgd"},
    "prediction, mirror": {"strategy": "target-propagation", "options": MIRROR, "task": "structured-prediction"},
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    """The middle 6 x 6 pixels of binarised MNIST, with 500 images to validate and test on."""

    return middle()


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", 25)


def config(case: str, **fields: Any) -> Config:
    rate = Schedule(0.03 if "sgd" in case else 3e-3)
    shared = {"architecture": DEEP, "data": middle().config, "learning_rate": rate, "auxiliary_learning_rate": rate}
    return Config.fitting(**{**shared, **CASES[case], **fields})


def weights(run: Run) -> dict[str, Tensor]:
    return checkpoints.read(run.folder, run.step, run.config.identity)


def last(run: Run, metric: str) -> float:
    history = run.history()
    found = history[(history["split"] == "validation") & (history["metric"] == metric)]
    return float(found["value"].iloc[-1])


@pytest.mark.parametrize("case", CASES)
def test_layers_learn_and_are_scored(data: Dataset, tmp_path: Path, case: str) -> None:
    """Better than pixels without latents; with 50 samples the bound is above the ELBO, which is a sampled one."""
    (run,) = train([config(case, epochs=20)], tmp_path, data)
    predicted = data.train.pixels.double()
    if "prediction" in case:
        predicted = predicted[:, 18:]
    without = -float(torch.distributions.Bernoulli(predicted.mean(0)).entropy().sum())
    assert last(run, "elbo") > max(without, -predicted.shape[1] * math.log(2)) + 0.5
    assert math.isclose(last(run, "elbo"), last(run, "reconstruction_hard") - last(run, "kl"), rel_tol=1e-5)
    evaluation.evaluate([run], data, "test", 50)
    found = run.evaluation().query("split == 'test' and samples == 50").set_index("metric")["value"]
    assert found["log_likelihood"] > found["elbo"]
    assert ("active_latents" in found) == ("vae" in case)
    assert (found["kl"] > 0) == ("vae" in case)
    metrics = set(run.history().query("split == 'train'")["metric"])
    assert metrics == ({"loss"} if "vae" in case else {"loss", "kl", "reconstruction_hard"})


@pytest.mark.parametrize("case", CASES)
def test_a_layered_run_that_stopped_goes_on_to_the_same_bits(data: Dataset, tmp_path: Path, case: str) -> None:
    own = config(case, epochs=3)
    (whole,) = train([own], tmp_path / "whole", data)
    (stopped,) = train(
        [own], tmp_path / "stopped", data, prune=lambda epoch, metrics: [each for each in metrics if epoch >= 1]
    )
    assert not stopped.finished
    (stopped,) = train([own], tmp_path / "stopped", data, prune=never)
    one, other = weights(whole), weights(stopped)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("case", CASES)
def test_a_layered_run_does_not_depend_on_who_is_beside(data: Dataset, tmp_path: Path, case: str) -> None:
    own = config(case, epochs=1, seed=7)
    (alone,) = train([own], tmp_path / "alone", data)
    other, beside = train([replace(own, seed=1), own], tmp_path / "beside", data)

    def distance(run: Run) -> float:
        one, two = weights(alone), weights(run)
        return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)

    assert distance(beside) < 0.02, "what the order of a float32 sum may change in 25 steps"
    assert distance(other) > 0.1


def test_a_bound_is_not_told_as_a_reconstruction(data: Dataset, tmp_path: Path) -> None:
    own = Config("vimco", architecture=Architecture(4, 3, (16,)), data=data.config, epochs=1)
    (run,) = train([own], tmp_path, data)
    assert set(run.history().query("split == 'train'")["metric"]) == {"loss"}
