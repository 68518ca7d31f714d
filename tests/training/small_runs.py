"""Small runs for tests of training, and what is read of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.runs.run import Run, checkpoints
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from tests.tiny_images import middle

SMALL = Architecture(4, 3, (16,))
LEARNED = STRATEGIES["target-propagation"].Options("network")
CASES: dict[str, tuple[str, Any]] = {name: (name, None) for name in STRATEGIES}
CASES["learned inverse"] = "target-propagation", LEARNED
MIRROR = STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", local=True, warmup=3)
CASES["layer-local mirror"] = "target-propagation", MIRROR
ONE_OF_A_KIND = {
    *("gumbel-softmax", "straight-through-gumbel-softmax", "reinmax", "reinmax-mean-control"),
    *("nvil", "rloo", "vimco", "rebar", "disarm", "carms", "marginalisation", "gauss-newton-local-expectation"),
    *("target-propagation", "learned inverse", "layer-local mirror"),
    *("vq-vae", "gaussian-reparameterisation", "auto-encoder", "target-propagation-auto-encoder"),
}
"""Cases that together do all that strategies do in training: relax, keep a baseline, draw several, ..."""


def of_each_kind(cases: Iterable[str]) -> list[Any]:
    """All cases as parameters of a test; those of strategies are marked as slow but for one of a kind."""
    return [
        pytest.param(case, marks=pytest.mark.slow) if case in CASES and case not in ONE_OF_A_KIND else case
        for case in cases
    ]


def config(strategy: str = "gumbel-softmax", options: Any = None, **fields: Any) -> Config:
    if getattr(options, "inverse", None) == "mirror":
        fields["auxiliary_learning_rate"] = fields.get("learning_rate", Schedule(3e-4))
    small = replace(SMALL, categories=STRATEGIES[strategy].categories or SMALL.categories)
    given = {"epochs": 1, "batch_size": 100, "data": middle().config, **fields}
    return Config.fitting(strategy, options, architecture=small, **given)


def weights(run: Run) -> dict[str, Tensor]:
    return checkpoints.read(run.folder, run.step, run.config.identity)


def distance(first: Run, second: Run) -> float:
    """The largest difference between the parameters, moments and sums of two runs, relative where these are above 1.

    A sum of a thousand has float32 steps of 1e-4.
    """
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    return max(
        float((one[name].double() - two[name].double()).abs().max() / max(1.0, float(two[name].abs().max())))
        for name in one
    )


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


ABSURD = [Schedule(1e30), Schedule(1e-3, decay=1e33, every=30, unit="step")]


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
