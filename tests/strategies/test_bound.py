"""The multi-sample bound as an objective: exact on a problem small enough for all tuples of states."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones.stack import Stack
from discrete_vae.config import Config
from discrete_vae.data import load
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import gradient_error
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from discrete_vae.strategies import (
    STRATEGIES,
    Enumeration,
    GaussNewtonLocalExpectation,
    GumbelSoftmax,
    LocalExpectation,
    Marginalisation,
    Model,
    Objective,
    ReinMax,
    Rloo,
    Strategy,
    TargetPropagation,
    Vimco,
)
from discrete_vae.strategies.bound import bound, bound_change, bound_of, leave_one_out
from discrete_vae.strategies.responses import Averaged
from discrete_vae.strategies.target_propagation.feedback import LayerwiseFeedback, WeightMirror
from discrete_vae.tasks import Architecture
from discrete_vae.training.step import Trainer

BATCH, LATENTS, CATEGORIES, PIXELS = 2, 2, 2, 3
FAMILY = Categorical(LATENTS, CATEGORIES)
BETA = 0.7


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed, "bound"), dtype=torch.float64)


class Affine(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight


DECODER = Stack([Affine(2 * normal(0, LATENTS * CATEGORIES, 4)), Affine(2 * normal(1, 4, PIXELS))], torch.tanh)
IMAGES = normal(2, BATCH, PIXELS).sigmoid()
LOGITS = normal(3, BATCH, LATENTS, CATEGORIES)


def encode(seen: Tensor) -> Tensor:
    return torch.unflatten(seen @ normal(4, PIXELS, LATENTS * CATEGORIES), -1, (LATENTS, CATEGORIES))


def single(images: Tensor) -> Objective:
    """The objective of one sample."""
    return Objective(
        decode=lambda sample: DECODER(sample.flatten(-2)),
        loss=lambda output: (F.softplus(output) - output * images).sum(-1),
        curvature=lambda output: output.sigmoid() * (1 - output.sigmoid()),
        model=Model(torch.sigmoid, images, encode, DECODER, canonical=True),
        sample_kl=lambda logits, sample: -BETA * FAMILY.log_ratio(logits, sample),
        kl_term=lambda logits: BETA * FAMILY.kl(logits).sum(-1),
        context=images,
    )


def joint(logits: Tensor, count: int) -> Objective:
    """The bound of the images' samples, at joint logits ``[..., B, S N, K]``."""
    copies = IMAGES.repeat_interleave(count, 0).expand(*logits.shape[:-3], -1, -1)
    return bound_of(single(copies), logits, count)


def estimated(strategy: Strategy, count: int, draws: int = 1, seed: int = 5) -> tuple[Tensor, Tensor]:
    """Gradients in the parameters ``[draws, B, N, K]``, from which the logits of all samples come, and losses."""
    parameters = LOGITS.expand(draws, *LOGITS.shape).clone().requires_grad_()
    logits = parameters.repeat(1, 1, count, 1)
    strategy.double()
    estimate = strategy.estimate(logits, joint(logits, count), Noise([seeded(seed)]))
    assert estimate.sample.shape == logits.shape
    return torch.autograd.grad(estimate.loss.sum(), parameters)[0], estimate.loss.detach()


def exact(count: int) -> tuple[Tensor, Tensor]:
    """Gradient and value of the mean bound, by a sum over all tuples of states."""
    parameters = LOGITS.clone().requires_grad_()
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64)[:, None].expand(-1, BATCH, -1, -1)
    objective = single(IMAGES)
    assert objective.sample_kl is not None
    losses = objective(states) + objective.sample_kl(parameters, states)  # [K^N, B]
    log_q = log_prob(parameters, states)
    mean = torch.zeros(BATCH, dtype=torch.float64)
    for each in itertools.product(range(len(states)), repeat=count):
        chosen = list(each)
        value = -((-losses[chosen]).exp().mean(0)).log()
        mean = mean + log_q[chosen].sum(0).exp() * value
    return torch.autograd.grad(mean.sum(), parameters)[0], mean.detach()


@pytest.mark.parametrize("count", [2, 3])
def test_marginalisation_of_the_joint_objective_is_exact(count: int) -> None:
    gradient, _ = estimated(Marginalisation(), count)
    torch.testing.assert_close(gradient[0], exact(count)[0])


@pytest.mark.parametrize("strategy", [Enumeration(), LocalExpectation(), Rloo(), GaussNewtonLocalExpectation(moves=2)])
def test_unbiased_strategies_stay_unbiased(strategy: Strategy) -> None:
    """Within 4.5 standard errors of the exact gradient of the mean bound, and far from that of the mean loss."""
    gradients, losses = estimated(strategy, 2, draws=40_000)
    gradient, value = exact(2)
    assert gradient_error(gradients, gradient).z_score < 4.5
    spread = losses.std(0) / math.sqrt(len(losses))
    assert ((losses.mean(0) - value).abs() < 4.5 * spread).all()
    assert gradient_error(gradients, exact(1)[0]).z_score > 10


def test_rloo_of_a_bound_is_vimco() -> None:
    """The same draws give the same estimate; VIMCO's own has its samples in front."""
    shared = Noise([seeded(5)]).gumbel((2, BATCH, LATENTS, CATEGORIES), torch.float64)  # [S, B, N, K]

    class Given(Noise):
        def gumbel(self, shape: Any, dtype: torch.dtype = torch.float32) -> Tensor:
            if shape[-2] == LATENTS:
                return next(each)
            return shared.movedim(0, 1).flatten(1, 2)

    each = iter(shared)
    parameters = LOGITS.clone().requires_grad_()
    own = Vimco(2).estimate(parameters, single(IMAGES), Given([seeded(0)]))
    expected = torch.autograd.grad(own.loss.sum(), parameters)[0]
    parameters = LOGITS.clone().requires_grad_()
    logits = parameters.repeat(1, 2, 1)
    found = Rloo(7).estimate(logits, joint(logits, 2), Given([seeded(0)]))
    torch.testing.assert_close(found.loss, own.loss)
    torch.testing.assert_close(torch.autograd.grad(found.loss.sum(), parameters)[0], expected)


@pytest.mark.parametrize("strategy", [ReinMax(), GumbelSoftmax(0.7)])
def test_pathwise_strategies_follow_the_weighted_losses(strategy: Strategy) -> None:
    """``sum_s w_s grad l_s``, the l_s of samples that are drawn side by side (Burda et al. 2016, eq. 13)."""
    strategy.double()
    count = 3
    gradient, loss = estimated(strategy, count)
    parameters = LOGITS.clone().requires_grad_()
    logits = parameters.repeat(1, count, 1).unsqueeze(0)
    sample = strategy.sample(logits, Noise([seeded(5)]))[0].unflatten(1, (count, LATENTS))  # type: ignore[operator]
    objective = single(IMAGES)
    assert objective.sample_kl is not None
    losses = torch.stack(
        [objective(sample[:, s]) + objective.sample_kl(parameters, sample[:, s]) for s in range(count)]
    )
    torch.testing.assert_close(loss[0], math.log(count) - (-losses.detach()).logsumexp(0))
    weighted = ((-losses).softmax(0).detach() * losses).sum()
    torch.testing.assert_close(gradient[0], torch.autograd.grad(weighted, parameters)[0])


def test_local_expectation_decodes_the_moved_sample_alone() -> None:
    """It is local expectation of the joint objective, and decodes 1 + N (K - 1) samples for each of the S."""
    rows = []

    def counted(objective: Objective) -> Objective:
        def decode(sample: Tensor) -> Tensor:
            rows.append(math.prod(sample.shape[:-2]) // BATCH)
            return DECODER(sample.flatten(-2))

        return Objective(decode=decode, loss=objective.loss, sample_kl=objective.sample_kl)

    count = 3
    parameters = LOGITS.clone().requires_grad_()
    logits = parameters.repeat(1, count, 1)
    objective = bound_of(counted(single(IMAGES.repeat_interleave(count, 0))), logits, count)
    found = LocalExpectation().estimate(logits, objective, Noise([seeded(5)]))
    assert sum(rows) == count * (1 + LATENTS * (CATEGORIES - 1))
    gradient = torch.autograd.grad(found.loss.sum(), parameters)[0]

    plain = Objective(decode=lambda sample: sample, loss=objective)  # a black box, whose samples nobody sees
    other = LocalExpectation().estimate(logits, plain, Noise([seeded(5)]))
    torch.testing.assert_close(other.loss, found.loss)
    torch.testing.assert_close(torch.autograd.grad(other.loss.sum(), parameters)[0], gradient)


def test_gauss_newton_of_a_bound_is_local_expectation_where_its_model_is_exact() -> None:
    """For an affine decoder and a quadratic loss each move's cost is exact, and so is the change of the bound."""
    count, weight = 3, 2 * normal(6, LATENTS * CATEGORIES, PIXELS)
    images = IMAGES.repeat_interleave(count, 0)
    objective = Objective(
        decode=lambda sample: sample.flatten(-2) @ weight,
        loss=lambda output: (output - images).square().sum(-1),
        curvature=lambda output: torch.full_like(output, 2.0),
        sample_kl=lambda logits, sample: -BETA * FAMILY.log_ratio(logits, sample),
    )
    gradients = []
    for strategy in (GaussNewtonLocalExpectation(), LocalExpectation()):
        logits = LOGITS.repeat(1, count, 1).requires_grad_()
        estimate = strategy.estimate(logits, bound_of(objective, logits, count), Noise([seeded(5)]))
        gradients.append(torch.autograd.grad(estimate.loss.sum(), logits)[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("averaged", ["all", "nothing"])
def test_gauss_newton_of_a_bound_whose_moves_are_all_decoded_needs_no_model(averaged: Averaged) -> None:
    """It is local expectation without a curvature, and decodes what its claim says."""
    count, every, rows = 2, LATENTS * (CATEGORIES - 1), []

    def decode(sample: Tensor) -> Tensor:
        rows.append(math.prod(sample.shape[:-2]) // BATCH)
        return DECODER(sample.flatten(-2))

    whole = GaussNewtonLocalExpectation(averaged, every)
    gradients = []
    for strategy in (LocalExpectation(), whole):
        rows.clear()
        objective = replace(single(IMAGES.repeat_interleave(count, 0)), decode=decode, model=None, curvature=None)
        logits = LOGITS.repeat(1, count, 1).requires_grad_()
        estimate = strategy.estimate(logits, bound_of(objective, logits, count), Noise([seeded(5)]))
        gradients.append(torch.autograd.grad(estimate.loss.sum(), logits)[0])
    torch.testing.assert_close(*gradients)
    assert sum(rows) == count * whole.claim.decoded(LATENTS, CATEGORIES)


def test_a_bound_changes_as_a_second_evaluation_says() -> None:
    """For changes and weights of any size; in single precision too, to rounding of the losses."""
    losses = torch.tensor([[90.0, 100.0, 130.0, 90.5], [1.0, 400.0, 2.0, 0.5]], dtype=torch.float64)
    changes = torch.tensor([-500.0, -30, -1, -1e-9, 0, 1e-9, 1e-3, 0.7, 30, 500], dtype=torch.float64)
    given = changes.expand(2, 4, -1)
    found = bound_change(losses, given)
    for s, c in itertools.product(range(4), range(len(changes))):
        other = losses.clone()
        other[:, s] += changes[c]
        torch.testing.assert_close(found[:, s, c], bound(other, -1) - bound(losses, -1), atol=1e-13, rtol=1e-9)
    torch.testing.assert_close(bound_change(losses.float(), given.float()).double(), found, atol=1e-5, rtol=1e-5)
    tiny = torch.tensor(1e-12, dtype=torch.float64)
    weights = (-losses).softmax(-1)
    torch.testing.assert_close(bound_change(losses, tiny.expand(2, 4)), weights * tiny, rtol=1e-6, atol=0)
    torch.testing.assert_close(bound_change(losses[:, :1], given[:, :1]), given[:, :1])  # one sample is the bound


def test_a_weight_that_rounds_to_one_leaves_the_others_theirs() -> None:
    """Where the first sample leaves, the bound falls to the second, 20 nats behind, not below."""
    change = bound_change(torch.tensor([0.0, 20.0]), torch.tensor([500.0, 0.0]))
    torch.testing.assert_close(change, torch.tensor([20.0, 0.0]))


def test_what_a_sample_changed_is_against_the_mean_of_the_others() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0])
    _, signal = leave_one_out(losses)
    expected = bound(losses, 0) - torch.stack(
        [bound(torch.tensor(row), 0) for row in ([3.0, 2.0, 4.0], [1.0, 2.5, 4.0], [1.0, 2.0, 1.5])]
    )
    torch.testing.assert_close(signal, expected)


class Transposed(LayerwiseFeedback):
    """Feedback by the decoder's own weights, which carries true gradients."""

    def __init__(self) -> None:
        super().__init__([layer.weight for layer in DECODER.layers])  # type: ignore[misc]


def test_target_propagation_by_exact_feedback_is_reinmax() -> None:
    """With the decoder's own weights as feedback, each sample's signal is its part of the bound's gradient."""
    gradient, loss = estimated(TargetPropagation(Transposed(), "second-order"), 3)
    expected, other = estimated(ReinMax(), 3)
    torch.testing.assert_close(loss, other)
    torch.testing.assert_close(gradient, expected)


def test_gauss_newton_targets_of_a_bound_have_its_estimate() -> None:
    """Each sample's signal has its weight, the moves' costs are of its own loss, and the bound follows from these."""
    gradient, loss = estimated(TargetPropagation(Transposed(), "gauss-newton"), 3)
    expected, other = estimated(GaussNewtonLocalExpectation(), 3)
    torch.testing.assert_close(loss, other)
    torch.testing.assert_close(gradient, expected)


def test_targets_by_the_encoder_are_nearer_by_the_weight() -> None:
    """Each sample's pull is target propagation's with its weight for output target; log q / p is differentiated."""
    count = 3
    logits = LOGITS.repeat(1, count, 1).requires_grad_()
    estimate = TargetPropagation().estimate(logits, joint(logits, count), Noise([seeded(5)]))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    for b, s in itertools.product(range(BATCH), range(count)):
        own = slice(s * LATENTS, (s + 1) * LATENTS)
        samples = estimate.sample[b : b + 1].unflatten(1, (count, LATENTS)).transpose(0, 1)  # [S, 1, N, K]
        objective, at = single(IMAGES[b : b + 1]), LOGITS[b : b + 1].clone().requires_grad_()
        assert objective.sample_kl is not None
        weight = (-objective(samples) - objective.sample_kl(at, samples)).softmax(0)[s].item()

        class Drawn(Noise):
            def gumbel(self, shape: Any, dtype: torch.dtype = torch.float32, chosen: Tensor = samples[s]) -> Tensor:
                return 1e3 * chosen

        step = TargetPropagation(output_target=weight).estimate(at, objective, Drawn([seeded(0)]))
        seen = (samples[s] - at.softmax(-1)).detach() + at.softmax(-1)
        wanted = torch.autograd.grad((step.loss + weight * objective.sample_kl(at, seen)).sum(), at)[0]
        torch.testing.assert_close(found[b : b + 1, own], wanted)


def test_a_mirror_takes_its_layers_steps_of_a_bound() -> None:
    mirror = WeightMirror([layer.weight for layer in DECODER.layers])  # type: ignore[misc]
    mirror.eval()  # takes no steps of a probe
    strategy = TargetPropagation(mirror)
    strategy.double()
    logits = LOGITS.repeat(1, 3, 1)
    estimate = strategy.estimate(logits, joint(logits, 3), Noise([seeded(5)]))
    own = list(DECODER.parameters())
    wanted = torch.autograd.grad(estimate.loss.mean(), own, retain_graph=True)
    found = torch.autograd.grad(estimate.strategy_loss.sum(), list(mirror.parameters()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def tiny(strategy: str, **values: Any) -> Config:
    """A run on a tiny network, of the bound of two samples."""
    kind = STRATEGIES[strategy]
    shape = Architecture(latents=2, hidden=(5,), **({} if "categories" in kind.ignores else {"categories": 2}))
    options = kind.Options(normalise=False) if strategy == "nvil" else None
    return Config(
        strategy,
        **{"options": options, "architecture": shape, "objective": "bound", "samples": 2, "batch_size": 6} | values,
    )


def step(config: Config) -> Trainer:
    trainer = Trainer([Run(Path(), config)], load(config.data), torch.device("cpu"))
    trainer.begin_epoch()
    trainer._captured = None  # type: ignore[assignment, method-assign]
    trainer.differentiate = lambda *arguments: trainer.gradients(*arguments, noise=trainer.noise)
    trainer.advance()
    return trainer


REFUSED = {
    "vimco": "objective is bound, which has no effect with strategy vimco",
    "reweighted-wake-sleep": "objective is bound, which has no effect with strategy reweighted-wake-sleep",
} | {
    name: f"samples is 2, which has no effect with strategy {name}"
    for name, kind in STRATEGIES.items()
    if "samples" in kind.ignores
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_of_every_strategy(strategy: str) -> None:
    """It is finite, or refused; the loss is a bound of two samples."""
    if strategy in REFUSED:
        with pytest.raises(InputError, match=REFUSED[strategy]):
            tiny(strategy)
        return
    trainer = step(tiny(strategy))
    assert trainer.alive.all()
    assert all(each.isfinite().all() for each in trainer.population.state().values())
    assert 300 < float(trainer.sums[0, 0]) < 700  # 784 log 2 is 543


def test_other_runs_of_a_bound() -> None:
    local = STRATEGIES["target-propagation"].Options(inverse="mirror", local=True)
    newton = STRATEGIES["target-propagation"].Options(inverse="mirror", geometry="gauss-newton")
    for options in (local, newton):
        assert step(tiny("target-propagation", options=options)).alive.all()
    assert step(tiny("reinmax", task="structured-prediction")).alive.all()
    assert step(tiny("gauss-newton-local-expectation")).alive.all()


def test_layer_local_training_learns_from_log_q_as_well() -> None:
    """With exact feedback, every layer of encoder and decoder gets ReinMax' gradient."""
    options = STRATEGIES["target-propagation"].Options(inverse="mirror", geometry="second-order", local=True)
    gradients = []
    for config in (tiny("target-propagation", options=options), tiny("reinmax")):
        trainer = Trainer([Run(Path(), config)], load(config.data), torch.device("cpu"))
        trainer.begin_epoch()
        model = trainer.model
        if config.strategy == "target-propagation":
            inverse = trainer.strategy.inverse  # type: ignore[union-attr]
            encoder = list(model.encoder.network.layers)[1:]  # type: ignore[arg-type, union-attr]
            pairs = [*zip(inverse.weights("decoder"), model.decoder.layers, strict=True)]  # type: ignore[union-attr, arg-type, operator]
            pairs += zip(inverse.weights("encoder"), encoder, strict=True)  # type: ignore[operator, union-attr]
            with torch.no_grad():
                for own, layer in pairs:
                    own.copy_(layer.weight)
            trainer.strategy.inverse.eval()  # type: ignore[union-attr, operator]
        observation = model.train_batch(trainer.data.train, trainer.order[0], [seeded(1)])
        _, _, *found = trainer.gradients(observation, trainer.values[0], Noise([seeded(2)]))
        gradients.append(found[: len(list(model.own_parameters()))])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_configuration_of_a_bound() -> None:
    config = tiny("rloo")
    assert Config.from_dict(config.to_dict()) == config
    assert config.identity != tiny("rloo", objective="elbo").identity
    assert "objective" not in Config("rloo", samples=2).changes
    assert Config.fitting("vimco", objective="bound", samples=2).objective == "elbo"


TWICE = LOGITS[:1].repeat(1, 2, 1)


def summed(logits: Tensor, sample: Tensor) -> Tensor:
    """A KL term of all samples together."""
    return -FAMILY.log_ratio(logits, sample).sum()


REFUSALS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Config("reinmax", objective="bound"), "objective is bound, which has no effect with samples 1"),
    (lambda: Config("reinmax", objective="best", samples=2), "objective"),
    (lambda: tiny("reinmax", architecture=Architecture(layers=2)), "one stochastic layer: give 1, or objective elbo"),
    (lambda: Config("nvil", objective="bound", samples=2), "normalise of nvil scales gradients"),
    (
        lambda: tiny("rloo", options=STRATEGIES["rloo"].Options(8)),
        "draws is 8, which has no effect with objective bound",
    ),
    (lambda: tiny("reinmax", task="adversarial-vae"), "no effect with task adversarial-vae; leave it at elbo, or give"),
    (lambda: estimated(Vimco(2), 2), "Vimco makes a bound of samples of its own"),
    (lambda: bound_of(torch.sigmoid, LOGITS, 2), "one sample is a builtin_function_or_method; give an Objective"),
    (lambda: bound_of(single(IMAGES), LOGITS, 1), "count is 1; give at least 2"),
    (lambda: bound_of(single(IMAGES), LOGITS, "2"), "count is '2'"),
    (lambda: bound_of(single(IMAGES), LOGITS, 3), r"logits are \[2, 2, 2\]; give .* for each of S = 3 samples"),
    (lambda: bound_of(single(IMAGES), LOGITS[0], 2), r"the logits are \[2, 2\]"),
    (lambda: bound_of(single(IMAGES), [1.0], 2), "the logits are list"),
    (lambda: bound_of(joint(LOGITS, 2), LOGITS, 2), "is a bound of several samples already"),
    (lambda: Rloo().estimate(LOGITS.clone(), joint(LOGITS, 2)), "bound was made with other logits than these"),
    (
        lambda: Rloo().estimate(TWICE, bound_of(replace(single(IMAGES), sample_kl=summed), TWICE, 2)),
        r"loss behind the decoder has shape \[\]; give one number an example",
    ),
]


@pytest.mark.parametrize(("made", "message"), REFUSALS)
def test_what_has_no_bound_is_refused(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made()


def test_the_logged_loss_is_the_bound() -> None:
    """No KL is added to it."""
    trainer = step(tiny("reinmax"))
    assert trainer.loss_includes_kl
    loss, reconstruction, _ = trainer.sums[0].tolist()
    assert loss == reconstruction
