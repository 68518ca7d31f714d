"""No random number of a run is used twice: each purpose, epoch and seed has a stream of its own."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split
from discrete_vae.evaluation import evaluate_population
from discrete_vae.evaluation.diagnostics import diagnose
from discrete_vae.evaluation.population import Population
from discrete_vae.runs import Run
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, CriticConfig, Supervision
from discrete_vae.training.step import Trainer
from tests.tiny_images import described

PIXELS, STEPS, BATCH, IMAGES = 6, 3, 10, 40
DYNAMIC = described(PIXELS, 1, binarisation="dynamic")
MIRROR = STRATEGIES["target-propagation"].Options("mirror", geometry="second-order", warmup=2)
CASES: dict[str, dict[str, Any]] = {
    "relaxed": {"strategy": "gumbel-softmax"},
    "prepared": {"strategy": "target-propagation", "options": MIRROR},
    "layers": {"strategy": "nvil", "architecture": Architecture(3, 2, (5,), layers=2)},
    "semi-supervised": {
        "strategy": "gumbel-softmax",
        "task": "semi-supervised",
        "architecture": Architecture(1, 2, (5,), style=2),
        "supervision": Supervision(labelled=4),
    },
    "critic": {"strategy": "gumbel-softmax", "task": "adversarial-vae", "criticism": CriticConfig(critic_steps=2)},
}
MOMENTS = ["weights", "epoch 0", "epoch 1", "epoch 2", "validation", "test", "diagnostics"]


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", STEPS)


@dataclass(frozen=True)
class Draw:
    """Numbers drawn from a generator in a certain state."""

    moment: str
    kind: str
    seed: int
    state: bytes
    numbers: tuple[float, ...]
    """The first 16."""


@dataclass
class Recorder:
    """Notes every draw from any generator, torch's own as well."""

    draws: list[Draw] = field(default_factory=list)
    moment: str = ""

    def wrap(self, kind: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*arguments: Any, generator: torch.Generator | None = None, **keywords: Any) -> Tensor:
            source = torch.default_generator if generator is None else generator
            state = hashlib.sha256(bytes(source.get_state().tolist())).digest()
            result = function(*arguments, generator=generator, **keywords)
            numbers = tuple(result.flatten()[:16].double().tolist())
            self.draws.append(Draw(self.moment, kind, source.initial_seed(), state, numbers))
            return result

        return drawn

    def of(self, moment: str, kind: str | None = None) -> list[Draw]:
        return [draw for draw in self.draws if draw.moment == moment and kind in (None, draw.kind)]


@contextmanager
def recorded() -> Iterator[Recorder]:
    recorder = Recorder()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("rand", "randperm"):
            patch.setattr(torch, name, recorder.wrap(name, getattr(torch, name)))
        patch.setattr(torch.Tensor, "random_", recorder.wrap("random_", torch.Tensor.random_), raising=False)
        yield recorder


def grayscale() -> Dataset:
    """Binarised afresh wherever they are gathered, in every split."""
    pixels = torch.randint(1, 255, (IMAGES, PIXELS), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    split = Split(pixels, torch.arange(IMAGES) % 2, levels=255, dynamic=True)
    return Dataset(DYNAMIC, split, split, split)


@functools.cache
def live(case: str, *seeds: int) -> Recorder:
    """Three epochs of a population, its evaluations and its diagnostics, with all draws noted."""
    fields = {"architecture": Architecture(3, 2, (5,)), "batch_size": BATCH, "data": DYNAMIC}
    configs = [Config.fitting(**{**fields, **CASES[case]}, seed=seed) for seed in seeds]
    data = grayscale()
    with recorded() as recorder:
        recorder.moment = "weights"
        trainer = Trainer([Run(Path(), config) for config in configs], data, torch.device("cpu"), warn=pytest.fail)
        for epoch in range(3):
            recorder.moment = f"epoch {epoch}"
            trainer.train_epoch(lambda: True)
        trainer.population.follow(trainer.values[-1])
        population: Population = trainer.population
        for split in ("validation", "test"):
            recorder.moment = split
            evaluate_population(population, data, split, 2, memory=2**40)
        recorder.moment = "diagnostics"
        diagnose(population, data)
    return recorder


@pytest.mark.parametrize("case", CASES)
def test_no_number_is_drawn_twice(case: str) -> None:
    """No two draws start in the same state of a generator, in whatever they fill: noise, orders, bits or weights."""
    recorder = live(case, 0, 1, 2)
    found = {moment for moment in MOMENTS if recorder.of(moment)}
    assert found == set(MOMENTS) - (set() if case == "prepared" else {"diagnostics"})
    seen: dict[bytes, Draw] = {}
    for draw in recorder.draws:
        if draw.numbers:  # a draw of nothing moves no generator
            assert draw.state not in seen, f"{draw} repeats {seen[draw.state]}"
            seen[draw.state] = draw
    uniform = [draw.numbers for draw in recorder.draws if draw.kind == "rand" and len(draw.numbers) == 16]
    assert len(set(uniform)) == len(uniform) > 20


@pytest.mark.parametrize("case", CASES)
def test_streams_of_all_purposes_have_seeds_of_their_own(case: str) -> None:
    """Noise of an epoch, order of an epoch, weights, evaluation of a split, and so on: no seed serves two of them."""
    recorder = live(case, 0, 1, 2)
    keys = {(draw.moment, draw.kind if draw.kind == "randperm" else "numbers") for draw in recorder.draws}
    seeds = {
        (moment, kind): {d.seed for d in recorder.of(moment) if (d.kind == "randperm") == (kind == "randperm")}
        for moment, kind in keys
    }
    assert {("epoch 0", "randperm"), ("epoch 1", "randperm"), ("epoch 0", "numbers"), ("test", "numbers")} <= keys
    for one, other in itertools.combinations(seeds, 2):
        assert not seeds[one] & seeds[other], f"{one} and {other} share a stream"
    assert all(len(each) >= 3 for each in seeds.values()), "every member has its own"
    assert torch.initial_seed() not in set().union(*seeds.values()), "torch's own generator has no part in a run"


@pytest.mark.parametrize("case", CASES)
def test_equal_seeds_have_equal_numbers_and_others_do_not(case: str) -> None:
    """Alone, seeds 5, 6 and again 5: the whole of a run's randomness is its seed's."""
    first, other = (live(case, seed).draws for seed in (5, 6))
    assert first == live.__wrapped__(case, 5).draws
    assert len(first) == len(other)
    assert not {draw.state for draw in first} & {draw.state for draw in other}
    for one, two in zip(first, other, strict=True):
        assert one.kind == two.kind
        assert one.numbers != two.numbers or len(one.numbers) < 8


@pytest.mark.parametrize("case", CASES)
def test_members_of_equal_seeds_are_given_the_same_numbers(case: str) -> None:
    """Side by side, in an order that tells them apart."""
    recorder = live(case, 5, 6, 5)
    alone = live(case, 5)
    for moment in MOMENTS:
        own = {draw.seed for draw in alone.of(moment)}
        beside = [draw for draw in recorder.of(moment) if draw.seed in own]
        assert len(beside) == 2 * len(alone.of(moment))
        assert {draw.state for draw in beside} == {draw.state for draw in alone.of(moment)}


def test_preparation_leaves_the_noise_of_the_first_epoch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws from streams of its own, so training is given the same numbers with and without it."""
    prepared = live("prepared", 7)
    monkeypatch.setitem(CASES, "prepared", CASES["prepared"] | {"options": replace(MIRROR, warmup=0)})
    plain = live.__wrapped__("prepared", 7)
    states = {draw.state for draw in prepared.of("epoch 0")}
    own = {draw.state for draw in plain.of("epoch 0")}
    assert own < states
    extra = {draw.seed for draw in prepared.of("epoch 0") if draw.state not in own}
    assert len(extra) == 2, "images and noise of the preparation"
    assert not extra & {draw.seed for draw in plain.draws}


def test_the_orders_of_epochs_and_seeds_differ() -> None:
    """Nine orders of 40 images, none of which agrees with another in more than a few places."""
    recorder = live("relaxed", 0, 1, 2)
    orders = [draw.numbers for epoch in range(3) for draw in recorder.of(f"epoch {epoch}", "randperm")]
    assert len(orders) == 9
    for one, other in itertools.combinations(orders, 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) < 6


def test_an_evaluation_repeats_its_own_numbers() -> None:
    """Of the same split, whatever was trained before; another split has others."""

    def evaluations(epochs: int) -> dict[str, list[Draw]]:
        config = Config("gumbel-softmax", None, Architecture(3, 2, (5,)), batch_size=BATCH, data=grayscale().config)
        data = grayscale()
        trainer = Trainer([Run(Path(), config)], data, torch.device("cpu"))
        for _ in range(epochs):
            trainer.train_epoch(lambda: True)
        trainer.population.follow(trainer.values[-1])
        with recorded() as recorder:
            for split in ("validation", "test"):
                recorder.moment = split
                evaluate_population(trainer.population, data, split, 2)
        return {split: recorder.of(split) for split in ("validation", "test")}

    early, late = evaluations(1), evaluations(2)
    assert early == late
    assert not {draw.state for draw in early["validation"]} & {draw.state for draw in early["test"]}
