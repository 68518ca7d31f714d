"""What layers behind the first see, learn and pass on, once a step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.backbones.stack import Stack
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import (
    Arsm,
    DarnBaseline,
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
    Rloo,
    ScoreFunction,
    Strategy,
    TargetPropagation,
)
from discrete_vae.strategies.score_function import Moving
from discrete_vae.strategies.target_propagation import WeightProbe
from discrete_vae.tasks.nesting import Layer, nested
from tests.affine import Affine
from tests.tasks.nested import (
    BATCH,
    CATEGORIES,
    DOWN,
    FIRST,
    LAYER,
    LOGITS,
    SIZE,
    TARGET,
    first_cost,
    kl_term,
    upper_cost,
    upper_logits,
)


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
