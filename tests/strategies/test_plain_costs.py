"""A plain cost or an objective in a call: in the user's layout, sample by sample, checked, and black boxes refused."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies import (
    STRATEGIES,
    Carms,
    DarnBaseline,
    Enumeration,
    LocalExpectation,
    Model,
    MuProp,
    Nvil,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxMeanControl,
    Relax,
    Rloo,
    Rodeo,
    TargetPropagation,
    Vimco,
)
from discrete_vae.strategies.objective import one_an_example
from discrete_vae.strategies.pathwise import Pathwise

PATHWISE = {name: kind for name, kind in STRATEGIES.items() if issubclass(kind, Pathwise) and kind.categorical()}
LOGITS = torch.randn(8, 2, 3, generator=seeded(0))
WEIGHT = torch.randn(6, generator=seeded(1))


def cost(z: Tensor) -> Tensor:
    """That of code which flattens all but the batch."""
    return (z.flatten(1) @ WEIGHT).square()


@pytest.mark.parametrize(
    ("strategy", "behind"),
    [
        (Vimco(3), True),
        (MuProp(normalise=True), True),
        (ReinMax(), True),
        (Rloo(2), False),
        (TargetPropagation(), False),
    ],
    ids=["Vimco", "MuProp", "ReinMax", "Rloo", "TargetPropagation"],
)
def test_every_part_of_an_objective_is_asked_in_the_users_layout(strategy, behind) -> None:
    """Channels first: the same estimate as with the categories last."""
    tilt, feedback = torch.linspace(-1, 2, 6).view(2, 3), torch.randn(6, 6, generator=seeded(5))
    found = []
    for dim in (-1, 1):

        def turned(tensor: Tensor, dim: int = dim) -> Tensor:
            """From one layout to the other and back."""
            return tensor if dim == -1 else tensor.mT

        def own(tensor: Tensor, turned: Callable[[Tensor], Tensor] = turned) -> Tensor:
            assert turned(tensor).shape[-2:] == (2, 3)
            return turned(tensor)

        objective = Objective(
            decode=lambda z: own(z).flatten(-2) * WEIGHT,
            loss=lambda output: output.sum(-1).square(),
            model=Model(
                torch.sigmoid,
                torch.ones(8, 6),
                encode=lambda seen: turned((seen @ feedback).unflatten(-1, (2, 3))),
            ),
            kl_term=lambda logits: (own(logits).sin() * tilt).sum((-1, -2)),
            sample_kl=lambda logits, z: (own(logits) * own(z) * tilt).sum((-1, -2)),
            deeper_loss=(lambda z, output: (own(z) * tilt).sum((-1, -2)).sin()) if behind else None,
            mean_field=Objective(lambda z: (own(z) * tilt).flatten(-2), lambda output: output.sum(-1).square()),
        )
        logits = (LOGITS if dim == -1 else LOGITS.mT).clone().requires_grad_()
        estimate = copy.deepcopy(strategy).estimate(logits, objective, dim=dim, generator=seeded(6))
        estimate.loss.sum().backward()
        found.append((estimate.loss, turned(logits.grad), turned(estimate.sample)))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize(
    "strategy", [Rloo(4), Carms(3), LocalExpectation(), Enumeration()], ids=lambda s: type(s).__name__
)
def test_a_plain_cost_never_sees_several_samples_at_once(strategy) -> None:
    shapes = []

    def seen(z: Tensor) -> Tensor:
        shapes.append(z.shape)
        return cost(z)

    estimate = strategy.estimate(LOGITS, seen)
    assert set(shapes) == {LOGITS.shape}
    assert len(shapes) == strategy.claim.decoded(2, 3)
    assert estimate.loss.shape == (8,)


def test_a_plain_cost_has_the_gradient_of_an_objective() -> None:
    structured = Objective(lambda z: z.flatten(-2) @ WEIGHT, lambda output: output.square())
    found = []
    for objective in (cost, structured):
        logits = LOGITS.clone().requires_grad_()
        Rloo(4).estimate(logits, objective, generator=seeded(6)).loss.sum().backward()
        found.append(logits.grad)
    torch.testing.assert_close(*found)


def test_costs_may_be_counts() -> None:
    """As rewards of an environment are."""
    logits = LOGITS.clone().requires_grad_()
    Rloo(4).estimate(logits, lambda z: z.argmax(-1).sum(-1)).loss.sum().backward()
    assert logits.grad.any()


BAD_LOSSES = {
    "mean": (lambda z: cost(z).mean(), r"the loss has shape \[\]; give one number an example, \[8\]: .*no \.mean\(\)"),
    "column": (lambda z: cost(z)[:, None], r"shape \[8, 1\].*\.squeeze\(-1\)"),
    "a variable": (lambda z: z.sum(-1), r"shape \[8, 2\].*\.sum\(-1\)"),
    "number": (lambda z: 0.0, r"the loss is a float; give a tensor of one number an example, \[8\]"),
}


@pytest.mark.parametrize(("bad", "message"), BAD_LOSSES.values(), ids=BAD_LOSSES)
@pytest.mark.parametrize("strategy", [ReinMax(), Rloo(), Rebar()], ids=lambda s: type(s).__name__)
def test_a_loss_that_is_not_one_number_an_example_is_refused(strategy, bad, message) -> None:
    with pytest.raises(InputError, match=message):
        strategy.estimate(LOGITS.clone().requires_grad_(), bad)


def test_a_loss_may_be_broadcast_where_a_sample_stands_for_a_batch_alone() -> None:
    assert one_an_example(torch.zeros(3, 8), torch.Size([3, 1]), broadcasts=True).shape == (3, 8)
    for loss, broadcasts in ((torch.zeros(3, 1), True), (torch.zeros(8), True), (torch.zeros(3, 8), False)):
        with pytest.raises(InputError, match="one number an example"):
            one_an_example(loss, torch.Size([3, 8 if broadcasts else 1]), broadcasts)


def test_a_learned_baseline_takes_a_context_beside_a_plain_cost() -> None:
    baseline = nn.Linear(2, 1)
    estimate = Nvil(baseline).estimate(LOGITS.clone().requires_grad_(), cost, context=torch.ones(8, 2))
    estimate.strategy_loss.backward()
    assert baseline.weight.grad.any()


@pytest.mark.parametrize("name", PATHWISE)
def test_a_pathwise_strategy_needs_a_cost_with_a_gradient(name) -> None:
    """Also where something else in the cost has one, which would hide it."""
    table = torch.ones(3, requires_grad=True)
    logits = LOGITS.clone().requires_grad_()
    for black_box in (lambda z: z.argmax(-1).sum(-1), lambda z: table[z.argmax(-1)].sum(-1)):
        with pytest.raises(InputError, match="needs a cost that has a gradient in the sample; for a black box take"):
            PATHWISE[name]().estimate(logits, black_box)
    assert PATHWISE[name]().estimate(LOGITS, lambda z: z.argmax(-1).sum(-1)).loss.shape == (8,)


@pytest.mark.parametrize("strategy", [Vimco(), STRATEGIES["reweighted-wake-sleep"]()])
def test_a_bound_wants_more_than_a_cost(strategy) -> None:
    with pytest.raises(
        InputError, match="follows a bound of several samples in place of their mean; give an Objective"
    ):
        strategy.estimate(LOGITS, cost)


@pytest.mark.parametrize(
    ("strategy", "name"), [(Nvil(nn.Linear(2, 3)), "baseline"), (Relax(nn.Linear(12, 3)), "critic")]
)
def test_a_network_that_says_more_than_one_number_an_example_is_refused(strategy, name) -> None:
    """With as many numbers as examples it would be taken for a table of both."""
    context = None if name == "critic" else torch.zeros(3, 2)
    with pytest.raises(InputError, match=rf"the {name} gives shape \[3, 3\]; it has to give one number an example"):
        strategy.estimate(torch.zeros(3, 3, 4), lambda z: z.sum((-1, -2)), context=context)


def test_a_context_of_other_examples_is_refused() -> None:
    with pytest.raises(InputError, match=r"the baseline gives shape \[5, 1\]; it has to give one number an example"):
        Nvil(nn.Linear(2, 1)).estimate(torch.zeros(3, 3, 4), lambda z: z.sum((-1, -2)), context=torch.zeros(5, 2))


@pytest.mark.parametrize("strategy", [MuProp(), DarnBaseline(), ReinMaxMeanControl(), Rebar(), Rodeo()])
def test_a_black_box_is_refused_by_strategies_that_differentiate_it(strategy) -> None:
    table = torch.ones(4, requires_grad=True)  # so that there is a gradient, but none in the sample
    for cost in (lambda z: z.argmax(-1).sum(-1), lambda z: table[z.argmax(-1)].sum(-1)):
        with pytest.raises(InputError, match="needs an objective that has a gradient in"):
            strategy.estimate(torch.zeros(3, 2, 4), cost)


def test_the_old_name_of_a_strategys_loss_warns() -> None:
    estimate = Rloo(2).estimate(LOGITS, cost)
    with pytest.warns(DeprecationWarning, match="strategy_loss"):
        assert estimate.auxiliary is estimate.strategy_loss
