"""An optimiser of a population equals torch's own on each member alone."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import nn

from discrete_vae.config.config import Optimiser
from discrete_vae.evaluation.population import TRAINING
from discrete_vae.latents.noise import seeded
from discrete_vae.training.optimiser import (
    OPTIMISERS,
    PopulationAdam,
    PopulationAdamWithoutMomentum,
    PopulationSgd,
)

MEMBERS = 3
SHARED, OWN = [1e-3] * MEMBERS, [1e-3, 3e-4, 1e-2]
SHAPES = [(MEMBERS, 4, 5), (MEMBERS, 1, 5)]


def new_parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.randn(shape, generator=seeded(i))) for i, shape in enumerate(SHAPES)]


def gradients(step: int) -> list[torch.Tensor]:
    return [torch.randn(shape, generator=seeded(i, "gradient", step)) for i, shape in enumerate(SHAPES)]


def train(optimiser: PopulationAdam, rates: list[float], steps: range, poisoned: int | None = None) -> None:
    for step in steps:
        given = gradients(step)
        for gradient in given if poisoned is not None else []:
            gradient[poisoned] = math.nan
        # A schedule's learning rates change from step to step.
        optimiser.step(given, torch.tensor(rates) * 0.9**step)


RULES: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adam": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=False),
    "adam-0-0.9": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.0, 0.9), eps=1e-8, weight_decay=0, foreach=False),
    "adam-0.5-0.9": lambda own: torch.optim.Adam(
        own, lr=9.0, betas=(0.5, 0.9), eps=1e-8, weight_decay=0, foreach=False
    ),
    "sgd": lambda own: torch.optim.SGD(
        own, lr=9.0, momentum=0.9, dampening=0, weight_decay=0, nesterov=False, foreach=False
    ),
}
"""What each optimiser is, in torch's words and with the numbers of the papers."""
MOMENTS = {
    "adam": {"first": "exp_avg", "second": "exp_avg_sq"},
    "adam-0-0.9": {"first": "exp_avg", "second": "exp_avg_sq"},
    "adam-0.5-0.9": {"first": "exp_avg", "second": "exp_avg_sq"},
    "sgd": {"velocity": "momentum_buffer"},
}


def faint(step: int) -> list[torch.Tensor]:
    """Gradients of all sizes from 1e-10 to 10, for what is added to a denominator tells in small ones alone."""
    sizes = [10.0 ** torch.randint(-10, 2, shape, generator=seeded(i, "size")) for i, shape in enumerate(SHAPES)]
    return [gradient * size for gradient, size in zip(gradients(step), sizes, strict=True)]


def rates_at(rates: list[float], step: int) -> torch.Tensor:
    """They change from step to step, and not alike for all members."""
    return torch.tensor(rates) * torch.tensor([0.9**step, 1.0 + 0.1 * step, 1 / (1 + step)])


@pytest.mark.parametrize("given", [gradients, faint])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("rates", "shared"), [(SHARED, True), (SHARED, False), (OWN, False)])
def test_twenty_steps_are_torchs_with_literal_numbers(rates, shared, name, given) -> None:
    """Parameters and moments after every step, each member beside an optimiser of its own."""
    ours = OPTIMISERS[name](new_parameters(), MEMBERS, shared)
    apart = [[nn.Parameter(each[p].detach().clone()) for each in new_parameters()] for p in range(MEMBERS)]
    theirs = [RULES[name](own) for own in apart]
    for step in range(20):
        now = torch.full((MEMBERS,), rates[0]) * 0.9**step if shared else rates_at(rates, step)
        ours.step(given(step), now)
        for p, (own, optimiser) in enumerate(zip(apart, theirs, strict=True)):
            optimiser.param_groups[0]["lr"] = float(now[p])
            for parameter, gradient in zip(own, given(step), strict=True):
                parameter.grad = gradient[p].clone()
            optimiser.step()
        for i, parameter in enumerate(ours.parameters):
            for p in range(MEMBERS):
                # 20 updates, each right to a few units of float32.
                torch.testing.assert_close(parameter[p], apart[p][i], rtol=1e-6, atol=1e-6)
                for own_name, torchs in MOMENTS[name].items():
                    expected = theirs[p].state[apart[p][i]][torchs]
                    torch.testing.assert_close(ours.state()[own_name][i][p], expected, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("rates", "shared"), [(SHARED, True), (OWN, False)])
def test_a_resumed_optimiser_goes_on_as_torchs_that_never_stopped(rates, shared, name) -> None:
    """After 4 steps parameters and moments move to a fresh optimiser, which is told of the 4: 8 more are torch's.

    A correction for the moments' bias that began anew would make the next update some times as long.
    """
    stopped, resumed = (OPTIMISERS[name](new_parameters(), MEMBERS, shared) for _ in range(2))
    apart = [[nn.Parameter(each[p].detach().clone()) for each in new_parameters()] for p in range(MEMBERS)]
    theirs = [RULES[name](own) for own in apart]
    ours = stopped
    for step in range(12):
        if step == 4:
            with torch.no_grad():
                for new, old in zip(resumed.parameters, stopped.parameters, strict=True):
                    new.copy_(old)
                for own_name, tensors in resumed.state().items():
                    for new, old in zip(tensors, stopped.state()[own_name], strict=True):
                        new.copy_(old)
            resumed.set_step(4)
            ours = resumed
        ours.step(gradients(step), torch.tensor(rates))
        for p, (own, optimiser) in enumerate(zip(apart, theirs, strict=True)):
            optimiser.param_groups[0]["lr"] = rates[p]
            for parameter, gradient in zip(own, gradients(step), strict=True):
                parameter.grad = gradient[p].clone()
            optimiser.step()
        for i, parameter in enumerate(ours.parameters):
            for p in range(MEMBERS):
                torch.testing.assert_close(parameter[p], apart[p][i], rtol=1e-6, atol=1e-6)


def test_the_constants_are_the_papers() -> None:
    """Kingma and Ba 2015; Gulrajani et al. 2017, algorithm 1; momentum 0.9."""
    assert PopulationAdam.BETAS == (0.9, 0.999)
    assert PopulationAdamWithoutMomentum.BETAS == (0.0, 0.9)
    assert PopulationSgd.MOMENTUM == 0.9
    assert set(RULES) == set(OPTIMISERS)


def test_layout_of_the_gradients_in_memory_does_not_matter() -> None:
    """The derivative of a transposed weight comes transposed."""
    plain, transposed = (PopulationAdam(new_parameters(), MEMBERS, shared_rate=False) for _ in range(2))
    for step in range(3):
        given = gradients(step)
        plain.step(given, torch.tensor(OWN))
        turned = [gradient.mT.contiguous().mT for gradient in given]
        assert turned[0].stride() != given[0].stride()
        transposed.step(turned, torch.tensor(OWN))
    for expected, found in zip(plain.parameters, transposed.parameters, strict=True):
        assert found.equal(expected)


def test_first_update_is_the_learning_rate_against_the_sign() -> None:
    """Worked by hand: after one step m / sqrt(v) is the gradient's sign."""
    optimiser = PopulationAdam(new_parameters(), MEMBERS, shared_rate=False)
    before = [parameter.detach().clone() for parameter in optimiser.parameters]
    train(optimiser, OWN, range(1))
    for parameter, old, gradient in zip(optimiser.parameters, before, gradients(0), strict=True):
        expected = -gradient.sign() * torch.tensor(OWN).reshape(-1, 1, 1)
        torch.testing.assert_close(parameter - old, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("rates", "shared"), [(SHARED, True), (OWN, False)])
def test_moments_put_into_a_fresh_optimiser_continue_bit_by_bit(rates, shared) -> None:
    whole = PopulationAdam(new_parameters(), MEMBERS, shared)
    train(whole, rates, range(10))
    stopped = PopulationAdam(new_parameters(), MEMBERS, shared)
    train(stopped, rates, range(5))

    resumed = PopulationAdam(new_parameters(), MEMBERS, shared)
    with torch.no_grad():
        for name in ("parameters", "first", "second"):
            for new, old in zip(getattr(resumed, name), getattr(stopped, name), strict=True):
                new.copy_(old)
    resumed.set_step(5)
    train(resumed, rates, range(5, 10))
    for name in ("parameters", "first", "second"):
        for new, old in zip(getattr(resumed, name), getattr(whole, name), strict=True):
            assert new.equal(old)


@pytest.mark.parametrize(("rates", "shared"), [(SHARED, True), (OWN, False)])
def test_nan_gradient_of_one_member_leaves_the_others_bit_identical(rates, shared) -> None:
    healthy, sick = (PopulationAdam(new_parameters(), MEMBERS, shared) for _ in range(2))
    train(healthy, rates, range(5))
    train(sick, rates, range(5), poisoned=1)
    for name in ("parameters", "first", "second"):
        for a, b in zip(getattr(sick, name), getattr(healthy, name), strict=True):
            assert a[1].isnan().all()
            assert a[[0, 2]].equal(b[[0, 2]])


@pytest.mark.parametrize("shared", [True, False])
def test_no_parameters_are_no_error(shared) -> None:
    """Most strategies have none of their own."""
    empty = PopulationAdam([], MEMBERS, shared)
    empty.set_step(3)
    empty.step([], torch.tensor(SHARED))


def test_every_optimiser_can_be_configured() -> None:
    assert set(OPTIMISERS) == set(get_args(Optimiser))


@pytest.mark.parametrize("name", OPTIMISERS)
def test_what_an_optimiser_remembers_is_no_part_of_a_model(name: str) -> None:
    """Checkpoints name it so that evaluation leaves it out."""
    made = OPTIMISERS[name]([nn.Parameter(torch.zeros(2, 3))], 2, True)
    assert all(TRAINING.fullmatch(f"{name}.critic.0.{moment}") for moment in made.state())
