"""How other people's code calls strategies: with its logits and its costs; each misuse is one line."""

import copy
import inspect
import math
import pickle
import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import discrete_vae.functional as functional
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.schedules import Schedule, table
from discrete_vae.strategies import (
    STRATEGIES,
    Carms,
    Darn,
    DarnBaseline,
    DecoupledStraightThrough,
    Enumeration,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    LocalExpectation,
    MinimumVariance,
    Model,
    MuProp,
    Nvil,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxMeanControl,
    ReinMaxRao,
    Relax,
    Rloo,
    Rodeo,
    ScoreFunction,
    SlopeAnnealedStraightThrough,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    TargetPropagation,
    Vimco,
)
from discrete_vae.strategies.objective import Layout, one_an_example
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


def test_a_learned_baseline_takes_a_context_beside_a_plain_cost() -> None:
    baseline = nn.Linear(2, 1)
    estimate = Nvil(baseline).estimate(LOGITS.clone().requires_grad_(), cost, context=torch.ones(8, 2))
    estimate.strategy_loss.backward()
    assert baseline.weight.grad.any()


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
    strategy.estimate(LOGITS.clone().requires_grad_(), cost, generator=seeded(1))
    fresh = STRATEGIES[name]()
    fresh.load_state_dict(strategy.state_dict())
    found = []
    for other in (strategy, copy.deepcopy(strategy), pickle.loads(pickle.dumps(strategy)), fresh):
        logits = LOGITS.clone().requires_grad_()
        other.estimate(logits, cost, generator=seeded(2)).loss.sum().backward()
        found.append(logits.grad)
    assert all(each.equal(found[0]) for each in found[1:])


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


@pytest.mark.parametrize("bad", [3, "cpu", torch.Generator], ids=str)
def test_a_generator_that_is_none_is_refused(bad) -> None:
    for call in (
        lambda: functional.gumbel_softmax(LOGITS, generator=bad),
        lambda: Rloo().estimate(LOGITS, lambda z: z.sum((1, 2)), generator=bad),
    ):
        with pytest.raises(InputError, match=r"generator is .*; give a torch.Generator"):
            call()
