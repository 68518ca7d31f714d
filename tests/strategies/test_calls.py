"""Strategies and functions called with logits: names, dimensions, precision, device, misuse, and NaN."""

from __future__ import annotations

import inspect
import math
import re

import pytest
import torch
from torch import Tensor, nn

import discrete_vae.functional as functional
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import (
    STRATEGIES,
    Darn,
    DecoupledStraightThrough,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    LocalExpectation,
    MinimumVariance,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxRao,
    Rloo,
    ScoreFunction,
    SlopeAnnealedStraightThrough,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    TargetPropagation,
)
from discrete_vae.strategies.objective import Layout
from discrete_vae.strategies.pathwise import Pathwise
from discrete_vae.tasks.nesting import Layer, nested

PATHWISE = {name: kind for name, kind in STRATEGIES.items() if issubclass(kind, Pathwise) and kind.categorical()}
every_pathwise = pytest.mark.parametrize("name", PATHWISE)
LOGITS = torch.randn(8, 2, 3, generator=seeded(0))
WEIGHT = torch.randn(6, generator=seeded(1))


def cost(z: Tensor) -> Tensor:
    """That of code which flattens all but the batch."""
    return (z.flatten(1) @ WEIGHT).square()


def function_of(name: str):
    return getattr(functional, name.replace("-", "_"))


@every_pathwise
def test_a_strategy_a_function_and_its_old_name_are_one(name) -> None:
    found = [
        PATHWISE[name]()(LOGITS, generator=seeded(3)),
        function_of(name)(LOGITS, generator=seeded(3)),
        PATHWISE[name]().sample(LOGITS, Noise([seeded(3)])),
    ]
    if name == "gumbel-softmax":  # whose function has torch's default temperature
        found[1] = functional.gumbel_softmax(LOGITS, 0.5, generator=seeded(3))
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])
    torch.manual_seed(3)
    first = PATHWISE[name]()(LOGITS)
    torch.manual_seed(3)
    assert function_of(name)(LOGITS).shape == first.shape == LOGITS.shape


@every_pathwise
def test_a_function_has_the_defaults_of_its_class(name) -> None:
    own = {
        key: value.default
        for key, value in inspect.signature(function_of(name)).parameters.items()
        if key not in ("logits", "dim", "generator")
    }
    if name == "gumbel-softmax":
        torchs = inspect.signature(nn.functional.gumbel_softmax).parameters
        assert list(inspect.signature(functional.gumbel_softmax).parameters)[:-1] == list(torchs)
        assert own == {key: value.default for key, value in torchs.items() if key in own}
        return
    constructor = inspect.signature(PATHWISE[name]).parameters
    assert own == {key: value.default for key, value in constructor.items()}


@pytest.mark.parametrize(
    ("function", "strategy"),
    [
        (lambda at, g: functional.gumbel_softmax(at, 0.3, generator=g), GumbelSoftmax(0.3)),
        (lambda at, g: functional.gumbel_softmax(at, 0.3, True, generator=g), StraightThroughGumbelSoftmax(0.3)),
        (lambda at, g: functional.straight_through_gumbel_softmax(at, 0.3, -1, g), StraightThroughGumbelSoftmax(0.3)),
        (lambda at, g: functional.reinmax(at, 0.3, generator=g), ReinMax(0.3)),
        (lambda at, g: functional.minimum_variance(at, 0.3, generator=g), MinimumVariance(0.3)),
        (lambda at, g: functional.straight_through(at, 0.3, generator=g), StraightThrough(0.3)),
        (
            lambda at, g: functional.slope_annealed_straight_through(at, 0.3, generator=g),
            SlopeAnnealedStraightThrough(0.3),
        ),
        (
            lambda at, g: functional.decoupled_straight_through(at, 0.3, 2.0, generator=g),
            DecoupledStraightThrough(0.3, 2.0),
        ),
        (lambda at, g: functional.gapped_straight_through(at, 0.3, 2.0, generator=g), GappedStraightThrough(0.3, 2.0)),
        (lambda at, g: functional.gumbel_rao(at, 0.3, 3, generator=g), GumbelRao(0.3, 3)),
        (lambda at, g: functional.reinmax_rao(at, 0.3, 3, generator=g), ReinMaxRao(0.3, 3)),
        (lambda at, g: functional.darn(at, "uniform", generator=g), Darn("uniform")),
    ],
    ids=lambda each: type(each).__name__,
)
def test_arguments_of_a_function_reach_its_class(function, strategy) -> None:
    found = []
    for call in (function, lambda at, g: strategy(at, generator=g)):
        logits = LOGITS.clone().requires_grad_()
        cost(call(logits, seeded(3))).sum().backward()
        found.append(logits.grad)
    assert found[0].equal(found[1])


@every_pathwise
def test_a_function_takes_the_categories_along_dim(name) -> None:
    expected = function_of(name)(LOGITS.mT, generator=seeded(3)).mT
    assert function_of(name)(LOGITS, dim=1, generator=seeded(3)).equal(expected)


def test_hard_gumbel_softmax_is_the_straight_through_form() -> None:
    first = functional.gumbel_softmax(LOGITS, tau=0.3, hard=True, generator=seeded(1))
    assert first.equal(functional.straight_through_gumbel_softmax(LOGITS, 0.3, generator=seeded(1)))


@every_pathwise
@pytest.mark.parametrize(("shape", "dim"), [((8, 3, 5, 4), 1), ((3, 7), 0), ((3,), 0), ((2, 3, 6), -2)])
def test_categories_along_any_dimension(name, shape, dim) -> None:
    """The same sample and gradient as with the categories moved to the end."""
    logits = torch.randn(shape, generator=seeded(2))
    weight = torch.randn(shape, generator=seeded(4))
    moved, own = logits.movedim(dim, -1).clone().requires_grad_(), logits.clone().requires_grad_()
    expected = PATHWISE[name]()(moved, generator=seeded(5)).movedim(-1, dim)
    found = PATHWISE[name]()(own, dim, seeded(5))
    assert found.equal(expected)
    for sample in (found, expected):
        (sample * weight).square().sum().backward()
    torch.testing.assert_close(own.grad.movedim(dim, -1), moved.grad)
    torch.testing.assert_close(found.sum(dim), torch.ones_like(found.sum(dim)))


@every_pathwise
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_sample_has_the_dtype_of_its_logits_in_half_precision_too(name, dtype) -> None:
    assert PATHWISE[name]()(LOGITS.to(dtype)).dtype == dtype


@pytest.mark.parametrize("strategy", [ReinMax(), Rloo(2), LocalExpectation()], ids=lambda each: type(each).__name__)
def test_a_layout_of_two_dimensions_is_one_variable_an_example(strategy) -> None:
    found = []
    for given in (LOGITS[:, 0], LOGITS[:, :1]):
        logits = given.clone().requires_grad_()
        estimate = strategy.estimate(logits, lambda z: (z.flatten(1) @ WEIGHT[:3]).square(), generator=seeded(1))
        estimate.loss.sum().backward()
        assert estimate.sample.shape[-logits.dim() :] == logits.shape
        found.append((estimate.loss, logits.grad.flatten()))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_layout_of_several_samples_is_that_of_each() -> None:
    logits = torch.randn(8, 3, 5, 4, generator=seeded(2))
    layout, several = Layout.of(logits, 1), torch.stack([logits, logits + 1])
    inner = layout.inwards(several)
    assert inner.shape == (2, 8, 20, 3)
    assert inner[1].equal(layout.inwards(several[1]))
    assert layout.outwards(inner).equal(several)
    deeper = Layout.of(several, -3)
    assert deeper.examples == (2, 8)
    estimate = Rloo(3).estimate(several, lambda z: z.flatten(2).square().sum(-1), dim=2)
    assert estimate.loss.shape == (2, 8)
    assert estimate.sample.shape == (3, *several.shape)


@every_pathwise
def test_a_masked_category_is_never_taken_and_nan_stays_nan(name) -> None:
    logits = LOGITS.repeat(50, 1, 1)
    logits[..., 1] = -math.inf
    logits.requires_grad_()
    strategy = PATHWISE[name]()
    sample = strategy(logits, generator=seeded(1))
    (sample * torch.arange(3)).square().sum().backward()
    assert not sample[..., 1].any()
    assert logits.grad.isfinite().all()
    assert not logits.grad[..., 1].any()
    assert logits.grad.any()
    bad = LOGITS.clone()
    bad[0, 0, 0], bad[1, 0] = math.nan, -math.inf
    sample = strategy(bad, generator=seeded(1))
    assert sample[:2, 0].isnan().all()
    assert sample[:2, 1].isfinite().all()
    assert sample[2:].isfinite().all()


@pytest.mark.parametrize("strategy", [GumbelSoftmax(), ReinMax(), Rloo(2)], ids=lambda each: type(each).__name__)
def test_half_precision_is_computed_in_single(strategy) -> None:
    """Samples have the logits' dtype, for whose rounding the objective makes up; the gradient is rounded once."""
    found, half = [], LOGITS.bfloat16()
    for given in (half, half.float()):

        def seen(z: Tensor, dtype: torch.dtype = given.dtype) -> Tensor:
            assert z.dtype == dtype
            return cost(z.bfloat16().float())

        logits = given.clone().requires_grad_()
        estimate = strategy.estimate(logits, seen, generator=seeded(2))
        assert estimate.loss.dtype == torch.float32
        assert estimate.sample.dtype == given.dtype
        estimate.loss.sum().backward()
        found.append(logits.grad.bfloat16())
    assert found[0].equal(found[1])
    assert strategy.estimate(LOGITS, lambda z: cost(z).bfloat16()).loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rloo()(LOGITS), r"Rloo gives no sample that has a gradient; call estimate\(logits, objective\)"),
        (lambda: ReinMax()(LOGITS, cost), r"dim is a function; .*an objective goes to estimate"),
        (lambda: ReinMax()(LOGITS, 3), r"dim is 3; the logits have shape \[8, 2, 3\]"),
        (lambda: ReinMax()(LOGITS.long()), r"the logits are int64"),
        (lambda: ReinMax()([0.1, 0.2]), r"the logits are list"),
        (lambda: ReinMax()(torch.zeros(4, 0)), r"logits of shape \[4, 0\] have no categories"),
        (lambda: ReinMax()(torch.zeros(())), r"dim is -1; the logits have shape \[\]"),
        (lambda: Rloo().estimate(LOGITS[0, 0], cost), r"logits of shape \[3\] have no batch"),
        (lambda: Rloo().estimate(LOGITS, cost, dim=0), r"no batch before the categories' dim 0"),
        (lambda: Rloo().estimate(LOGITS, 3.0), r"the objective is a float"),
        (lambda: Rloo().estimate(LOGITS, cost, seeded(0)), r"noise is a Generator; give a Noise, or generator=\.\.\."),
        (lambda: Rloo().estimate(LOGITS, cost, Noise(), generator=seeded(0)), "both noise and a generator"),
        (lambda: TargetPropagation().estimate(LOGITS, cost), "needs an objective with predict and encode"),
        (
            lambda: ReinMax(torch.ones(5))(LOGITS),
            r"a hyper-parameter has shape \[5\]; give one number, or one for each of the first dimension, \[8\]",
        ),
    ],
)
def test_misuse_is_one_line_that_names_the_remedy(call, message) -> None:
    with pytest.raises(InputError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_noise_is_drawn_on_the_device_of_the_logits() -> None:
    """Seen on torch's device without data."""
    logits = torch.zeros(8, 2, 3, device="meta")
    for strategy in (ReinMax(), GumbelSoftmax(), GumbelRao()):
        assert strategy.to("meta")(logits).device.type == "meta"
    for strategy in (Rloo(), Rebar().to("meta")):
        found = strategy.estimate(logits.requires_grad_(), lambda z: z.sum((-1, -2)), Noise())
        assert found.loss.device.type == "meta"
    objective = Objective(lambda z: z, lambda z: z.sum((-1, -2)))
    layer = Layer(lambda z, output: z + output, lambda z: objective)
    found = nested([ReinMax().to("meta"), Rloo()], logits, objective, [layer], Noise())
    assert found.loss.device.type == "meta"


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_a_batch_of_nan_does_not_stay_in_a_moving_baseline(bad) -> None:
    """Loss scaling skips such steps, and goes on; the square of the last is infinite."""
    strategy = ScoreFunction()
    for step in range(3):
        strategy.estimate(LOGITS, lambda z, step=step: (cost(z) + 1) * (bad if step == 1 else 1.0))
    assert 0 < strategy.moving.mean < 1e3
    assert strategy.moving.square.isfinite()
    assert strategy.moving.weight == pytest.approx(1 - 0.8**2)


def test_nan_of_one_member_leaves_the_others_moving_baselines_alone() -> None:
    strategy = ScoreFunction(members=2)
    scale = torch.tensor([[math.nan], [1.0]])
    strategy.estimate(
        LOGITS.expand(2, -1, -1, -1), lambda z: (z.flatten(2) @ WEIGHT).square() * scale, Noise([seeded(0), seeded(1)])
    )
    torch.testing.assert_close(strategy.moving.weight, torch.tensor([0.0, 0.2]))
    assert strategy.moving.mean[1] > 0


def test_names_of_functions_are_those_of_the_strategies() -> None:
    public = {
        name for name, function in vars(functional).items() if inspect.isfunction(function) and not name.startswith("_")
    }
    assert public == {name.replace("-", "_") for name in PATHWISE}
    assert all(re.search(r"\d{4}", getattr(functional, name).__doc__) for name in public)


@pytest.mark.parametrize("bad", [3, "cpu", torch.Generator], ids=str)
def test_a_generator_that_is_none_is_refused(bad) -> None:
    for call in (
        lambda: functional.gumbel_softmax(LOGITS, generator=bad),
        lambda: Rloo().estimate(LOGITS, lambda z: z.sum((1, 2)), generator=bad),
    ):
        with pytest.raises(InputError, match=r"generator is .*; give a torch.Generator"):
            call()
