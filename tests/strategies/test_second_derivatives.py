"""Gradients of gradients: those of the published surrogates by automatic differentiation, or refused.

The surrogates are written from the papers, ``D + s - sg(s)`` with plain torch operations, for the sample and the
noise of the strategy; ``a`` are logits.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_value
from discrete_vae.latents.categorical import log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import (
    STRATEGIES,
    Carms,
    Darn,
    DecoupledStraightThrough,
    Enumeration,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    Marginalisation,
    MinimumVariance,
    MuProp,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxRao,
    Rloo,
    Rodeo,
    ScoreFunction,
    SlopeAnnealedStraightThrough,
    Softmax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    Strategy,
    UnorderedSet,
    Zgr,
)
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Estimate
from discrete_vae.strategies.minimum_variance import backward_matrix
from discrete_vae.strategies.pathwise import Pathwise, draw
from discrete_vae.tasks.nesting import Layer, nested
from tests.tasks.nested import FIRST, LAYER, LOGITS


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


SHAPE = 8, 3, 4
TAU, DRAWS = 0.75, 5
INNER, OUTER = normal("inner", 12, 6), normal("outer", 6)
DIRECTION = normal("direction", *SHAPE)


def cost(z: Tensor) -> Tensor:
    """Curved in every direction."""
    return ((z.flatten(-2) @ INNER).tanh() @ OUTER).square()


def gumbels(count: int) -> list[Tensor]:
    """The numbers that a strategy draws, in their order."""
    noise = Noise([seeded(1)])
    return [noise.gumbel(SHAPE, torch.float64) for _ in range(count)]


def conditional(a: Tensor, z: Tensor, count: int) -> Tensor:
    """Perturbed logits given their argmax (Maddison et al. 2014; Paulus et al. 2021): ``[count, ..., K]``."""
    found = []
    for noise in gumbels(1 + count)[1:]:
        exponential, total = (-noise).exp(), a.exp().sum(-1, keepdim=True)
        own = (exponential * z).sum(-1, keepdim=True)
        others = -torch.log(exponential / a.exp() + own / total)
        found.append(torch.where(z.bool(), total.log() - own.log(), others))
    return torch.stack(found)


def gapped(a: Tensor, z: Tensor) -> Tensor:
    largest = a.amax(-1, keepdim=True)
    move = z * (largest - a) - (1 - z) * (a - largest + 1).relu()
    return ((a + move.detach()) / TAU).softmax(-1)


def reinmax(a: Tensor, z: Tensor) -> Tensor:
    """As in the paper's code."""
    middle = ((a / TAU).softmax(-1) + z) / 2
    again = ((middle.log() - a).detach() + a).softmax(-1)
    return 2 * again - a.softmax(-1) / 2


def rao(a: Tensor, z: Tensor) -> Tensor:
    middle = ((a.softmax(-1) + z) / 2).log().detach()
    moved = (conditional(middle, z, DRAWS) - a).detach()
    return 2 * ((a + moved) / TAU).softmax(-1).mean(0) - a.softmax(-1) / 2


def linearised(a: Tensor, z: Tensor) -> Tensor:
    taken = (a.log_softmax(-1) * z).sum(-1, keepdim=True)
    return (z - a.softmax(-1).detach()) * taken


def minimum_variance(a: Tensor, z: Tensor) -> Tensor:
    matrix = backward_matrix(a.softmax(-1), z, torch.tensor(TAU, dtype=torch.float64)).detach()
    return (matrix * a.unsqueeze(-2)).sum(-1)


PUBLISHED: dict[str, tuple[Strategy, Callable[[Tensor, Tensor], Tensor]]] = {
    "softmax": (Softmax(), lambda a, z: a.softmax(-1)),
    "gumbel-softmax": (GumbelSoftmax(TAU), lambda a, z: ((a + gumbels(1)[0]) / TAU).softmax(-1)),
    "straight-through-gumbel-softmax": (
        StraightThroughGumbelSoftmax(TAU),
        lambda a, z: ((a + gumbels(1)[0]) / TAU).softmax(-1),
    ),
    "straight-through": (StraightThrough(TAU), lambda a, z: (a / TAU).softmax(-1)),
    "slope-annealed-straight-through": (SlopeAnnealedStraightThrough(TAU), lambda a, z: (a / TAU).softmax(-1)),
    "decoupled-straight-through": (DecoupledStraightThrough(TAU, 1.5), lambda a, z: (a / TAU).softmax(-1)),
    "gapped-straight-through": (GappedStraightThrough(TAU), gapped),
    "gumbel-rao": (
        GumbelRao(TAU, DRAWS),
        lambda a, z: ((a + (conditional(a, z, DRAWS) - a).detach()) / TAU).softmax(-1).mean(0),
    ),
    "darn": (Darn(), linearised),
    "zgr": (Zgr(), lambda a, z: (a.softmax(-1) + linearised(a, z)) / 2),
    "reinmax": (ReinMax(TAU), reinmax),
    "reinmax-rao": (ReinMaxRao(TAU, DRAWS), rao),
    "minimum-variance": (MinimumVariance(TAU), minimum_variance),
}


def derivatives(sample: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """First derivative in the logits, and the derivative of its squared length, as a gradient penalty takes it."""
    logits = (1.5 * normal("logits", *SHAPE)).requires_grad_()
    (first,) = torch.autograd.grad(cost(sample(logits)).sum(), logits, create_graph=True)
    (second,) = torch.autograd.grad((first.square() + first * DIRECTION).sum(), logits)
    return first.detach(), second


@pytest.mark.parametrize("name", PUBLISHED)
def test_derivatives_are_those_of_the_published_surrogate(name) -> None:
    strategy, surrogate = PUBLISHED[name]
    strategy = strategy.double()

    def own(logits: Tensor) -> Tensor:
        return strategy.sample(logits, Noise([seeded(1)]))

    def published(logits: Tensor) -> Tensor:
        z = own(logits).detach()
        found = surrogate(logits, z)
        return found if strategy.claim.relaxed else z + (found - found.detach())

    for found, expected in zip(derivatives(own), derivatives(published), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)
        assert found.norm() > 0.1


def test_every_pathwise_strategy_of_categories_is_above() -> None:
    pathwise = {name for name, kind in STRATEGIES.items() if issubclass(kind, Pathwise) and kind.categorical()}
    assert pathwise == set(PUBLISHED)


def test_marginalisation_has_the_exact_second_derivative() -> None:
    logits = normal("logits", *SHAPE).requires_grad_()
    found = []
    for value in (Marginalisation().estimate(logits, cost).loss, exact_value(logits, cost)):
        (first,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), logits)[0])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    "strategy",
    [ScoreFunction(), Rloo(2), MuProp(), Enumeration()],
    ids=lambda each: type(each).__name__,
)
def test_an_estimate_is_differentiated_once(strategy) -> None:
    logits = normal("logits", *SHAPE).requires_grad_()
    (gradient,) = torch.autograd.grad(strategy.double().estimate(logits, cost).loss.sum(), logits, create_graph=True)
    assert gradient.any()
    with pytest.raises(InputError, match=f"{type(strategy).__name__} gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), logits)


class Attached(Strategy):
    """A user's score function, whose gradient in the logits has the decoder's weights in it."""

    claim = ScoreFunction.claim

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        loss = objective(sample)
        surrogate = loss * log_prob(logits, sample)
        return Estimate(with_gradient_of(loss, surrogate), loss.new_zeros(()), sample)


@pytest.mark.parametrize("nest", [False, True])
def test_an_estimates_gradient_in_the_logits_is_differentiated_once_by_weights_as_well(nest) -> None:
    logits, weights = normal("logits", *SHAPE).requires_grad_(), OUTER.clone().requires_grad_()
    objective = Objective(decode=lambda z: (z.flatten(-2) @ INNER).tanh() @ weights, loss=torch.square)
    if nest:
        loss = nested([Attached()], logits, objective, [], Noise([seeded(1)])).loss
    else:
        loss = Attached().estimate(logits, objective).loss
    (gradient,) = torch.autograd.grad(loss.sum(), logits, create_graph=True)
    with pytest.raises(InputError, match="Attached gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), weights)


@pytest.mark.parametrize("second", ["score-function", "reinmax"])
@pytest.mark.parametrize("first", ["score-function", "reinmax"])
def test_layers_behind_are_differentiated_twice_only_if_all_may_be(first, second) -> None:
    logits = LOGITS.clone().requires_grad_()
    estimate = nested([STRATEGIES[first](), STRATEGIES[second]()], logits, FIRST, [LAYER], Noise([seeded(1)]))
    (gradient,) = torch.autograd.grad(estimate.loss.sum(), logits, create_graph=True)
    if first == second == "reinmax":
        assert torch.autograd.grad(gradient.square().sum(), logits)[0].any()
        return
    with pytest.raises(InputError, match=r"ScoreFunction gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), logits)


@pytest.mark.parametrize(
    "name", [name for name, (strategy, _) in PUBLISHED.items() if "temperature" in strategy.minima]
)
def test_learned_temperatures_have_the_published_gradient(name, monkeypatch) -> None:
    """The backward pass' temperature divides perturbed, lifted or moved logits, not the logits alone."""
    strategy, surrogate = PUBLISHED[name]
    strategy, at = copy.deepcopy(strategy).double(), torch.tensor(TAU, dtype=torch.float64, requires_grad=True)
    strategy.temperature = nn.Parameter(at.detach().clone())
    logits = (1.5 * normal("logits", *SHAPE)).requires_grad_()
    z = strategy.sample(logits, Noise([seeded(1)]))
    monkeypatch.setitem(globals(), "TAU", at)
    expected = surrogate(logits, z.detach())
    expected = expected if strategy.claim.relaxed else z.detach() + expected - expected.detach()
    wanted = torch.autograd.grad(cost(expected).sum(), [logits, at], allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(torch.autograd.grad(cost(z).sum(), [logits, strategy.temperature]), wanted)


@pytest.mark.parametrize("second", [ScoreFunction(), Rebar(), Carms()])
def test_a_control_variate_learns_through_an_estimate_behind_it(second) -> None:
    """REBAR's temperature descends a gradient of a gradient, which is its own and no one's second derivative."""
    first, second = Rebar().double(), second.double()
    weights = normal("weights", 12, 12).requires_grad_()

    def behind(z: Tensor) -> Tensor:
        return second.estimate((z.flatten(-2) @ weights).unflatten(-1, (3, 4)), cost).loss

    logits = normal("logits", *SHAPE).requires_grad_()
    estimate = first.estimate(logits, lambda z: cost(z) + behind(z))
    (estimate.loss.sum() + estimate.strategy_loss).backward()
    assert all(each.grad.any() for each in (logits, weights, first.log_temperature, first.weight))
    again = first.estimate(logits, behind).loss.sum()
    (gradient,) = torch.autograd.grad(again, weights, create_graph=True)
    with pytest.raises(InputError, match="gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), weights)


@pytest.mark.parametrize("second", ["score-function", "carms", "reinmax"])
@pytest.mark.parametrize("first", ["score-function", "reinmax"])
def test_weights_between_layers_are_differentiated_twice_only_if_the_layer_behind_may_be(first, second) -> None:
    weights = normal("weights", 6, 6).requires_grad_()
    layer = Layer(
        logits=lambda z, _: (z.flatten(-2) @ weights).unflatten(-1, (2, 3)),
        objective=lambda _: Objective(decode=lambda z: z.flatten(-2) @ OUTER, loss=torch.square),
    )
    own = Objective(decode=lambda z: z.flatten(-2) @ OUTER, loss=torch.square)
    strategies = [STRATEGIES[each]().double() for each in (first, second)]
    loss = nested(strategies, normal("logits", 4, 2, 3), own, [layer], Noise([seeded(1)])).loss.sum()
    (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
    if STRATEGIES[second].twice:
        assert torch.autograd.grad(gradient.square().sum(), weights)[0].any()
        return
    with pytest.raises(InputError, match=f"{STRATEGIES[second].__name__} gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), weights)


@pytest.mark.parametrize("first", ["score-function", "carms", "reinmax"])
def test_gradient_behind_nested_layers_is_differentiated_in_logits_only_where_the_sample_is(first) -> None:
    """The weights lie between two layers; the first layer's hard sample depends on the logits."""
    weights = normal("weights", 6, 6).requires_grad_()
    layer = Layer(
        logits=lambda z, _: (z.flatten(-2) @ weights).unflatten(-1, (2, 3)),
        objective=lambda _: Objective(decode=lambda z: z.flatten(-2) @ OUTER, loss=torch.square),
    )
    own = Objective(decode=lambda z: z.flatten(-2) @ OUTER.unsqueeze(-1), loss=lambda x: x.square().sum(-1))
    logits = normal("logits", 4, 2, 3).requires_grad_()
    strategies = [STRATEGIES[each]().double() for each in (first, "reinmax")]
    loss = nested(strategies, logits, own, [layer], Noise([seeded(1)])).loss.sum()
    (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
    if STRATEGIES[first].twice:
        assert torch.autograd.grad(gradient.square().sum(), logits)[0].any()
        return
    with pytest.raises(InputError, match=f"{STRATEGIES[first].__name__} gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), logits)


@pytest.mark.parametrize(
    "strategy", [ScoreFunction(), Rloo(), Carms(), Rebar(), Enumeration(), UnorderedSet(), Rodeo(), ReinMax()]
)
def test_decoders_gradient_is_differentiated_in_logits_only_where_the_sample_is(strategy) -> None:
    """As a step of meta-learning takes it. The hard sample depends on the logits; a derivative of 0 would be wrong."""
    logits, inner = normal("logits", *SHAPE).requires_grad_(), INNER.clone().requires_grad_()
    estimate = strategy.double().estimate(logits, lambda z: ((z.flatten(-2) @ inner).tanh() @ OUTER).square())
    loss = estimate.loss
    loss *= 2  # what comes back is nobody's view
    (gradient,) = torch.autograd.grad(loss.sum(), inner, create_graph=True)
    assert torch.autograd.grad(gradient.square().sum(), inner, retain_graph=True)[0].any()  # the decoder's own
    if strategy.twice:
        assert torch.autograd.grad(gradient.square().sum(), logits)[0].any()
        return
    with pytest.raises(InputError, match=f"{type(strategy).__name__} gives no second derivatives"):
        torch.autograd.grad(gradient.square().sum(), logits)


def test_an_estimate_that_is_not_to_be_differentiated_twice_compiles_whole() -> None:
    torch._dynamo.reset()
    strategy, logits = Carms().double(), normal("logits", *SHAPE).requires_grad_()
    compiled = torch.compile(lambda at: strategy.estimate(at, cost).loss.sum(), fullgraph=True, backend="aot_eager")
    compiled(logits).backward()
    assert logits.grad.any()
