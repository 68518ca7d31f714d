"""Two stochastic layers: nested estimates against the exact gradient, by enumeration of both layers' states."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.backbones.stack import Stack
from discrete_vae.conformance.problem import Problem
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import gradient_error
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import (
    STRATEGIES,
    Arsm,
    Carms,
    DarnBaseline,
    DisarmStickBreaking,
    DisarmTree,
    Enumeration,
    Estimate,
    GumbelSoftmax,
    LocalExpectation,
    Marginalisation,
    Model,
    MuProp,
    Nvil,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxMeanControl,
    ReweightedWakeSleep,
    Rloo,
    Rodeo,
    ScoreFunction,
    Strategy,
    TargetPropagation,
    Vimco,
)
from discrete_vae.strategies.score_function import Moving
from discrete_vae.strategies.target_propagation import WeightProbe
from discrete_vae.tasks.nesting import Layer, nested
from tests.affine import Affine

LATENTS, CATEGORIES, BATCH, DRAWS = 2, 3, 2, 20_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


SIZE = LATENTS * CATEGORIES
UP, DOWN = normal("up", SIZE, SIZE), normal("down", SIZE, 4)
LOGITS, TARGET = normal("logits", BATCH, LATENTS, CATEGORIES), normal("target", BATCH, 4).sigmoid()


def upper_logits(lower: Tensor, output: Tensor) -> Tensor:
    return (lower.flatten(-2) @ UP).unflatten(-1, (LATENTS, CATEGORIES))


def first_cost(lower: Tensor) -> Tensor:
    return (lower.flatten(-2) * 0.3).sin().sum(-1)


def upper_cost(upper: Tensor) -> Tensor:
    target = TARGET.repeat(upper.shape[-3] // BATCH, 1)
    output = upper.flatten(-2) @ DOWN
    return F.binary_cross_entropy_with_logits(output, target.expand_as(output), reduction="none").sum(-1)


def kl_term(logits: Tensor) -> Tensor:
    """Something analytic in the upper logits, as a KL would be."""
    return logits.logsumexp(-1).square().sum(-1) / 10


FIRST = Objective(decode=lambda sample: sample, loss=first_cost)
LAYER = Layer(upper_logits, lambda lower: Objective(lambda sample: sample, upper_cost, kl_term=kl_term))


def exact(up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in the first logits and in the map to the second's."""
    logits = LOGITS.clone().requires_grad_()
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64)[:, None].expand(-1, BATCH, -1, -1)
    given = (states.flatten(-2) @ up).unflatten(-1, (LATENTS, CATEGORIES))
    inner = (log_prob(given, states[:, None]).exp() * upper_cost(states)[:, None]).sum(0) + kl_term(given)
    total = (log_prob(logits, states).exp() * (first_cost(states) + inner)).sum()
    lower, upper = torch.autograd.grad(total, (logits, up))
    return lower, upper


UNBIASED: dict[str, Callable[[], Strategy]] = {
    name: partial(Problem(Categorical(LATENTS, CATEGORIES)).build, kind)
    for name, kind in STRATEGIES.items()
    if kind.categorical()
    and kind.claim.unbiased
    and not kind.loss_includes_kl
    and kind.categories in (None, CATEGORIES)
}
"""All but a bound over several samples, which is not a mean of what its samples cost."""
BIASED: dict[str, Callable[[], Strategy]] = {"gumbel-softmax": lambda: GumbelSoftmax(0.5), "reinmax": ReinMax}


@pytest.mark.parametrize("name", [*UNBIASED, *BIASED])
def test_nested_estimates_keep_their_claim(name, monkeypatch) -> None:
    """9 states each: 5 standard errors in 12 + 36 elements fail by chance with probability 3e-5."""
    make = (UNBIASED | BIASED)[name]
    up = UP.clone().requires_grad_()
    monkeypatch.setitem(globals(), "UP", up)
    lower, upper = exact(up)
    logits = LOGITS.repeat(DRAWS, 1, 1).requires_grad_()
    estimate = nested([make(), make()], logits, FIRST, [LAYER], Noise([seeded(3)]))
    assert estimate.loss.shape == (DRAWS * BATCH,)
    assert estimate.strategy_loss.shape == ()
    (sampled,) = torch.autograd.grad(estimate.loss.sum(), logits, retain_graph=True)
    error = gradient_error(sampled.view(DRAWS, BATCH, LATENTS, CATEGORIES), lower)
    assert (error.z_score < 5) == (name in UNBIASED)
    assert error.cosine > 0.9
    # The second layer's own weights learn as well; their gradient is a sum over draws, whose error is not known.
    (sampled,) = torch.autograd.grad(estimate.loss.sum() / DRAWS, up)
    assert torch.cosine_similarity(sampled.flatten(), upper.flatten(), 0) > 0.9


def test_one_layer_is_the_strategy_itself() -> None:
    alone = ReinMax().estimate(LOGITS.clone(), FIRST, Noise([seeded(1)]))
    assert nested([ReinMax()], LOGITS.clone(), FIRST, [], Noise([seeded(1)])).loss.equal(alone.loss)


SPREAD = {
    "score-function": 0.408,
    "rloo": 0.168,
    "unordered-set": 0.0909,
    "sum-and-sample": 0.1037,
    "rodeo": 0.341,
    "muprop": 0.342,
    "rebar": 0.375,
    "arsm": 0.307,
    "carms": 0.136,
    "disarm-stick-breaking": 0.293,
    "disarm-tree": 0.287,
    "local-expectation": 0.136,
    "enumeration": 0.111,
}
"""Standard deviation of one draw's gradient in the first logits, both images together. With noise of their own behind
each evaluation it was 0.511 for MuProp, 0.565 for REBAR, 0.384 for ARSM, 0.184 for local expectation and 0.128 for
enumeration. Several samples have noise of their own: with common noise it was 0.137 for CARMS, 0.285 for DisARM by
sticks and 0.163 for RLOO; in the second logits 0.145, 0.294 and 0.198 instead of 0.113, 0.264 and 0.141."""


@pytest.mark.parametrize("name", SPREAD)
def test_evaluations_of_a_step_differ_by_the_sample_alone(name) -> None:
    """The spread of the gradient as with common random numbers behind, within 4%."""
    logits = LOGITS.repeat(DRAWS, 1, 1).requires_grad_()
    make = UNBIASED[name]
    estimate = nested([make(), make()], logits, FIRST, [LAYER], Noise([seeded(3)]))
    (sampled,) = torch.autograd.grad(estimate.loss.sum(), logits)
    spread = sampled.view(DRAWS, BATCH, LATENTS, CATEGORIES).var(0).sum().sqrt()
    assert float(spread) == pytest.approx(SPREAD[name], rel=0.04)


class Looking(Strategy):
    """Evaluates one sample again and again: by itself, without a gradient, and several times at once."""

    claim = ReinMax.claim

    def __init__(self, independent: bool = False) -> None:
        super().__init__()
        self.independent = independent

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = torch.zeros_like(logits)
        sample[..., 0] = 1
        self.seen = [objective(sample)]
        with torch.no_grad():
            self.seen += [objective(sample), *objective(sample.expand(3, *sample.shape))]
            self.seen += objective(sample.expand(2, 2, *sample.shape)).flatten(0, 1)
        self.seen.append(objective(sample))
        return Estimate(self.seen[0], logits.new_zeros(logits.shape[:-3]), sample)


@pytest.mark.parametrize(
    "behind", [ReinMax, Rloo, Arsm, lambda: Rebar().double()], ids=["reinmax", "rloo", "arsm", "rebar"]
)
@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("independent", [False, True])
def test_layers_behind_have_the_same_noise_at_each_look(behind, layers: int, independent: bool) -> None:
    """For members of a population, through one layer or two; independent samples each have their own."""
    logits = LOGITS.repeat(2, 5, 1, 1).view(2, 5 * BATCH, LATENTS, CATEGORIES).requires_grad_()
    looking = Looking(independent)
    noise = Noise([seeded(1), seeded(2)])
    nested([looking, *(behind() for _ in range(layers - 1))], logits, FIRST, [LAYER] * (layers - 1), noise)
    assert len(looking.seen) == 10
    alike = [each.allclose(looking.seen[0], rtol=1e-12) for each in looking.seen[1:]]
    assert not any(alike) if independent else all(alike)
    losses = looking.seen[0].view(2, 5, BATCH)
    assert not losses[0].equal(losses[1]), "members"
    assert not losses[:, 0].equal(losses[:, 1]), "images"


@pytest.mark.parametrize(
    "strategy",
    [
        Rloo(),
        Rodeo(units=4).double(),
        Vimco(),
        ReweightedWakeSleep(),
        Carms(),
        DisarmStickBreaking(),
        DisarmTree(),
    ],
)
def test_several_samples_have_layers_of_their_own(strategy) -> None:
    """With the same sample drawn again and again, losses differ by what is behind."""
    certain = torch.zeros(1, LATENTS, CATEGORIES, dtype=torch.float64)
    certain[..., 0] = 200.0
    seen: list[Tensor] = []

    def cost(upper: Tensor) -> Tensor:
        seen.append(upper)
        return upper_cost(upper)

    layer = Layer(upper_logits, lambda lower: Objective(lambda sample: sample, cost))
    target = TARGET[:1]
    assert strategy.independent
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "TARGET", target)
        patch.setitem(globals(), "BATCH", 1)
        nested([strategy, ReinMax()], certain.expand(1, -1, -1), FIRST, [layer], Noise([seeded(1)]))
    assert len(seen[0].unique(dim=0)) > 1


class Centred(ScoreFunction):
    """The score function without a baseline, so that a formula says each draw."""

    def centre(self, signal: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
        return signal, torch.ones_like(signal), signal.new_zeros(signal.shape[:-1])


class Expanded(MuProp, Centred):
    """MuProp likewise."""


class Baselined(DarnBaseline, Centred):
    """DARN's baseline likewise."""


@pytest.mark.parametrize("kind", [Expanded, Baselined])
def test_muprop_passes_the_layers_behind_by_their_mean_field(kind) -> None:
    """Gu et al. 2016: f(pi) and f'(pi) without noise, draw by draw, with three layers."""

    def mean_field(lower: Tensor) -> Tensor:
        second = upper_logits(lower, lower)
        third = upper_logits(second.softmax(-1), lower)
        return (
            first_cost(lower)
            + kl_term(second)
            + upper_cost(second.softmax(-1))
            + kl_term(third)
            + upper_cost(third.softmax(-1))
        )

    logits = LOGITS.repeat(50, 1, 1).requires_grad_()
    strategies = [kind(), Centred(), Centred()]
    estimate = nested(strategies, logits, FIRST, [LAYER, LAYER], Noise([seeded(4)]))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    at = LOGITS.repeat(50, 1, 1).requires_grad_()
    mean = at.softmax(-1).detach().requires_grad_()
    value = mean_field(mean)
    (slope,) = torch.autograd.grad(value.sum(), mean)
    signal = estimate.loss.detach() - value.detach() - (slope * (estimate.sample - mean)).sum((-1, -2)).detach()
    surrogate = signal * log_prob(at, estimate.sample)
    if kind is Expanded:
        surrogate = surrogate + (slope * at.softmax(-1)).sum((-1, -2))
    (expected,) = torch.autograd.grad(surrogate.sum(), at)
    torch.testing.assert_close(found, expected)


def test_the_mean_field_has_no_noise_and_no_gradient_behind() -> None:
    """The control variate of ReinMax' kin looks at it as well: its noise is the sample's alone."""
    strategy = ReinMaxMeanControl().double()
    with torch.no_grad():
        strategy.weight.fill_(0.7)
    seen: list[Tensor] = []

    def cost(upper: Tensor) -> Tensor:
        seen.append(upper)
        return upper_cost(upper)

    layer = Layer(upper_logits, lambda lower: Objective(lambda sample: sample, cost))
    nested([strategy, ReinMax()], LOGITS.clone().requires_grad_(), FIRST, [layer], Noise([seeded(1)]))
    hard, soft = seen
    assert ((hard == 0) | (hard == 1)).all()
    assert not ((soft == 0) | (soft == 1)).any()


@pytest.mark.parametrize("first", [LocalExpectation, Arsm, lambda: Rebar().double(), Enumeration])
def test_a_moving_baseline_behind_takes_in_a_step_once(first) -> None:
    """And is the same at every look of the step: it would otherwise know the noise that the looks share."""
    told: list[Tensor] = []
    forward = Moving.forward

    def note(self: Moving, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = forward(self, values)
        told.append(mean.flatten()[0])
        return mean, variance

    behind = ScoreFunction()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Moving, "forward", note)
        for step in range(1, 4):
            told.clear()
            before = behind.moving.weight.clone()
            nested([first(), behind], LOGITS.repeat(20, 1, 1).requires_grad_(), FIRST, [LAYER], Noise([seeded(step)]))
            torch.testing.assert_close(1 - behind.moving.weight, 0.8 * (1 - before))
            if step > 1:
                assert len(told) > 1
                assert all(each.equal(told[0]) for each in told)
    assert behind.training


@pytest.mark.parametrize("first", [Enumeration, Marginalisation, LocalExpectation, Arsm, Rloo, ReinMax])
def test_probes_behind_correct_their_weights_once_a_step(first) -> None:
    """Whatever looks several times in front of them; their pushes are for 20 images and belong to no sample."""
    decoder = Stack([Affine(DOWN)], torch.tanh)

    def objective(lower: Tensor) -> Objective:
        target = TARGET.repeat(lower.shape[-3] // BATCH, 1)
        return Objective(
            decode=lambda upper: upper.flatten(-2) @ DOWN,
            loss=lambda output: F.binary_cross_entropy_with_logits(output, target, reduction="none").sum(-1),
            model=Model(torch.sigmoid, target, decoder=decoder),
        )

    calls: list[int] = []

    class Probe(WeightProbe):
        def learn(self, *arguments: Any) -> Tensor:
            before = self.weights("decoder")[0].clone()
            total = super().learn(*arguments)
            calls.append(int(not before.equal(self.weights("decoder")[0])))
            return total

    behind = TargetPropagation(Probe([torch.zeros_like(DOWN)]), "second-order")
    logits = LOGITS.repeat(15, 1, 1).requires_grad_()
    nested([first(), behind], logits, FIRST, [Layer(upper_logits, objective)], Noise([seeded(1)]))
    assert sum(calls) == 1


@pytest.mark.parametrize("training", [True, False])
def test_moving_baselines_of_all_layers_take_in_a_training_step_once_and_an_evaluation_never(training: bool) -> None:
    """Three layers: the last is seen by every evaluation that the first and the second make."""
    strategies: list[Strategy] = [LocalExpectation(), Twice(), ScoreFunction()]
    for strategy in strategies:
        strategy.train(training)
    logits = LOGITS.repeat(20, 1, 1).requires_grad_()
    nested(strategies, logits, FIRST, [LAYER, LAYER], Noise([seeded(1)]))
    for behind in strategies[1:]:
        torch.testing.assert_close(behind.moving.weight, torch.tensor(0.2 if training else 0.0))
        assert behind.training == training


class Twice(ScoreFunction):
    """A moving baseline that evaluates its objective twice."""

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        objective(F.one_hot(logits.argmax(-1), CATEGORIES).to(logits.dtype))
        return super().compute(logits, objective, noise)


class Counting(Strategy):
    """Its own loss is its weight times the number of the call."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.ones(())), 0

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        self.calls += 1
        sample = F.one_hot(logits.argmax(-1), CATEGORIES).to(logits.dtype)
        return Estimate(objective(sample), self.weight * self.calls, sample)


class Asking(Strategy):
    """Evaluates its objective three times, once of these without a gradient, and has a loss of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = F.one_hot(logits.argmax(-1), CATEGORIES).to(logits.dtype)
        loss = objective(sample)
        with torch.no_grad():
            objective(sample)
        return Estimate(loss + objective(sample), 10 * self.weight, sample)


def test_own_losses_behind_are_averaged_over_what_has_a_gradient() -> None:
    """The first, third and not the second evaluation of a step, beside the first layer's own loss."""
    first, behind = Asking(), Counting()
    estimate = nested([first, behind], LOGITS.clone().requires_grad_(), FIRST, [LAYER], Noise([seeded(1)]))
    assert estimate.strategy_loss == 10 + (1 + 3) / 2
    own, deeper = torch.autograd.grad(estimate.strategy_loss, (first.weight, behind.weight))
    assert (own, deeper) == (10, 2)


def test_a_learned_baseline_behind_sees_the_sample_before() -> None:
    context: list[Tensor] = []

    class Noting(torch.nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            context.append(input)
            return super().forward(input)

    layer = Layer(
        upper_logits,
        lambda lower: Objective(lambda sample: sample, upper_cost, context=lower.flatten(-2).detach(), kl_term=kl_term),
    )
    baseline = Noting(SIZE, 1).double()
    estimate = nested(
        [ScoreFunction(), Nvil(baseline)], LOGITS.clone().requires_grad_(), FIRST, [layer], Noise([seeded(1)])
    )
    assert len(context) == 1
    assert context[0].equal(estimate.sample.flatten(-2))
    assert torch.autograd.grad(estimate.strategy_loss, baseline.weight)[0].any()


@pytest.mark.parametrize("first", [ReinMax, lambda: GumbelSoftmax(0.5), lambda: Rebar().double()])
def test_no_gradient_passes_through_a_layer_that_scales_gradients(first) -> None:
    """The first layer would have its own cost whole and the rest divided; by hard samples nothing passes."""
    logits = LOGITS.clone().requires_grad_()
    with pytest.raises(InputError, match="ScoreFunction, which scales gradients; leave normalise"):
        nested([first(), ScoreFunction(normalise=True)], logits, FIRST, [LAYER], Noise([seeded(1)]))
    for allowed in (ScoreFunction(), LocalExpectation(), MuProp(normalise=True)):
        nested([allowed, ScoreFunction(normalise=True)], logits, FIRST, [LAYER], Noise([seeded(1)]))


@pytest.mark.parametrize("first", [ReinMax, lambda: GumbelSoftmax(0.5)])
def test_no_gradient_passes_through_a_layer_whose_targets_are_clipped(first) -> None:
    logits = LOGITS.clone().requires_grad_()
    with pytest.raises(InputError, match=r"TargetPropagation, which scales gradients; .* clip off"):
        nested([first(), TargetPropagation(clip=1.0)], logits, FIRST, [LAYER], Noise([seeded(1)]))


def test_an_output_of_one_number_an_example_is_refused_where_samples_are_several() -> None:
    objective = Objective(decode=lambda z: z.flatten(-2).sum(-1), loss=torch.square)
    with pytest.raises(InputError, match=r"decode gives shape \[4, 2\] of samples .*; give \[\.\.\., B, D\]"):
        nested([Carms(), ReinMax()], LOGITS.clone().requires_grad_(), objective, [LAYER], Noise([seeded(1)]))
