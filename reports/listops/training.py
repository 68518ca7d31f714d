"""Training a parser and a composer by a strategy; and by trees that are given, which no strategy chooses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies import Strategy
from reports.kit.own_loops import SECONDS, Numbers
from reports.listops.grammar import PAD, Examples, Grammar, examples
from reports.listops.network import Composer, Parser, objective, possible

Trees = Callable[[Examples, torch.Generator], Tensor]
"""Examples -> the operator of each symbol, one-hot ``[B, T, K]``."""


@dataclass(frozen=True)
class Setting:
    """What is trained on what, and for how long."""

    steps: int
    every: int
    """Steps between two validations."""
    train: int = 20_000
    """Expressions; validation and test have further ones."""
    held_out: int = 2_000
    """Expressions of validation, and as many of test."""
    grammar: Grammar = field(default_factory=Grammar)
    data_seed: int = 0
    """The expressions are the same for all rows and seeds."""
    width: int = 64
    batch: int = 100
    rate: float = 2e-3
    """Adam's learning rate."""
    most: float = 5.0
    """Largest norm of the gradient; longer ones are scaled down to it."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.steps % self.every:
            raise InputError(f"every is {self.every}; give a divisor of the steps, {self.steps}")


def gold(batch: Examples, generator: torch.Generator) -> Tensor:
    """The expressions' own trees."""
    return F.one_hot(batch.heads, batch.operators.shape[1]).float()


def flat(batch: Examples, generator: torch.Generator) -> Tensor:
    """All symbols below the first operator: a bag of symbols."""
    return F.one_hot(torch.zeros_like(batch.heads), batch.operators.shape[1]).float()


def uniform(batch: Examples, generator: torch.Generator) -> Tensor:
    """Trees drawn uniformly from those that a parser could choose."""
    chances = possible(batch).float()
    drawn = torch.multinomial(chances.flatten(0, 1), 1, generator=generator).view_as(batch.heads)
    return F.one_hot(drawn, chances.shape[-1]).float()


@cache
def data(setting: Setting) -> list[Examples]:
    """Training, validation and test."""
    return examples(setting.grammar, [setting.train, setting.held_out, setting.held_out], setting.data_seed)


def train(setting: Setting, build: Callable[[], Strategy] | None, trees: Trees | None, seed: int) -> Numbers:
    """Train by a strategy, which chooses trees, or on trees that are given; then score the test expressions."""
    splits, numbers = dict(zip(("train", "validation", "test"), data(setting), strict=True)), Numbers()
    generator = seeded(seed, "listops")
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # networks start from torch's own generator
        parser, composer = Parser(setting.width), Composer(setting.width, setting.grammar.depth)
        strategy = build() if build else None
    learned = [
        *composer.parameters(),
        *(parser.parameters() if strategy else []),
        *(strategy or nn.Identity()).parameters(),
    ]
    adam = torch.optim.Adam(learned, setting.rate)

    def loss_of(batch: Examples) -> Tensor:
        if strategy is None:
            assert trees is not None
            return objective(composer, batch)(trees(batch, generator)).mean()
        estimate = strategy.estimate(parser(batch), objective(composer, batch), generator=generator)
        return estimate.loss.mean() + estimate.strategy_loss.sum()

    def chosen(batch: Examples) -> Tensor:
        if trees is not None:
            return trees(batch, seeded(0, "validation"))
        return F.one_hot(parser(batch).argmax(-1), batch.operators.shape[1]).float()

    seconds = 0.0
    for step in range(1, setting.steps + 1):
        began = time.process_time()
        places = torch.randint(setting.train, (setting.batch,), generator=generator)
        loss = loss_of(splits["train"].batch(places))
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learned, setting.most)
        adam.step()
        seconds += time.process_time() - began
        if step % setting.every == 0:
            numbers.add("validation", step, **scores(composer, splits["validation"], chosen))
    numbers.add("test", setting.steps, **scores(composer, splits["test"], chosen))
    numbers.add("train", setting.steps, **{SECONDS: seconds})
    return numbers


@torch.no_grad()
def scores(composer: Composer, split: Examples, chosen: Callable[[Examples], Tensor]) -> dict[str, float]:
    """Shares of the values, and of the symbols' operators, that are right: by the likeliest tree, not by a sample.

    The first symbol, whose operator is known, does not count, nor does one with a single operator to its left.
    """
    values, arcs = list[Tensor](), list[Tensor]()
    for places in torch.split(torch.arange(len(split)), 500):
        batch = split.batch(places)
        heads = chosen(batch)
        values.append(composer(batch, heads).argmax(-1) == batch.values)
        open_ = (possible(batch).sum(-1) > 1) & (batch.symbols != PAD)
        arcs.append((heads.argmax(-1) == batch.heads)[open_])
    return {"accuracy": torch.cat(values).float().mean().item(), "arcs": torch.cat(arcs).float().mean().item()}
