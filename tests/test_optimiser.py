"""Adam of a population equals torch's Adam on each member alone."""

import math
from typing import get_args

import pytest
import torch
from torch import nn

from discrete_vae.config import Optimiser
from discrete_vae.noise import seeded
from discrete_vae.optimiser import OPTIMISERS, PopulationAdam, PopulationAdamWithoutMomentum, PopulationSgd

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


@pytest.mark.parametrize("kind", [PopulationAdam, PopulationAdamWithoutMomentum])
@pytest.mark.parametrize(("rates", "shared"), [(SHARED, True), (SHARED, False), (OWN, False)])
def test_equals_torch_adam_on_separate_models(rates, shared, kind) -> None:
    optimiser = kind(new_parameters(), MEMBERS, shared_rate=shared)
    train(optimiser, rates, range(20))
    for member in range(MEMBERS):
        alone = [nn.Parameter(parameter[member].detach().clone()) for parameter in new_parameters()]
        adam = torch.optim.Adam(alone, betas=kind.BETAS, foreach=False, fused=False)
        for step in range(20):
            adam.param_groups[0]["lr"] = rates[member] * 0.9**step
            for parameter, gradient in zip(alone, gradients(step), strict=True):
                parameter.grad = gradient[member]
            adam.step()
        for i, single in enumerate(alone):
            state = adam.state[single]
            # 20 updates of at most the learning rate, each right to a few units of float32.
            torch.testing.assert_close(optimiser.parameters[i][member], single, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(optimiser.first[i][member], state["exp_avg"], rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(optimiser.second[i][member], state["exp_avg_sq"], rtol=1e-5, atol=1e-7)


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


def test_descent_with_momentum_is_torchs() -> None:
    """Members with rates of their own, beside torch's SGD for each of them alone."""
    ours = PopulationSgd(new_parameters(), MEMBERS, shared_rate=False)
    rates = [0.1 * (1 + member) for member in range(MEMBERS)]
    apart = [[nn.Parameter(each[member].detach().clone()) for each in ours.parameters] for member in range(MEMBERS)]
    theirs = [torch.optim.SGD(own, lr, momentum=0.9) for own, lr in zip(apart, rates, strict=True)]
    for step in range(5):
        ours.step(gradients(step), torch.tensor(rates))
        for member, (own, optimiser) in enumerate(zip(apart, theirs, strict=True)):
            for parameter, gradient in zip(own, gradients(step), strict=True):
                parameter.grad = gradient[member].clone()
            optimiser.step()
    for i, parameter in enumerate(ours.parameters):
        for member in range(MEMBERS):
            torch.testing.assert_close(parameter[member], apart[member][i])


def test_every_optimiser_can_be_configured() -> None:
    assert set(OPTIMISERS) == set(get_args(Optimiser))
