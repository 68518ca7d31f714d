"""Hyper-parameters of strategies: checked where they are set, learned, annealed, one an example, and copied."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.schedules import Schedule, table
from discrete_vae.strategies import (
    STRATEGIES,
    Carms,
    DecoupledStraightThrough,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    Objective,
    Rebar,
    ReinMax,
    Rloo,
    StraightThrough,
    TargetPropagation,
)

LOGITS = torch.randn(8, 2, 3, generator=seeded(0))
WEIGHT = torch.randn(6, generator=seeded(1))


def cost(z: Tensor) -> Tensor:
    """That of code which flattens all but the batch."""
    return (z.flatten(1) @ WEIGHT).square()


BAD_TENSORS = [torch.tensor([0.5, bad]) for bad in (-1.0, math.nan, math.inf)]
BAD_NUMBERS = [0.0, -1.0, math.nan, math.inf, "warm", None, True, Schedule(1.0), *BAD_TENSORS]


@pytest.mark.parametrize("bad", BAD_NUMBERS, ids=str)
@pytest.mark.parametrize("kind", [GumbelSoftmax, StraightThrough, ReinMax], ids=lambda kind: kind.__name__)
def test_a_bad_temperature_is_refused_where_it_is_set(kind, bad) -> None:
    strategy = kind(0.5)
    with pytest.raises(InputError, match="temperature is "):
        strategy.temperature = bad
    with pytest.raises(InputError, match="temperature is "):
        kind(bad)
    assert strategy.temperature == 0.5


@pytest.mark.parametrize(
    ("strategy", "name", "bad"),
    [
        (Rloo(), "draws", 1),
        (Rloo(), "draws", 2.0),
        (GumbelRao(), "draws", 0),
        (GappedStraightThrough(), "gap", -1.0),
        (GappedStraightThrough(), "gap", math.nan),
        (STRATEGIES["darn"](), "centre", "median"),
        (TargetPropagation(), "output_target", 0.0),
        (TargetPropagation(), "clip", -1.0),
        (TargetPropagation(), "clip", math.nan),
        (TargetPropagation(), "step", -1.0),
        (DecoupledStraightThrough(), "forward_temperature", 0),
        (Rebar(), "temperature", -3),
        (Rebar(), "temperature", None),
    ],
)
def test_other_options_are_checked_where_they_are_set(strategy, name, bad) -> None:
    with pytest.raises(InputError, match=f"{name.replace('_', '.')} is|unknown {name}"):
        setattr(strategy, name, bad)


def test_what_is_learned_goes_on_from_where_it_is_set() -> None:
    strategy = Rebar(0.5)
    strategy.temperature = 0.2
    assert strategy.log_temperature.exp().item() == pytest.approx(0.2)


def test_hyper_parameters_that_may_be_zero() -> None:
    strategy = TargetPropagation(step=0)
    strategy.noise = 0.0
    assert strategy.step == strategy.noise == 0


def test_the_claim_follows_the_draws() -> None:
    for kind in (Rloo, Carms, STRATEGIES["unordered-set"]):
        strategy = kind()
        strategy.draws = 6
        assert strategy.claim.evaluations == 6
        assert kind.claim.evaluations == 4


def test_annealing_is_one_line() -> None:
    strategy = GumbelSoftmax(1.0)
    schedule = Schedule(1.0, decay=0.5, every=10, unit="step", minimum=0.1)
    seen = []
    for step in (0, 9, 10, 25, 1000):
        strategy.temperature = schedule.at(step)
        seen.append(strategy.temperature.item())
    assert seen == pytest.approx([1, 1, 0.5, 0.25, 0.1])
    at = strategy(LOGITS, generator=seeded(0))
    assert at.equal(GumbelSoftmax(0.1)(LOGITS, generator=seeded(0)))


def test_a_schedule_at_a_time_is_that_of_training() -> None:
    for text in (
        "1,decay=0.9,every=2,minimum=0.3",
        "0.5,warmup=4",
        "1,decay=0.01,unit=run,warmup=0.5",
        "2,decay=0.5,unit=step",
        "0.5,decay=0.1,minimum=0.4,warmup=3",
    ):
        schedule = Schedule.parse(text)
        units = {"epoch": 5, "step": 1, "run": 40}[schedule.unit]
        expected = table([schedule], 0, 41, 5, [40])[:, 0]
        found = torch.tensor([schedule.at(step / units) for step in range(41)])
        torch.testing.assert_close(found, expected)
    for bad in (-1, math.nan, "1", None):
        with pytest.raises(InputError, match="schedule: time is"):
            Schedule(1.0).at(bad)
    with pytest.raises(InputError, match="share that is done"):
        Schedule(1.0, decay=0.5, unit="run").at(2)


def test_temperatures_of_one_an_example() -> None:
    temperatures = torch.linspace(0.1, 2, 8)
    together = GumbelSoftmax(temperatures)(LOGITS, generator=seeded(1))
    for example, temperature in enumerate(temperatures):
        alone = GumbelSoftmax(temperature)(LOGITS, generator=seeded(1))
        torch.testing.assert_close(together[example], alone[example])
    flat = GumbelSoftmax(temperatures).estimate(LOGITS[:, 0], lambda z: z.sum(-1))
    assert flat.sample.shape == (8, 3)
    images = GumbelSoftmax(temperatures)(torch.randn(8, 3, 4, 4), dim=1)
    assert images.shape == (8, 3, 4, 4)


@pytest.mark.parametrize(
    ("shape", "dim", "temperature"),
    [
        ((4, 5, 2, 3), 1, (4, 1, 1, 1)),
        ((4, 5, 2, 3), 1, (4, 1, 2, 3)),
        ((4, 5, 2, 3), 1, (1, 1, 1, 3)),
        ((4, 5, 2, 3), 1, (4, 2)),
        ((4, 5, 5), 1, (4, 1, 5)),
        ((4, 5, 5, 1), 1, (4, 5, 1)),
        ((2, 4, 3, 5), 2, (2, 4, 1, 5)),
        ((4, 5), 1, (4, 1)),
    ],
)
@pytest.mark.parametrize("kind", [GumbelSoftmax, ReinMax])
def test_temperatures_of_one_a_place_are_those_of_the_sample(kind, shape, dim, temperature) -> None:
    """In an estimate as in a call, also where there are as many places as categories."""
    logits = torch.randn(shape, generator=seeded(0)).requires_grad_()
    weight = torch.randn(shape, generator=seeded(2))
    strategy = kind(0.2 + torch.rand(temperature, generator=seeded(1)))
    batch = 2 if dim == 2 else 1

    def cost(z: Tensor) -> Tensor:
        return (z * weight).square().flatten(batch).sum(-1)

    (expected,) = torch.autograd.grad(cost(strategy(logits, dim, generator=seeded(3))).sum(), logits)
    estimate = strategy.estimate(logits, cost, dim=dim, generator=seeded(3))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    torch.testing.assert_close(found, expected)


def test_temperatures_that_fit_no_place_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"a hyper-parameter has shape \[4, 1, 3, 2\]; give one number, or one an exampl"
    ):
        GumbelSoftmax(torch.ones(4, 1, 3, 2)).estimate(torch.randn(4, 5, 2, 3), lambda z: z.sum((1, 2, 3)), dim=1)


def test_a_temperature_can_be_learned() -> None:
    strategy = GumbelSoftmax(0.5)
    strategy.temperature = nn.Parameter(torch.tensor(0.7))
    assert [name for name, _ in strategy.named_parameters()] == ["temperature"]
    cost(strategy(LOGITS)).sum().backward()
    assert strategy.temperature.grad
    strategy.temperature = 0.3
    assert not list(strategy.parameters())
    assert strategy.state_dict()["temperature"] == pytest.approx(0.3)


@pytest.mark.parametrize("value", [0.3, torch.linspace(0.1, 1, 8)], ids=["number", "one an example"])
def test_copies_and_state_dicts_carry_hyper_parameters(value) -> None:
    strategy = ReinMax()
    strategy.temperature = value
    fresh = ReinMax()
    fresh.load_state_dict(strategy.state_dict())
    for other in (fresh, copy.deepcopy(strategy), pickle.loads(pickle.dumps(strategy))):
        assert other.temperature.equal(strategy.temperature)
        assert other(LOGITS, generator=seeded(1)).equal(strategy(LOGITS, generator=seeded(1)))
        with pytest.raises(InputError, match="temperature is"):
            other.temperature = 0.0


def test_a_hyper_parameter_keeps_its_precision_and_its_device() -> None:
    strategy = ReinMax(torch.tensor(0.3, dtype=torch.float64))
    assert strategy.temperature.item() == 0.3
    assert strategy(LOGITS).dtype == LOGITS.dtype
    assert GumbelSoftmax(0.3)(LOGITS.double()).dtype == torch.float64
    strategy.to("meta").temperature = 0.5
    assert strategy.temperature.device.type == "meta"


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, kind in STRATEGIES.items()
        if kind.categorical() and kind.categories is None and not kind.loss_includes_kl
    ],
)
def test_a_strategy_that_has_learned_can_be_copied(name) -> None:
    try:
        strategy = STRATEGIES[name]()
    except TypeError:
        return  # one that wants a network, which is the user's own
    if "target" in name:
        return
    objective = Objective(
        decode=lambda z: (z.flatten(-2) @ WEIGHT).unsqueeze(-1),
        loss=lambda output: output.square().squeeze(-1),
        curvature=lambda output: torch.full_like(output, 2.0),
    )
    strategy.estimate(LOGITS.clone().requires_grad_(), objective, generator=seeded(1))
    fresh = STRATEGIES[name]()
    fresh.load_state_dict(strategy.state_dict())
    found = []
    for other in (strategy, copy.deepcopy(strategy), pickle.loads(pickle.dumps(strategy)), fresh):
        logits = LOGITS.clone().requires_grad_()
        other.estimate(logits, objective, generator=seeded(2)).loss.sum().backward()
        found.append(logits.grad)
    assert all(each.equal(found[0]) for each in found[1:])
