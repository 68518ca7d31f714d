"""How other people's code calls strategies: with its logits and its costs; each misuse is one line."""

import copy
import inspect
import math
import pickle
import re

import pytest
import torch
from torch import Tensor, nn

import discrete_vae.functional as functional
from discrete_vae.errors import InputError
from discrete_vae.noise import Noise, seeded
from discrete_vae.schedules import Schedule, table
from discrete_vae.strategies import (
    STRATEGIES,
    DecoupledStraightThrough,
    Enumeration,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    LocalExpectation,
    Nvil,
    Objective,
    Rebar,
    ReinMax,
    Rloo,
    ScoreFunction,
    StraightThrough,
    TargetPropagation,
    Vimco,
)
from discrete_vae.strategies.pathwise import Pathwise

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


@pytest.mark.parametrize(
    "strategy", [Rloo(4), Vimco(3), LocalExpectation(), Enumeration()], ids=lambda s: type(s).__name__
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
            r"a hyper-parameter has shape \[5\]; give one number, or one an example, \[8\]",
        ),
    ],
)
def test_misuse_is_one_line_that_names_the_remedy(call, message) -> None:
    with pytest.raises(InputError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


BAD_NUMBERS = [0.0, -1.0, math.nan, math.inf, "warm", None, True, torch.tensor([0.5, -1.0]), Schedule(1.0)]


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
    estimate.auxiliary.backward()
    assert baseline.weight.grad.any()


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


@pytest.mark.parametrize(
    "name", [name for name, kind in STRATEGIES.items() if kind.categorical() and kind.categories is None]
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


def test_a_batch_of_nan_does_not_stay_in_a_moving_baseline() -> None:
    """Loss scaling skips such steps, and goes on."""
    strategy = ScoreFunction()
    for step in range(3):
        strategy.estimate(LOGITS, lambda z, step=step: cost(z) * (math.nan if step == 1 else 1.0))
    assert strategy.moving.mean.isfinite()
    assert strategy.moving.weight == pytest.approx(1 - 0.8**2)


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
