"""What single strategies say of themselves beyond the conformance table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from discrete_vae import schedules
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_gradient, sampled_gradients
from discrete_vae.latents.categorical import hard_sample, softmax
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import (
    STRATEGIES,
    Arsm,
    Darn,
    DecoupledStraightThrough,
    Enumeration,
    GappedStraightThrough,
    GumbelRao,
    GumbelSoftmax,
    LocalExpectation,
    Marginalisation,
    MinimumVariance,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxRao,
    ScoreFunction,
    SlopeAnnealedStraightThrough,
    Softmax,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    Zgr,
)
from discrete_vae.strategies.gumbel_rao import perturbed_given
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmax as Relaxed
from discrete_vae.strategies.minimum_variance import LARGEST, backward_matrix
from discrete_vae.strategies.pathwise import Pathwise
from discrete_vae.strategies.rebar import coupled_noise
from discrete_vae.strategies.score_function import Moving

LATENTS, CATEGORIES, DRAWS = 2, 3, 20_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


LOGITS, WEIGHT = normal("logits", 1, LATENTS, CATEGORIES), normal("weight", LATENTS * CATEGORIES, 6)
OBJECTIVE = Objective(
    decode=lambda z: (z.flatten(-2) @ WEIGHT).tanh(),
    loss=lambda output: (output - 0.3).square().sum(-1),
    context=torch.ones(1, 1, dtype=torch.float64),
)
PATHWISE: list[Callable[[], Pathwise | Relaxed | Softmax]] = [
    Softmax,
    GumbelSoftmax,
    StraightThroughGumbelSoftmax,
    StraightThrough,
    SlopeAnnealedStraightThrough,
    DecoupledStraightThrough,
    GappedStraightThrough,
    GumbelRao,
    Darn,
    Zgr,
    ReinMax,
    ReinMaxRao,
    MinimumVariance,
]


def gradients(strategy: nn.Module, seed: int = 1) -> Tensor:
    return sampled_gradients(strategy.double(), LOGITS, OBJECTIVE, DRAWS, Noise([seeded(seed)]))  # type: ignore[arg-type]


@pytest.mark.parametrize("make", PATHWISE)
def test_sample_drops_into_a_plain_loop(make) -> None:
    """``sample(logits)`` alone, whose gradient is that of the whole estimate."""
    logits, weight = torch.zeros(64, 4, 5, requires_grad=True), torch.linspace(-1, 1, 5)
    sample = make().sample(logits)
    assert sample.shape == logits.shape
    torch.testing.assert_close(sample.sum(-1), torch.ones(64, 4))
    (sample * weight).sum().backward()
    mean = logits.grad.mean((0, 1))
    assert mean[-1] > 0 > mean[0]
    given = LOGITS.clone().requires_grad_()
    strategy = make().double()
    whole = strategy.estimate(given, OBJECTIVE, Noise([seeded(3)])).loss
    apart = OBJECTIVE(strategy.sample(given, Noise([seeded(3)])))
    for one, other in zip(
        torch.autograd.grad(whole.sum(), given), torch.autograd.grad(apart.sum(), given), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_every_pathwise_strategy_is_among_them() -> None:
    named = {make for make in PATHWISE if isinstance(make, type)}
    assert {
        kind
        for kind in STRATEGIES.values()
        if hasattr(kind, "sample") and kind.latent_family is GumbelSoftmax.latent_family
    } == named


@pytest.mark.parametrize("make", [make for make in PATHWISE if make not in (Softmax, GumbelSoftmax)])
def test_a_sample_in_half_precision_is_by_single_precision_noise(make) -> None:
    """Noise that is rounded to bfloat16 ties, and ties go to the first category."""
    logits, shape = torch.zeros(1, 2000, 3, dtype=torch.bfloat16), (1, 2000, 3)
    sample = make().sample(logits, Noise([seeded(4)]))
    assert sample.equal(hard_sample(logits, Noise([seeded(4)]).gumbel(shape)))
    assert not sample.equal(hard_sample(logits, Noise([seeded(4)]).gumbel(shape, torch.bfloat16))), "would be seen"


def test_zgr_is_reinmax_at_temperature_one() -> None:
    torch.testing.assert_close(gradients(Zgr()), gradients(ReinMax(1.0)))


def test_binary_darn_about_a_half_is_zgr() -> None:
    """Of two categories, whatever the objective."""
    logits, weight = normal("binary logits", 1, 3, 2), normal("binary weight", 6, 5)
    objective = Objective(lambda z: (z.flatten(-2) @ weight).tanh(), lambda output: output.square().sum(-1))
    own = [
        sampled_gradients(strategy.double(), logits, objective, 50, Noise([seeded(1)]))
        for strategy in (Darn("uniform"), Zgr())
    ]
    torch.testing.assert_close(*own)


@pytest.mark.parametrize("gap", [1.0, 0.0])
def test_gapped_straight_through_is_the_softmax_of_moved_logits(gap: float) -> None:
    """By automatic differentiation, with the perturbation of Fan et al. written out."""
    logits, gradient = normal("gapped", 50, 4), normal("gradient", 50, 4)
    sample = hard_sample(logits, Noise([seeded(2)]).gumbel(logits.shape, torch.float64))
    at = logits.clone().requires_grad_()
    largest = logits.max(-1, keepdim=True).values
    probability = (softmax(logits) * sample).sum(-1, keepdim=True)
    space = gap or -torch.log1p(-probability) / probability
    moved = torch.where(sample.bool(), largest - (logits * sample).sum(-1, keepdim=True), 0)
    moved = moved - torch.where(sample.bool(), 0, (logits - largest + space).relu())
    ((at + moved).div(0.7).softmax(-1) * gradient).sum().backward()
    own = logits.clone().requires_grad_()
    (GappedStraightThrough(0.7, gap).double().surrogate(own, sample, Noise()) * gradient).sum().backward()
    torch.testing.assert_close(own.grad, at.grad)


def test_schedules_follow_their_papers() -> None:
    """The slope grows by 1.04 an epoch to 5; MVE's weight from one to a million over the run, however long it is."""
    annealed = STRATEGIES["slope-annealed-straight-through"].Options().temperature
    weight = STRATEGIES["minimum-variance"].Options().weight
    slopes = 1 / schedules.table([annealed], 0, 180, 3)[:, 0]
    torch.testing.assert_close(slopes[:120], 1.04 ** (torch.arange(120) // 3), rtol=1e-4, atol=0)
    assert float(slopes[-1]) == pytest.approx(5)
    for epochs in (3, 50):
        steps = 10 * epochs
        weights = schedules.table([weight], 0, steps + 1, 10, [steps])[:, 0]
        expected = 10 ** (6 * torch.arange(steps + 1) / steps)
        torch.testing.assert_close(weights, expected, rtol=1e-4, atol=0)


def test_gumbel_rao_has_the_mean_of_its_single_draws_and_less_variance() -> None:
    """5 standard errors of a difference in 6 elements."""
    many, straight = gradients(GumbelRao(0.5, 50)), gradients(StraightThroughGumbelSoftmax(0.5), seed=2)
    error = ((many.var(0) + straight.var(0)) / DRAWS).sqrt()
    assert ((many.mean(0) - straight.mean(0)).abs() < 5 * error).all()
    assert many.var(0).sum() < 0.9 * straight.var(0).sum()


def test_minimum_variance_trades_bias_for_variance() -> None:
    """On a quadratic, whose gradient at the sample says all that there is to know."""
    quadratic = Objective(lambda z: z.flatten(-2) @ WEIGHT, lambda output: (output - 0.3).square().sum(-1))
    exact = exact_gradient(LOGITS, quadratic)
    found = [
        sampled_gradients(MinimumVariance(weight).double(), LOGITS, quadratic, DRAWS, Noise([seeded(1)]))
        for weight in (0.1, 1.0, 10.0, 1e6)
    ]
    bias = [float((each.mean(0) - exact).norm()) for each in found]
    variance = [float(each.var(0).sum()) for each in found]
    assert variance == sorted(variance)
    assert bias == sorted(bias, reverse=True), bias


def test_minimum_variance_stays_finite_beyond_its_last_weight() -> None:
    logits = 4 * normal("wide", 200, 4, CATEGORIES)
    objective = Objective(lambda z: z.flatten(-2), lambda output: output.square().sum(-1))
    last, beyond = (
        torch.autograd.grad(
            MinimumVariance(weight).double().estimate(at, objective, Noise([seeded(1)])).loss.sum(), at
        )[0]
        for weight in (LARGEST, 1e24)
        for at in [logits.clone().requires_grad_()]
    )
    assert last.isfinite().all()
    torch.testing.assert_close(beyond, last)
    p = softmax(logits)
    x = hard_sample(logits, torch.zeros_like(logits))
    assert backward_matrix(p, x, torch.tensor(LARGEST, dtype=torch.float64)).isfinite().all()


def test_first_step_of_a_moving_baseline_sees_the_others_of_its_batch() -> None:
    values = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    moving = Moving(0.8, members=2)
    mean, _ = moving(values)
    torch.testing.assert_close(mean, torch.tensor([[4.0, 3.5, 1.5], [1.5, 1.5, 0.0]]))
    mean, _ = moving(values + 10)
    torch.testing.assert_close(mean, values.mean(1, keepdim=True).expand(2, 3))


def test_first_step_of_the_score_function_is_unbiased() -> None:
    """Without anything learned: 5.5 standard errors in 6 elements."""
    sampled = sampled_gradients(
        ScoreFunction(members=DRAWS).double(), LOGITS.expand(4, -1, -1), OBJECTIVE, DRAWS, Noise([seeded(1)])
    )
    exact = exact_gradient(LOGITS, OBJECTIVE)
    sampled = sampled.sum(1, keepdim=True) / 4
    error = (sampled.var(0) / DRAWS).sqrt()
    assert ((sampled.mean(0) - exact).abs() < 5.5 * error).all()


@pytest.mark.parametrize("shape", [(2, 3), (4, 2), (3, 1)])
def test_local_expectation_looks_at_the_other_categories_only(shape: tuple[int, int]) -> None:
    """1 + N (K - 1) states, each of which differs from the sample in one variable; the gradient is exact in each."""
    latents, categories = shape
    weight = normal("local weight", latents * categories, 6)
    seen: list[Tensor] = []

    def decode(sample: Tensor) -> Tensor:
        seen.append(sample)
        return (sample.flatten(-2) @ weight).tanh()

    objective = Objective(decode, lambda output: (output - 0.3).square().sum(-1))
    logits = normal("local logits", 5, *shape).requires_grad_()
    estimate = LocalExpectation().estimate(logits, objective, Noise([seeded(1)]))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    states = [each.reshape(-1, 5, *shape) for each in seen]
    assert sum(len(each) for each in states) == 1 + latents * (categories - 1)
    sample = estimate.sample
    if categories > 1:
        changed = (states[1] != sample).any(-1)
        assert (changed.sum(-1) == 1).all()
    expected = torch.zeros_like(logits)
    p = logits.detach().softmax(-1)
    for b in range(5):
        for n in range(latents):
            losses = []
            for k in range(categories):
                moved = sample[b].clone()
                moved[n] = torch.eye(categories, dtype=torch.float64)[k]
                losses.append(((moved.flatten() @ weight).tanh() - 0.3).square().sum())
            f = torch.stack(losses)
            expected[b, n] = p[b, n] * (f - (p[b, n] * f).sum())
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("categories", [2, 5])
def test_coupled_noise_gives_the_sample_again_and_is_independent_of_it(categories: int) -> None:
    """REBAR's appendix G.2 for any number of categories; 5 standard errors of means, and Kolmogorov's distance."""
    logits = normal("coupled logits", 1, categories).expand(100_000, 1, -1)
    gumbel = Noise([seeded(1)]).gumbel(logits.shape, torch.float64)
    sample = hard_sample(logits, gumbel)
    coupled = coupled_noise(logits, sample, gumbel)
    torch.testing.assert_close(perturbed_given(logits, sample, coupled), logits + gumbel)
    uniform = (-(-coupled).exp()).exp().squeeze(1)  # of each, by its distribution function
    steps = torch.linspace(0, 1, len(uniform), dtype=torch.float64)
    for k in range(categories):
        assert (uniform[:, k].sort().values - steps).abs().max() < 2.7 / len(uniform) ** 0.5
    for k in range(categories):
        taken = sample[:, 0, k] > 0
        error = 5 * (1 / 12 / taken.sum()).sqrt()
        assert ((uniform[taken].mean(0) - 0.5).abs() < error).all()
    correlation = torch.corrcoef(uniform.T) - torch.eye(categories, dtype=torch.float64)
    assert correlation.abs().max() < 5 / len(uniform) ** 0.5


@pytest.mark.parametrize("kind", [Enumeration, Marginalisation])
def test_sums_over_states_know_impossible_ones(kind) -> None:
    """A category of probability 0 adds nothing, and no gradient becomes a NaN."""
    masked = LOGITS.clone()
    masked[..., 1, 2] = -torch.inf
    masked.requires_grad_()
    estimate = kind().estimate(masked, OBJECTIVE, Noise([seeded(1)]))
    (found,) = torch.autograd.grad(estimate.loss.sum(), masked)
    assert found.isfinite().all()
    assert found[..., 1, 2] == 0
    nearly = masked.detach().clone()
    nearly[..., 1, 2] = -60.0
    torch.testing.assert_close(found, exact_gradient(nearly, OBJECTIVE))


def test_black_boxes_and_single_categories_are_refused_with_the_reason() -> None:
    box = Objective(lambda z: z, lambda z: z.argmax(-1).sum(-1).double())
    with pytest.raises(InputError, match="gradient in a relaxed sample"):
        Rebar().double().estimate(LOGITS, box, Noise([seeded(0)]))
    with pytest.raises(InputError, match="at least 2"):
        Arsm().estimate(torch.zeros(1, 2, 1), OBJECTIVE, Noise([seeded(0)]))
    for value in (float("nan"), float("inf"), 0.0):
        with pytest.raises(InputError, match="temperature"):
            Rebar(value)


@pytest.mark.parametrize("members", [None, 4])
def test_rebars_own_gradient_is_that_of_its_second_moment(members: int | None) -> None:
    """By a finite difference, with the noise held; for one set of parameters and for a member's own."""
    rows = (4, *LOGITS.shape)

    def moment(shift: float) -> tuple[Tensor, list[Tensor]]:
        strategy = Rebar(0.7, 0.8, members=members).double()
        with torch.no_grad():
            strategy.log_temperature += shift
        seeds = [seeded(i) for i in range(4)] if members else [seeded(0)]
        estimate = strategy.estimate(LOGITS.expand(rows).clone(), OBJECTIVE, Noise(seeds))
        own = torch.autograd.grad(estimate.strategy_loss.sum(), list(strategy.parameters()))
        return estimate.strategy_loss.detach(), list(own)

    up, down = moment(1e-5)[0], moment(-1e-5)[0]
    (slope, _) = moment(0.0)[1]
    expected = (up - down) / 2e-5
    torch.testing.assert_close(slope, expected if members else expected.sum(), rtol=1e-4, atol=1e-6)
