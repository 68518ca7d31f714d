"""What the interface promises for any logits and costs, strategy by strategy: the lines of ``capabilities.csv``.

A line fails when a yes stops being one, and when a no begins to work. ``why`` names the columns that are no plain yes.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from discrete_vae.conformance.capabilities import COLUMNS
from discrete_vae.conformance.subject import Subject
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies import STRATEGIES, Estimate, LocalExpectation, Objective, Rloo, ScoreFunction, Softmax
from discrete_vae.strategies.darn import Darn, DarnOptions

with Path(__file__).with_name("capabilities.csv").open(newline="") as file:
    LINES = {line.pop("name"): line for line in csv.DictReader(file)}


def test_every_strategy_of_the_library_has_a_line() -> None:
    assert list(LINES) == list(STRATEGIES)
    assert {*LINES["rloo"]} == {*COLUMNS, "why"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_capabilities_are_those_of_the_table(name) -> None:
    found = {column: find(Subject.of(STRATEGIES[name])) for column, find in COLUMNS.items()}
    reasons = LINES[name].pop("why")
    assert {column: finding.verdict for column, finding in found.items()} == LINES[name], found
    for column, finding in found.items():
        assert (f"{column}:" in reasons) == bool(finding.why), finding


class TwiceWithoutTheSignal(Rloo):
    """Its gradient holds the signal constant, which depends on the decoder."""

    twice = True


class TwiceWithoutGraph(LocalExpectation):
    """Its gradient is a constant."""

    twice = True


class Smoothed(Softmax):
    """Masked categories keep a share."""

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return 0.9 * super().reparameterised(logits, noise) + 0.1 / logits.shape[-1]


class Unmasked(Softmax):
    """It meets -inf itself."""

    def prepared(self, logits: Tensor) -> Tensor:
        return logits

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return super().reparameterised(logits - 0 * logits, noise)


class OfTheBatch(Softmax):
    """An example's loss depends on the others."""

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        estimate = super().compute(logits, objective, noise)
        return Estimate(estimate.loss + estimate.loss.mean(), estimate.strategy_loss, estimate.sample)


class CentredByTheBatch(ScoreFunction):
    """An example's gradient depends on the others."""

    def centre(self, signal: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
        return signal - signal.nanmean(), torch.ones_like(signal), signal.new_zeros(signal.shape[:-1])


class CentredByAll(ScoreFunction):
    """So does its loss, where one of them is NaN."""

    def centre(self, signal: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
        return signal - signal.mean(), torch.ones_like(signal), signal.new_zeros(signal.shape[:-1])


class OfThePlace(Softmax):
    """The first dimension is taken for the batch."""

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return super().reparameterised(logits / logits.shape[0], noise)


class Overflowing(Softmax):
    """It computes in the logits' own precision."""

    def prepared(self, logits: Tensor) -> Tensor:
        return logits

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        weights = (10 + 20 * logits).exp()
        return weights / weights.sum(-1, keepdim=True)


class Reading(Softmax):
    """It reads a number back."""

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        return super().reparameterised(logits * (2 if logits.detach().max().item() < math.inf else 1), noise)


PLANTED = [
    ("second", TwiceWithoutTheSignal, "wrong"),
    ("second", TwiceWithoutGraph, "silent"),
    ("masked", Smoothed, "no"),
    ("masked", Unmasked, "no"),
    ("nan", OfTheBatch, "no"),
    ("nan", CentredByTheBatch, "loss"),
    ("nan", CentredByAll, "no"),
    ("shapes", OfThePlace, "no"),
    ("half", Overflowing, "no"),
    ("func", Reading, "no"),
    ("compile", Reading, "no"),
]


@pytest.mark.parametrize(("column", "kind", "verdict"), PLANTED, ids=lambda each: getattr(each, "__name__", each))
def test_the_columns_catch_planted_mistakes(column, kind, verdict) -> None:
    assert COLUMNS[column](Subject(kind)).verdict == verdict


def test_a_centre_that_counts_masked_categories_is_seen() -> None:
    """DARN about 1 / K is another estimator with more categories, also where these are masked."""
    assert COLUMNS["masked"](Subject(Darn, DarnOptions("uniform"))).verdict == "finite"


def test_second_derivatives_of_a_constant_gradient_are_refused_beside_others() -> None:
    """A penalty on the gradient in the logits would have been left out of the sum in silence."""
    logits = torch.zeros(2, 2, 3, requires_grad=True)
    loss = LocalExpectation().estimate(logits, lambda sample: sample.sum((-1, -2))).loss.sum()
    (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
    assert gradient.requires_grad
    with pytest.raises(ValueError, match="gives no second derivatives"):
        (loss + gradient.square().sum()).backward()
