"""On a GPU: the same runs from the same initial weights and data order, and checkpoints that any device reads."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from discrete_vae.arithmetic import arithmetic
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, load
from discrete_vae.evaluation.population import Population
from discrete_vae.evaluation.yardstick import evaluate, evaluate_population, member_memory
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import train
from discrete_vae.training.step import Trainer

# As the commands do: other processes on the GPU then change no rounding.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")

SMALL = Architecture(latents=4, categories=3, hidden=(16,))


def small(strategy: str) -> Architecture:
    """The number of categories that a strategy is for, if it is for one only."""
    return replace(SMALL, categories=STRATEGIES[strategy].categories or SMALL.categories)


CASES: dict[str, Any] = {name: (name, None) for name in STRATEGIES}
CASES["layer-local mirror"] = (
    "target-propagation",
    STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", local=True, warmup=3),
)


LAYERS = Architecture(latents=4, categories=3, hidden=(16,), layers=2)
DEEP: list[tuple[str, dict[str, Any]]] = [
    ("nvil", {"architecture": LAYERS}),
    ("gumbel-softmax", {"architecture": LAYERS, "task": "structured-prediction"}),
    ("reinmax", {"architecture": LAYERS, "task": "structured-prediction", "optimiser": "sgd"}),
]
CONVOLUTIONS: list[tuple[str, dict[str, Any]]] = [
    ("gumbel-softmax", {"architecture": replace(SMALL, backbone="conv", channels=(4, 8)), "batch_size": 1000}),
]
DECAYING = Schedule(3e-3, decay=0.99, unit="step")
BOUND = {"objective": "bound", "samples": 3, "weight_decay": Schedule(0.1)}
LOCAL = STRATEGIES["target-propagation"].Options("mirror", geometry="gauss-newton", local=True, warmup=3)
NEWTON: list[tuple[str, dict[str, Any]]] = [
    ("gumbel-softmax", BOUND),
    ("gauss-newton-local-expectation", BOUND),
    ("gauss-newton-local-expectation", {"architecture": replace(SMALL, latents=20)}),  # nothing is decoded
    ("target-propagation", {"options": LOCAL, "auxiliary_learning_rate": DECAYING}),
]
"""The bound as an objective, weight decay, and costs of moves by a model of the decoder."""
OPPOSED: list[tuple[str, dict[str, Any]]] = [
    ("straight-through-gumbel-softmax", {"task": "generator", "batch_size": 1000}),
    ("nvil", {"task": "generator", "batch_size": 1000, "data": DataConfig("expressions")}),
    ("backpropagation", {"task": "critic", "batch_size": 1000, "data": DataConfig("8-gaussians")}),
    ("gumbel-softmax", {"task": "adversarial-vae"}),
    ("gumbel-softmax", {"task": "semi-supervised", "architecture": Architecture(1, 10, (16,))}),
]
"""Tasks with a critic, and one that looks at other images beside."""


@pytest.mark.parametrize("case", CASES)
def test_trains_like_the_processor(case: str, tmp_path: Path) -> None:
    """The noise differs between devices, so the ELBOs after two epochs agree within a few nats, not in their bits."""
    configs = [
        Config.fitting(*CASES[case], architecture=small(CASES[case][0]), batch_size=1000, epochs=2, seed=seed)
        for seed in range(2)
    ]
    elbos = []
    for device in ("cpu", "cuda"):
        runs = train(configs, tmp_path / device, load(device=device), device=device)
        history = runs[0].history()
        elbos.append(history[(history["metric"] == "elbo") & (history["epoch"] == 2)]["value"].item())
        # a checkpoint of either device is evaluated on the processor
        assert evaluate(runs, load(), "validation", 2)["value"].notna().all()
    assert elbos[0] == pytest.approx(elbos[1], abs=10)


@pytest.mark.parametrize(("strategy", "fields"), OPPOSED)
def test_tasks_are_scored_as_on_the_processor(strategy: str, fields: dict[str, Any], tmp_path: Path) -> None:
    """One model, trained on the GPU, by other noise: shares and nats within what 10,000 rows may vary."""
    config = Config.fitting(strategy, **{"architecture": SMALL, "batch_size": 5000, **fields, "epochs": 1})
    (run,) = train([config], tmp_path, load(config.data, device="cuda"), device="cuda")
    here = evaluate([run], load(config.data), "validation", 1).set_index("metric")["value"]
    there = run.history().query("split == 'validation'").set_index("metric")["value"]
    for name, value in here.items():
        assert value == pytest.approx(there[name], rel=0.05, abs=0.1)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_lower_precision_stays_near_float32(precision: str, tmp_path: Path) -> None:
    data = load(device="cuda")
    losses = []
    for each in ("float32", precision):
        config = Config(architecture=SMALL, batch_size=1000, epochs=2, precision=each)  # type: ignore[arg-type]
        (run,) = train([config], tmp_path, data, device="cuda")
        history = run.history()
        losses.append(history[(history["metric"] == "loss") & (history["epoch"] == 2)]["value"].item())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_initial_weights_are_the_same_on_every_device() -> None:
    config = Config(architecture=SMALL)
    here, there = (Population.build([config], torch.device(name)).state() for name in ("cpu", "cuda"))
    assert all(there[name].cpu().equal(tensor) for name, tensor in here.items())


@pytest.mark.parametrize("binarisation", ["threshold", "dynamic"])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("strategy", "fields"), [*((name, {}) for name in STRATEGIES), *CONVOLUTIONS, *DEEP, *NEWTON, *OPPOSED]
)
def test_a_captured_step_has_the_bits_of_a_plain_one(
    strategy: str, fields: dict[str, Any], members: int, binarisation: str, tmp_path: Path
) -> None:
    """Two epochs, the second with other orders, noise and schedules than those that the graph was captured with."""
    data = load(fields.get("data", DataConfig()), device="cuda")
    if binarisation == "dynamic" and data.config == DataConfig():
        data = replace(data, train=replace(data.train, dynamic=True))
    configs = [
        Config.fitting(
            strategy,
            **{"architecture": small(strategy), "batch_size": 5000, **fields},
            learning_rate=DECAYING,
            seed=seed,
        )
        for seed in range(members)
    ]
    states = []
    for captured in (False, True):
        trainer = Trainer([Run(tmp_path, each) for each in configs], data, torch.device("cuda"))
        if not captured:
            trainer.advance = trainer._update
        with arithmetic():
            for _ in range(2):
                trainer.train_epoch(lambda: True)
        noise = {str(p): generator.get_state() for p, generator in enumerate(trainer.generators)}
        states.append({name: tensor.cpu() for name, tensor in (trainer.state() | noise).items()})
    assert {name for name, tensor in states[0].items() if not states[1][name].equal(tensor)} == set()


def test_evaluation_does_not_depend_on_the_memory_it_has() -> None:
    data = load(device="cuda")
    population = Population.build([Config(architecture=SMALL, seed=seed) for seed in range(3)], torch.device("cuda"))
    whole = evaluate_population(population, data, "test", 3)
    alone = evaluate_population(population, data, "test", 3, memory=member_memory(population))
    for name, values in whole.items():
        torch.testing.assert_close(alone[name], values, rtol=1e-4, atol=1e-3)


def test_convolutions_are_as_precise_as_asked() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    images = torch.randn(50, 16, 14, 14, device="cuda", generator=generator)
    weights = torch.randn(32, 16, 5, 5, device="cuda", generator=generator)
    exact = torch.nn.functional.conv2d(images.double(), weights.double())
    errors = {}
    for precision in ("float32", "tf32"):
        with arithmetic(precision):
            difference = torch.nn.functional.conv2d(images, weights) - exact
        errors[precision] = float(difference.norm() / exact.norm())
    assert errors["float32"] < 2e-6
    assert errors["tf32"] > 5e-5
