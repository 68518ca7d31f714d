"""The table that every strategy has to pass: its row states what it promises, the tests below hold it to that.

The problem is small enough for the exact gradient: 2 variables of 3 categories, or 3 of 2, under a smooth nonlinear
decoder with a Bernoulli loss. Its ``encode`` is linear feedback by the decoder's transposed Jacobian, and the logits
are ``encode(observation)``, so that target propagation works here as it does in an auto-encoder.
"""

import copy
import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from discrete_vae.conformance.figures import DRAWS, Figures, measured, value
from discrete_vae.conformance.problem import BATCH, CATEGORIES, HIDDEN, LATENTS, PIXELS, SHAPES, Problem
from discrete_vae.evaluation.gradients import exact_gradient
from discrete_vae.latents.categorical import Categorical, hard_sample, log_prob
from discrete_vae.latents.deterministic import Deterministic
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.latents.quantised import Codebook, Quantised
from discrete_vae.strategies import (
    STRATEGIES,
    Arsm,
    AutoEncoder,
    Backpropagation,
    Carms,
    Claim,
    Darn,
    DarnBaseline,
    DecoupledStraightThrough,
    Disarm,
    DisarmStickBreaking,
    DisarmTree,
    Enumeration,
    Estimate,
    Family,
    Fsq,
    GappedStraightThrough,
    GaussianReparameterisation,
    GaussNewtonLocalExpectation,
    GumbelRao,
    GumbelSoftmax,
    LocalExpectation,
    Marginalisation,
    MinimumVariance,
    MuProp,
    Nvil,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxMeanControl,
    ReinMaxRao,
    Relax,
    ReweightedWakeSleep,
    Rloo,
    Rodeo,
    RotatedVqVae,
    ScoreFunction,
    SlopeAnnealedStraightThrough,
    Softmax,
    SparsemaxMarginalisation,
    StraightThrough,
    StraightThroughGumbelSoftmax,
    Strategy,
    SumAndSample,
    TargetPropagation,
    TargetPropagationAutoEncoder,
    UnorderedSet,
    Vimco,
    VqVae,
    Zgr,
)
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.target_propagation import (
    DifferenceReconstruction,
    EncoderInverse,
    Inverse,
    LayerwiseFeedback,
    LearnedInverse,
    LocalDifferenceReconstruction,
    WeightMirror,
    WeightProbe,
)
from discrete_vae.strategies.targets import TargetStrategy
from discrete_vae.tasks import VAE, Architecture
from tests.tiny_images import blueprint


class Planted(Strategy):
    """REINFORCE with a constant baseline: the unbiased control. ``mistake`` plants an error."""

    claim = Claim("Williams 1992", unbiased=True, relaxed=False, evaluations=1)

    def __init__(self, temperature: float = 1.0, mistake: str = "") -> None:
        super().__init__()
        self.temperature, self.mistake = temperature, mistake

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        tempered = logits / self.temperature
        sample = hard_sample(tempered, noise.gumbel(logits.shape, logits.dtype))
        loss = objective(sample)
        scored, keep = (logits if self.mistake == "temperature missing" else tempered), torch.ones_like(logits)
        if self.mistake == "log-prob term dropped":
            keep[..., -1, :] = 0
        weight = {"sign flipped": -1, "factor 2": 2}.get(self.mistake, 1)
        score = weight * (loss.detach() - PIXELS * math.log(2)) * log_prob(scored, sample * keep)
        return Estimate(with_gradient_of(loss, score), loss.new_zeros(loss.shape[:-1]), sample)


def figures() -> dict[tuple[str, str], Figures]:
    """By row and problem, from ``conformance.csv``."""
    with Path(__file__).with_name("conformance.csv").open(newline="") as file:
        return {
            (line["row"], line["problem"]): Figures(*(float(line[name]) for name in Figures._fields))
            for line in csv.DictReader(file)
        }


FIGURES = figures()


@dataclass(frozen=True)
class Row:
    """One variant of a strategy, whose promises on the problems above are in ``conformance.csv``."""

    name: str
    make: Callable[[Problem, float], Strategy]
    """The strategy for this problem, at a temperature where it has one."""
    draws: int = DRAWS
    shapes: tuple[str, ...] = ("ternary", "binary")
    """The problems that it is for, by name; with other latents than categorical, the first alone."""
    exact: Callable[[Problem], Tensor] | None = None
    """The gradient that it is held against, where that is not the objective's."""

    @property
    def family(self) -> Callable[[int, int], Family]:
        """Its latents."""
        return type(self.make(Problem(Categorical(*SHAPES[self.shapes[0]])), 0.5)).latent_family

    @property
    def problems(self) -> tuple[str, ...]:
        """Those of ``shapes`` that its latents can have."""
        return self.shapes if self.family is Categorical else self.shapes[:1]


LEARNED: dict[type[LayerwiseFeedback], Callable[[Tensor], Tensor]] = {
    WeightMirror: lambda weight: weight,
    WeightProbe: lambda weight: weight,
    LocalDifferenceReconstruction: lambda weight: weight,
    DifferenceReconstruction: lambda weight: torch.linalg.pinv(weight).mT,
    LayerwiseFeedback: lambda weight: torch.randn(weight.shape, generator=seeded(9), dtype=torch.float64).to(weight),
}
"""What feedback is when it has learned a layer's weights; the last learns nothing."""


def propagation(problem: Problem, temperature: float, inverse: type[Inverse], **options: Any) -> TargetPropagation:
    """Target propagation with an inverse that has learned."""
    if issubclass(inverse, LayerwiseFeedback):
        own: Inverse = inverse(
            [LEARNED[inverse](weight) for weight in (problem.inner, problem.outer)],
            [LEARNED[inverse](problem.encoder.layers[1].weight)] if options.get("local") else [],
        )
    else:
        own = LearnedInverse(problem.feedback(1)) if inverse is LearnedInverse else inverse()
    return TargetPropagation(own, **options)


def weighted(strategy: ReinMaxMeanControl) -> ReinMaxMeanControl:
    """With a control variate that counts; it starts without."""
    with torch.no_grad():
        strategy.weight.fill_(0.4)
    return strategy


def learned(strategy: Rodeo, first: float = 1.0, second: float = 0.5) -> Rodeo:
    """With functions that are about linear in the change, as they are when the network has learned."""
    weights = {"change": (1.0, -1.0), "level": (0.1, 0.05), "shift": (0.1, -0.2)}
    weights |= {name: (size / 1.3, -size / 1.3) for name, size in (("first", first), ("second", second))}
    with torch.no_grad():
        for name, values in weights.items():
            strategy.surrogate.get_parameter(name).copy_(torch.tensor(values))
    return strategy


def with_codebook(kind: type[VqVae], problem: Problem) -> VqVae:
    """With vectors that have moved from where they start, of which the problem's latents know."""
    strategy = kind(CATEGORIES)
    with torch.no_grad():
        strategy.vectors += torch.linspace(-0.5, 0.4, strategy.vectors.numel()).view_as(strategy.vectors)
    problem.cast(strategy)
    if isinstance(problem.family, Codebook):
        problem.family.vectors = strategy.vectors
    return strategy


PROPAGATION: list[tuple[str, dict[str, Any]]] = [
    ("encoder, matching", {"inverse": EncoderInverse, "geometry": "matching"}),
    ("encoder, log-ratio", {"inverse": EncoderInverse, "geometry": "log-ratio"}),
    ("encoder, Fisher-Rao", {"inverse": EncoderInverse, "geometry": "fisher-rao"}),
    ("network, log-ratio", {"inverse": LearnedInverse, "geometry": "log-ratio"}),
    ("mirror, Euclidean", {"inverse": WeightMirror}),
    ("mirror, Euclidean, half the way", {"inverse": WeightMirror, "output_target": 0.5}),
    ("mirror, matching", {"inverse": WeightMirror, "geometry": "matching"}),
    ("mirror, log-ratio", {"inverse": WeightMirror, "geometry": "log-ratio"}),
    ("mirror, log-ratio, small step", {"inverse": WeightMirror, "geometry": "log-ratio", "step": 0.1}),
    ("mirror, Aitchison", {"inverse": WeightMirror, "geometry": "aitchison"}),
    ("mirror, Fisher-Rao", {"inverse": WeightMirror, "geometry": "fisher-rao"}),
    ("mirror, Fisher-Rao, small step", {"inverse": WeightMirror, "geometry": "fisher-rao", "step": 0.1}),
    ("mirror, second-order", {"inverse": WeightMirror, "geometry": "second-order"}),
    ("mirror, second-order, clipped", {"inverse": WeightMirror, "geometry": "second-order", "clip": 0.5}),
    (
        "mirror, second-order, layer-local",
        {"inverse": WeightMirror, "geometry": "second-order", "local": True},
    ),
    ("mirror, Gauss-Newton", {"inverse": WeightMirror, "geometry": "gauss-newton"}),
    ("mirror, Gauss-Newton, layer-local", {"inverse": WeightMirror, "geometry": "gauss-newton", "local": True}),
    ("probes, Gauss-Newton", {"inverse": WeightProbe, "geometry": "gauss-newton"}),
    ("L-DRL, Gauss-Newton", {"inverse": LocalDifferenceReconstruction, "geometry": "gauss-newton"}),
    ("probes, second-order", {"inverse": WeightProbe, "geometry": "second-order"}),
    ("L-DRL, second-order", {"inverse": LocalDifferenceReconstruction, "geometry": "second-order"}),
    ("DRL, second-order", {"inverse": DifferenceReconstruction, "geometry": "second-order"}),
    ("random, second-order", {"inverse": LayerwiseFeedback, "geometry": "second-order"}),
]

ROWS = [
    Row("gumbel-softmax", lambda _, temperature: GumbelSoftmax(temperature)),
    Row("gumbel-softmax, half the temperature", lambda _, t: GumbelSoftmax(t / 2)),
    Row("straight-through gumbel-softmax", lambda _, t: StraightThroughGumbelSoftmax(t)),
    Row("target propagation, thesis", lambda _, t: TargetPropagation()),
    Row("target propagation, sampled code", lambda _, t: TargetPropagation(code="sample")),
    Row(
        "target propagation, sampled feedback",
        lambda _, t: TargetPropagation(feedback="sample"),
    ),
    Row(
        "target propagation, learned inverse",
        lambda p, t: TargetPropagation(LearnedInverse(p.feedback(1))),
    ),
    *(Row(f"target propagation, {name}", partial(propagation, **options)) for name, options in PROPAGATION),
    Row("reinmax", lambda _, t: ReinMax()),
    Row("reinmax, control variate", lambda p, t: p.cast(weighted(ReinMaxMeanControl()))),
    Row("reinmax-rao", lambda _, t: ReinMaxRao(t)),
    Row("vq-vae", lambda p, t: with_codebook(VqVae, p)),
    Row("vq-vae, rotation trick", lambda p, t: with_codebook(RotatedVqVae, p)),
    Row("fsq", lambda _, t: Fsq(CATEGORIES)),
    Row("gaussian reparameterisation", lambda _, t: GaussianReparameterisation()),
    Row("auto-encoder", lambda _, t: AutoEncoder()),
    Row("backpropagation", lambda _, t: Backpropagation()),
    Row("softmax", lambda _, t: Softmax()),
    Row("target propagation, auto-encoder", lambda _, t: TargetPropagationAutoEncoder()),
    Row("straight-through", lambda _, t: StraightThrough(2 * t)),
    Row("straight-through, half the temperature", lambda _, t: StraightThrough(t)),
    Row("slope-annealed", lambda _, t: SlopeAnnealedStraightThrough(2 * t)),
    Row("decoupled", lambda _, t: DecoupledStraightThrough(2 * t, 1.5)),
    Row("gapped straight-through", lambda _, t: GappedStraightThrough(2 * t)),
    Row("gapped by probability", lambda _, t: GappedStraightThrough(2 * t, 0.0)),
    Row("gumbel-rao", lambda _, t: GumbelRao(t)),
    Row("gumbel-rao, one draw", lambda _, t: GumbelRao(t, 1)),
    Row("darn", lambda _, t: Darn()),
    Row("darn, uniform centre", lambda _, t: Darn("uniform")),
    Row("zgr", lambda _, t: Zgr()),
    Row("minimum variance", lambda _, t: MinimumVariance(100.0)),
    Row("score function", lambda p, t: p.warm(ScoreFunction())),
    Row("score function, learned baseline", lambda p, t: p.warm(ScoreFunction(baseline=p.linear(PIXELS)))),
    Row("nvil", lambda p, t: p.warm(Nvil(p.linear(PIXELS), normalise=False))),
    Row("rloo", lambda _, t: Rloo()),
    Row("rloo, two samples", lambda _, t: Rloo(2)),
    Row("rodeo", lambda p, t: p.cast(Rodeo(units=2))),
    Row("rodeo, learned", lambda p, t: p.cast(learned(Rodeo(units=2)))),
    Row("rodeo, learned, three samples", lambda p, t: p.cast(learned(Rodeo(3, units=2))), draws=DRAWS // 4),
    Row("vimco", lambda _, t: Vimco(), draws=2 * DRAWS),
    Row("vimco, three samples", lambda _, t: Vimco(3)),
    Row("unordered set", lambda _, t: UnorderedSet()),
    Row("unordered set, two states, no baseline", lambda _, t: UnorderedSet(2, baseline=False)),
    Row("sum and sample", lambda _, t: SumAndSample()),
    Row("sum and sample, two states, no baseline", lambda _, t: SumAndSample(2, baseline=False)),
    Row("reweighted wake-sleep", lambda _, t: ReweightedWakeSleep(), exact=Problem.exact_inclusive_gradient),
    Row(
        "reweighted wake-sleep, two samples",
        lambda _, t: ReweightedWakeSleep(2),
        exact=Problem.exact_inclusive_gradient,
    ),
    Row("muprop", lambda p, t: p.warm(MuProp())),
    Row("darn, as a baseline", lambda p, t: p.warm(DarnBaseline())),
    Row("darn, as a baseline about 1/K", lambda p, t: p.warm(DarnBaseline("uniform"))),
    Row("rebar", lambda p, t: p.cast(Rebar(t))),
    Row("rebar, coupled", lambda p, t: p.cast(Rebar(t, coupled=True))),
    Row("relax", lambda p, t: p.cast(Relax(p.linear(p.size), t))),
    Row("arsm", lambda _, t: Arsm()),
    Row("disarm", lambda _, t: Disarm(), shapes=("binary",)),
    Row("disarm, stick-breaking", lambda _, t: DisarmStickBreaking()),
    Row("disarm, tree", lambda _, t: DisarmTree()),
    Row("carms", lambda _, t: Carms()),
    Row("carms, two samples", lambda _, t: Carms(2)),
    Row("enumeration", lambda _, t: Enumeration()),
    Row("marginalisation", lambda _, t: Marginalisation()),
    Row("sparsemax marginalisation", lambda _, t: SparsemaxMarginalisation()),
    Row("local expectation", lambda _, t: LocalExpectation()),
    Row("gauss-newton", lambda _, t: GaussNewtonLocalExpectation()),
    Row("gauss-newton, own curvature", lambda _, t: GaussNewtonLocalExpectation("slopes")),
    Row("gauss-newton, own slopes", lambda _, t: GaussNewtonLocalExpectation("nothing")),
    Row("gauss-newton, one move decoded", lambda _, t: GaussNewtonLocalExpectation(moves=1)),
    Row("score function (control)", lambda _, t: Planted()),
]
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def of_problems(first_only: bool = False) -> pytest.MarkDecorator:
    """Every row on every problem; with ``first_only`` those behind a row's first are slow."""
    found = [
        pytest.param(row, shape, marks=[pytest.mark.slow] if first_only and shape != row.problems[0] else [])
        for row in ROWS
        for shape in row.problems
    ]
    return pytest.mark.parametrize(("row", "shape"), found, ids=lambda each: getattr(each, "name", each))


every_problem = of_problems()


def posed(row: Row, temperature: float = 0.5, shape: str | None = None, **options) -> tuple[Problem, Strategy]:
    """The problem for the row's family of latents, by default its first, and the strategy on it."""
    problem = Problem(row.family(*SHAPES[shape or row.shapes[0]]), **options)
    strategy = row.make(problem, temperature).to(problem.device)
    problem.encoder.cut = isinstance(strategy, TargetStrategy) and strategy.local
    return problem, strategy


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss.sum(), logits, retain_graph=True)[0]


def test_every_strategy_of_the_library_has_a_row() -> None:
    assert set(STRATEGIES.values()) <= {type(posed(row)[1]) for row in ROWS}


@every_problem
@pytest.mark.parametrize("leading", [(), (4,)], ids=["plain", "population"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_shapes_value_and_sample(row, shape, leading, dtype, device) -> None:
    problem, strategy = posed(row, shape=shape, dtype=dtype, device=device)
    logits = problem.logits.expand(*leading, *problem.logits.shape).clone().requires_grad_()
    estimate = strategy.estimate(logits, problem.objective(*leading), problem.noise(*range(math.prod(leading))))
    assert problem.calls == strategy.claim.decoded(*SHAPES[shape])

    assert estimate.loss.shape == (*leading, BATCH)
    assert estimate.strategy_loss.shape == leading
    assert estimate.sample.shape[-len(leading) - 3 :] == (*leading, BATCH, *problem.family.sample_shape)
    assert {estimate.loss.dtype, estimate.strategy_loss.dtype, estimate.sample.dtype} == {dtype}
    assert not estimate.sample.requires_grad
    assert gradient(estimate.loss, logits).shape == logits.shape
    # Exactly: estimates nest because the value is the objective's own; but for the rounding of a batch of all states.
    exact = value(strategy, logits, problem.objective(*leading), estimate.sample)
    tolerance = 1e-6 if strategy.claim.marginal else 0.0
    torch.testing.assert_close(estimate.loss, exact, rtol=tolerance, atol=0.0)
    if not isinstance(problem.family, Categorical):
        return
    one_hot = ((estimate.sample == 0) | (estimate.sample == 1)).all() and estimate.sample.sum(-1).eq(1).all()
    assert one_hot == (not strategy.claim.relaxed)
    assert (estimate.sample >= 0).all()
    torch.testing.assert_close(estimate.sample.sum(-1), torch.ones_like(estimate.sample[..., 0]))


@every_row
def test_seed_decides_the_estimate(row) -> None:
    problem, strategy = posed(row)
    logits = problem.logits.expand(50, *problem.logits.shape).clone().requires_grad_()
    first, again, other = (  # copies, for some learn from what they see
        copy.deepcopy(strategy).estimate(logits, problem.objective(50), problem.noise(seed)) for seed in (0, 0, 1)
    )
    assert first.loss.equal(again.loss)
    assert first.sample.equal(again.sample)
    assert gradient(first.loss, logits).equal(gradient(again.loss, logits))
    noiseless = isinstance(problem.family, Deterministic | Quantised)
    noiseless = noiseless or isinstance(strategy, Softmax | SparsemaxMarginalisation)
    assert first.sample.equal(other.sample) == noiseless


@every_row
def test_member_of_a_population_is_as_if_alone(row) -> None:
    """The same noise bit by bit (seen in the sample); losses and gradients to rounding."""
    problem, strategy = posed(row)
    logits = torch.stack([problem.logits * scale for scale in (0.5, 1, 2)]).requires_grad_()
    together = copy.deepcopy(strategy).estimate(logits, problem.objective(3), problem.noise(10, 11, 12))
    for member in range(3):
        single = logits[member, None].detach().requires_grad_()
        alone = copy.deepcopy(strategy).estimate(single, problem.objective(1), problem.noise(10 + member))
        assert together.sample[..., member, :, :, :].equal(alone.sample[..., 0, :, :, :])
        torch.testing.assert_close(together.loss[member], alone.loss[0])
        torch.testing.assert_close(together.strategy_loss[member], alone.strategy_loss[0])
        torch.testing.assert_close(gradient(together.loss, logits)[member], gradient(alone.loss, single)[0])


@every_row
def test_real_vae_objective_of_a_population(row) -> None:
    """On ``VAE.objective``: value, shapes, and a gradient in every weight that is a member's alone."""
    family, shape = posed(row)[0].family, SHAPES[row.shapes[0]]

    def run(*seeds: int) -> tuple[VAE, Estimate]:
        vae = VAE(blueprint(Architecture(*shape, (HIDDEN,)), family, 1, PIXELS), [seeded(seed) for seed in seeds])
        strategy = row.make(Problem(Categorical(*shape), torch.float32), 0.5)
        if isinstance(strategy, TargetStrategy) and strategy.local:
            vae.cut()
        observation = Problem(family, torch.float32).observation.expand(len(seeds), BATCH, PIXELS)
        estimate = strategy.estimate(
            vae.encode(observation), vae.objective(observation), Noise([seeded(seed, "noise") for seed in seeds])
        )
        expected = value(strategy, vae.encode(observation), vae.objective(observation), estimate.sample)
        tolerance = 1e-6 if strategy.claim.marginal else 0.0  # of a batch of all states
        torch.testing.assert_close(estimate.loss, expected, rtol=tolerance, atol=0.0)
        estimate.loss.sum().backward()
        return vae, estimate

    together, estimate = run(0, 1, 2)
    alone, single = run(1)
    torch.testing.assert_close(estimate.loss[1], single.loss[0])
    for stacked, own in zip(together.parameters(), alone.parameters(), strict=True):
        assert stacked.grad is not None
        assert stacked.grad[1].any()
        torch.testing.assert_close(stacked.grad[1], own.grad[0], rtol=1e-4, atol=1e-6)


@every_row
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 100.0])
def test_loss_and_gradient_are_finite_over_a_wide_grid(row, temperature) -> None:
    problem, strategy = posed(row, temperature, dtype=torch.float32)
    shape = problem.logits.shape
    corner = torch.full(shape, -80.0)
    corner[..., 0] = 80.0
    wide = torch.randn(shape, generator=seeded(1)) * 30
    grid = torch.stack([torch.zeros(shape), torch.full(shape, 80.0), torch.full(shape, -80.0), corner, -corner, wide])
    grid = grid.repeat(200, 1, 1, 1).requires_grad_()
    estimate = strategy.estimate(grid, problem.objective(len(grid)), problem.noise(0))
    for values in (estimate.loss, estimate.strategy_loss, estimate.sample, gradient(estimate.loss, grid)):
        assert values.isfinite().all()


@every_row
def test_loss_and_auxiliary_train_their_own_parameters_only(row) -> None:
    problem, strategy = posed(row)
    own, decoder = list(strategy.parameters()), [problem.inner, problem.outer]
    logits = problem.logits.clone().requires_grad_()
    estimate = strategy.estimate(logits, problem.objective(), problem.noise(0))

    estimate.loss.sum().backward()
    assert logits.grad is not None
    assert logits.grad.any()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in decoder)
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in own)

    for tensor in (logits, *decoder, *own):
        tensor.grad = None
    if own:
        estimate.strategy_loss.sum().backward()
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in own)
        assert all(tensor.grad is None or not tensor.grad.any() for tensor in (logits, *decoder))
    else:
        assert estimate.strategy_loss.equal(torch.zeros_like(estimate.strategy_loss))


@of_problems(first_only=True)
def test_gradient_is_what_the_claim_says(row, shape) -> None:
    """Unbiased: passes a z-test that an error of 10% would fail. Biased: its figures, and really biased.

    The figures are literals, so that a change of the mean or of the variance shows, also where the claim still holds.
    """
    problem, strategy = posed(row, shape=shape)
    exact = problem.exact(strategy) if row.exact is None else row.exact(problem)
    error, found, detectable = measured(strategy, problem, exact, row.draws)
    line = f"{row.name!r},{shape},{','.join(f'{value:.4g}' for value in found)}"
    expected = FIGURES.get((row.name, shape), Figures(1, 1, 0))
    assert found.cosine == pytest.approx(expected.cosine, abs=0.01), line
    assert found.length == pytest.approx(expected.length, rel=0.05), line
    assert found.spread == pytest.approx(expected.spread, rel=0.05, abs=1e-6), line
    assert detectable < (0.1 if strategy.claim.unbiased else 0.2)
    assert (error.z_score < 5.5) == strategy.claim.unbiased
    if strategy.claim.unbiased:
        assert found.cosine > 0.999


@pytest.mark.parametrize("mistake", ["", "sign flipped", "factor 2", "log-prob term dropped", "temperature missing"])
def test_z_test_catches_planted_mistakes(mistake) -> None:
    """The power of the test above: the tempered score-function estimator passes it and every mistake in it fails."""
    problem = Problem(Categorical(LATENTS, CATEGORIES))
    exact = exact_gradient(problem.logits / 0.7, problem.objective()) / 0.7
    error, *_ = measured(Planted(0.7, mistake), problem, exact)
    assert (error.z_score > 5.5) == bool(mistake)
    if mistake:
        assert error.z_score > 20


@every_problem
def test_gradient_in_the_decoder_is_that_of_its_sample(row, shape) -> None:
    """Whatever the strategy does for the logits, the decoder learns from the decoded sample alone; or from all."""
    problem, strategy = posed(row, shape=shape)
    estimate = strategy.estimate(problem.logits.clone().requires_grad_(), problem.objective(), problem.noise(3))
    if strategy.claim.marginal:
        losses = problem.expectation(problem.logits)
    else:
        losses = value(strategy, problem.logits, problem.objective(), estimate.sample.detach())
    expected = torch.autograd.grad(losses.sum(), problem.outer)[0]
    torch.testing.assert_close(gradient(estimate.loss, problem.outer), expected)


class Flipped(ReinMax):
    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        return -super().surrogate(logits, sample, noise)


class Untempered(StraightThrough):
    """Without the 1 / tau of the chain rule."""

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        return super().surrogate(logits, sample, noise) * self.temperature


class Leaking(ScoreFunction):
    """The baseline is part of the signal's graph, and so learns from the model's loss."""

    def centre(self, signal: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
        centred, scale, strategy_loss = super().centre(signal, objective)
        return centred - 0.1 * self.baseline(objective.context).squeeze(-1), scale, strategy_loss


class Dropped(Rloo):
    """The mean of all samples as baseline, which has the sample's own loss in it."""

    def combine(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        mean = losses.mean(0)
        return mean, (losses - mean) / len(losses)


class Frozen(MuProp):
    """The expansion is taken off the signal and half of its gradient is not put back."""

    def correction(self, logits: Tensor, probabilities: Tensor, gradient: Tensor) -> Tensor:
        return super().correction(logits, probabilities, gradient) / 2


def claim(row: Row) -> None:
    test_gradient_is_what_the_claim_says(row, "ternary")


PLANTED: list[tuple[str, Row, Callable[[Row], None]]] = [
    ("sign flipped", Row("reinmax", lambda _, t: Flipped()), claim),
    (
        "temperature dropped from the backward pass",
        Row("straight-through, half the temperature", lambda _, t: Untempered(t)),
        claim,
    ),
    (
        "baseline leaks a gradient",
        Row("score function, learned baseline", lambda p, t: p.warm(Leaking(baseline=p.linear(PIXELS)))),
        test_loss_and_auxiliary_train_their_own_parameters_only,
    ),
    ("own loss in the baseline", Row("rloo", lambda _, t: Dropped()), claim),
    ("half of the correction lost", Row("muprop", lambda p, t: p.warm(Frozen())), claim),
    ("control variate dropped", Row("muprop", lambda p, t: p.warm(ScoreFunction())), claim),
    ("network dropped", Row("relax", lambda p, t: p.cast(Rebar(t))), claim),
]


@pytest.mark.parametrize(("row", "test"), [case[1:] for case in PLANTED], ids=[case[0] for case in PLANTED])
def test_the_table_catches_planted_mistakes(row, test) -> None:
    """What the row of the same name passes, a strategy with the mistake in it does not."""
    test(next(other for other in ROWS if other.name == row.name))
    with pytest.raises(AssertionError):
        test(row)


def test_every_line_of_the_figures_is_of_a_row() -> None:
    assert set(FIGURES) == {(row.name, shape) for row in ROWS for shape in row.problems}
