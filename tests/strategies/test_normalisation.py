"""What scales a gradient scales all of it: dividing the signal alone would leave the KL in charge.

NVIL's normalised signal is the whole of ``log p(x, z) - log q(z | x)`` (Mnih and Gregor 2014, section 2.3). Here the
task adds the KL by itself, so the strategy has to scale the KL's gradient as it scales its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones.stack import Stack
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_gradient
from discrete_vae.latents.categorical import enumerate_states, kl_to_uniform, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import bernoulli_variance
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import (
    STRATEGIES,
    DarnBaseline,
    Model,
    MuProp,
    Nvil,
    Objective,
    ScoreFunction,
    Strategy,
    TargetPropagation,
)
from discrete_vae.strategies.base import options_of
from discrete_vae.strategies.score_function import ScoreFunctionOptions
from discrete_vae.strategies.target_propagation import LayerwiseFeedback, TargetPropagationOptions
from discrete_vae.strategies.target_propagation.geometries import GEOMETRIES
from discrete_vae.tasks import VAE, Architecture
from discrete_vae.tasks.nesting import Layer, nested
from tests.affine import Affine
from tests.tiny_images import blueprint

LATENTS, CATEGORIES, DRAWS = 3, 4, 20_000
BETA = 3.0


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


SIZE = LATENTS * CATEGORIES
LOGITS, WEIGHT, UP = normal("logits", 1, LATENTS, CATEGORIES), normal("weight", SIZE, 6), normal("up", SIZE, SIZE)


def cost(sample: Tensor) -> Tensor:
    return ((sample.flatten(-2) @ WEIGHT).tanh() - 0.3).square().sum(-1)


def kl_term(logits: Tensor) -> Tensor:
    return BETA * kl_to_uniform(logits).sum(-1)


def scaled(factor: float) -> Objective:
    """A loss and a KL, both so many times as large."""
    return Objective(
        decode=lambda sample: sample,
        loss=lambda output: factor * cost(output),
        kl_term=lambda logits: factor * kl_term(logits),
        context=torch.ones(1, 1, dtype=torch.float64),
    )


NORMALISED: dict[str, Callable[[], Strategy]] = {
    "score function": lambda: ScoreFunction(normalise=True),
    "nvil": lambda: Nvil(nn.Linear(1, 1)).double(),
    "muprop": lambda: MuProp(normalise=True),
}
EXACT = exact_gradient(LOGITS, scaled(1))[0]


def whole(strategy: Strategy, objective: Objective) -> Tensor:
    """Mean over draws of the whole gradient, the KL's included, after 30 steps of moving averages."""
    logits, noise = LOGITS.expand(DRAWS, -1, -1), Noise([seeded(1)])
    for _ in range(30):
        strategy.estimate(logits[:1000], objective, noise)
    at = logits.clone().requires_grad_()
    loss = strategy.estimate(at, objective, noise).loss + objective.kl_term(at)
    return torch.autograd.grad(loss.sum(), at)[0].mean(0)


def exact_kl_term() -> Tensor:
    at = LOGITS.clone().requires_grad_()
    return torch.autograd.grad(kl_term(at).sum(), at)[0][0]


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_the_whole_gradient_keeps_its_direction(name: str, factor: float) -> None:
    """Of the reconstruction and the KL, each of which is seen beside the other; the length is that of a signal of 1."""
    found, exact = whole(NORMALISED[name](), scaled(factor)), EXACT + exact_kl_term()
    assert F.cosine_similarity(found.flatten(), exact.flatten(), 0) > 0.99
    assert F.cosine_similarity(EXACT.flatten(), exact.flatten(), 0) < 0.9
    assert F.cosine_similarity(exact_kl_term().flatten(), exact.flatten(), 0) < 0.95, "the KL alone would not do"
    if factor > 1:
        deviation = float(found.norm() / (factor * exact.norm()))  # one over sigma
        assert deviation < 0.1


def test_a_biased_baseline_keeps_its_direction_too() -> None:
    """DARN's baseline: a hundred times the loss changes the length alone."""
    one, hundred = (whole(DarnBaseline(normalise=True), scaled(factor)) for factor in (10.0, 1000.0))
    assert F.cosine_similarity(one.flatten(), hundred.flatten(), 0) > 0.999
    plain = whole(DarnBaseline(), scaled(1.0))
    assert F.cosine_similarity(plain.flatten(), hundred.flatten(), 0) > 0.99


@pytest.mark.parametrize("name", NORMALISED)
@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_every_layer_keeps_its_direction(name: str, factor: float) -> None:
    """Two layers: the gradient in the first logits and in the map to the second's, each by its own deviation."""

    def upper(sample: Tensor, output: Tensor) -> Tensor:
        return ((sample.flatten(-2) @ up) / 3).unflatten(-1, (LATENTS, CATEGORIES))

    def context(objective: Objective, sample: Tensor) -> Objective:
        return dataclasses.replace(objective, context=sample.flatten(-2).detach())

    up = UP.clone().requires_grad_()
    objective = scaled(factor)
    layer = Layer(upper, lambda sample: context(objective, sample))
    strategies: list[Strategy] = [NORMALISED[name](), NORMALISED[name]()]
    if name == "nvil":
        strategies[1] = Nvil(nn.Linear(SIZE, 1)).double()
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64)
    at = LOGITS.clone().requires_grad_()
    given = upper(states, states)
    inner = (log_prob(given, states[:, None]).exp() * cost(states)[:, None]).sum(0) + kl_term(given)
    total = (log_prob(at, states).exp() * (cost(states) + inner)).sum() + kl_term(at).sum()
    exact = torch.autograd.grad(total, (at, up))

    logits, noise = LOGITS.expand(DRAWS, -1, -1).clone().requires_grad_(), Noise([seeded(2)])
    for _ in range(30):
        nested(strategies, logits[:1000], objective, [layer], noise)
    loss = nested(strategies, logits, objective, [layer], noise).loss + objective.kl_term(logits)
    found = torch.autograd.grad(loss.sum() / DRAWS, (logits, up))
    for own, right in zip((found[0].sum(0), found[1]), exact, strict=True):
        assert F.cosine_similarity(own.flatten(), right.flatten(), 0) > 0.97


def test_the_first_step_divides_the_kl_image_by_image() -> None:
    """There each image has the deviation of the others in its batch, and its KL has the same."""
    objective = scaled(100.0)
    at = LOGITS.expand(5, -1, -1).clone().requires_grad_()
    estimate = ScoreFunction(normalise=True).estimate(at, objective, Noise([seeded(4)]))
    losses = estimate.loss.detach()
    (found,) = torch.autograd.grad((estimate.loss + objective.kl_term(at)).sum(), at)
    for image in range(5):
        others = torch.cat([losses[:image], losses[image + 1 :]])
        deviation = (others.square().mean() - others.mean().square()).sqrt().clamp_min(1)
        own = LOGITS.clone().requires_grad_()
        signal = losses[image] - others.mean()
        surrogate = signal * log_prob(own, estimate.sample[image : image + 1]) + objective.kl_term(own)
        (right,) = torch.autograd.grad(surrogate.sum() / deviation, own)
        torch.testing.assert_close(found[image], right[0])


def test_a_vae_is_not_left_to_its_kl() -> None:
    """Reconstructions of 784 pixels, whose deviation is far above 1: the encoder's whole gradient, as training has it.

    Against enumeration, over the same 3 images; undivided, the KL would be ten times too heavy.
    """
    vae = VAE(blueprint(Architecture(2, 4, ()), ScoreFunction.latent_family(2, 4), 1, 784), [seeded(0)])
    images = (torch.rand(1, 3, 784, generator=seeded(5)) < torch.rand(1, 3, 1, generator=seeded(6))).float()
    draws, strategy, noise = 4_000, ScoreFunction(normalise=True, members=1), Noise([seeded(7)])
    with torch.no_grad():
        vae.decoder.layers[0].weight.mul_(10)
    encoder = list(vae.encoder.parameters())
    beta = torch.tensor([1.0])

    def gradient(loss: Tensor) -> Tensor:
        return torch.cat([each.flatten() for each in torch.autograd.grad(loss.mean(), encoder)])

    parameters = vae.encode(images)
    states = enumerate_states(2, 4)[:, None, None].expand(-1, 1, 3, -1, -1)
    objective = vae.objective(images, beta)
    expected = (log_prob(parameters, states).exp() * objective(states)).sum(0)
    exact = gradient(expected + beta * vae.kl(parameters))
    kl = gradient(beta * vae.kl(vae.encode(images)))

    for count in [100] * 30 + [draws]:
        parameters = vae.encode(images)
        estimate = vae.estimate([strategy], images.repeat(1, count, 1), parameters.repeat(1, count, 1, 1), beta, noise)
    found = gradient(estimate.loss.mean() + (beta * vae.kl(parameters)).mean())
    deviation = exact.norm() / found.norm()
    assert deviation > 5
    assert F.cosine_similarity(found, exact, 0) > 0.99
    undivided = found + (1 - 1 / deviation) * kl
    assert F.cosine_similarity(undivided, exact, 0) < 0.9, "the test would see the mistake"


@pytest.mark.parametrize("clip", [0.5, 0.1])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("code", ["probabilities", "sample"])
def test_a_clipped_target_shortens_the_kl_of_its_variable_alike(clip: float, geometry: Any, code: Any) -> None:
    """In every geometry a variable's whole gradient is that without clipping, only shorter."""
    if code == "sample" and geometry not in ("euclidean", "matching"):
        return

    def strategy(length: float) -> TargetPropagation:
        weights = [WEIGHT.clone()]
        return TargetPropagation(LayerwiseFeedback(weights), geometry, clip=length, code=code).double()

    decoder = Stack([Affine(WEIGHT)], torch.tanh)
    target = normal("target", 1, 6).sigmoid()
    objective = Objective(
        decode=lambda sample: sample.flatten(-2) @ WEIGHT,
        loss=lambda output: F.binary_cross_entropy_with_logits(output, target.expand_as(output), reduction="none").sum(
            -1
        ),
        curvature=lambda output: bernoulli_variance(torch.sigmoid(output)),
        model=Model(torch.sigmoid, target, encode=lambda observation: LOGITS, decoder=decoder),
        kl_term=kl_term,
    )
    gradients = []
    for length in (0.0, clip):
        at = LOGITS.clone().requires_grad_()
        loss = strategy(length).estimate(at, objective, Noise([seeded(3)])).loss + kl_term(at)
        gradients.append(torch.autograd.grad(loss.sum(), at)[0])
    plain, clipped = gradients
    cosine = F.cosine_similarity(plain, clipped, -1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))
    assert (clipped.norm(dim=-1) < 0.9 * plain.norm(dim=-1)).any()


def test_clipping_leaves_the_diagnosis_of_the_pull_alone() -> None:
    """``pull_cosine`` compares the reconstruction's pull with the reconstruction's gradient, not with the KL's."""
    family = TargetPropagation.latent_family(LATENTS, CATEGORIES)
    vae = VAE(blueprint(Architecture(LATENTS, CATEGORIES, (5,)), family, 1, 6), [seeded(0)])
    images = (torch.rand(1, 20, 6, generator=seeded(1)) < 0.5).float()
    found = []
    for clip in (0.0, 0.05):
        weights = [layer.weight for layer in vae.decoder.layers]
        strategy = TargetPropagation(LayerwiseFeedback(weights), "second-order", clip=clip)
        with torch.no_grad():
            diagnosis = strategy.diagnose(vae.encode(images), vae.objective(images, 50.0), Noise([seeded(2)]))
        found.append(float(diagnosis["pull_cosine"]))
    assert found[0] > 0.2
    assert found[1] == pytest.approx(found[0], abs=0.1)


@pytest.mark.parametrize(
    ("strategy", "options", "named"),
    [
        ("score-function", ScoreFunctionOptions(normalise=True), "normalise"),
        ("nvil", None, "normalise"),
        ("target-propagation", TargetPropagationOptions(clip=1.0), "clip"),
    ],
)
def test_a_classifier_with_labels_of_its_own_refuses_to_be_scaled_in_part(strategy, options, named) -> None:
    """The labelled images' loss has no sample, and would come to count sigma times as much."""
    with pytest.raises(InputError, match=f"{named} of {strategy} .* leave {named} off"):
        Config(strategy, options, Architecture(1, 10), task="semi-supervised")


def test_layers_that_pass_gradients_refuse_to_be_scaled_in_part() -> None:
    """Before a folder is made; the score function's kin pass none and may be normalised."""
    clipped = TargetPropagationOptions("mirror", geometry="second-order", clip=1.0)
    rates = {"learning_rate": Schedule(1e-3), "auxiliary_learning_rate": Schedule(1e-3)}
    with pytest.raises(InputError, match=r"clip of target-propagation .* 2 layers leave it off"):
        Config("target-propagation", clipped, Architecture(layers=2), **rates)
    for strategy in (name for name, kind in STRATEGIES.items() if "normalise" in options_of(kind)):
        Config(strategy, STRATEGIES[strategy].Options(normalise=True), Architecture(layers=2))


@pytest.mark.parametrize("strategy", ["gumbel-softmax", "reinmax", "score-function", "rloo", "local-expectation"])
def test_several_layers_are_other_runs_where_their_numbers_changed(strategy: str) -> None:
    before = {
        "gumbel-softmax": "92ffa1d2f359",
        "reinmax": "dcd37d7ad136",
        "score-function": "64622adbc315",
        "rloo": "1b8839e5a30f",
        "local-expectation": "392c47de19df",
    }
    identity = Config(strategy, architecture=Architecture(layers=2)).identity
    assert (identity == before[strategy]) == (strategy not in ("rloo", "local-expectation"))


@pytest.mark.parametrize("kind", [ScoreFunction, MuProp])
def test_a_divided_gradient_is_not_called_unbiased(kind) -> None:
    assert not kind(normalise=True).claim.unbiased
    assert kind().claim.unbiased


def test_a_weight_that_does_not_follow_the_run_is_the_run_that_it_was() -> None:
    """The minimum-variance estimator's default is another schedule; what was asked for by name is not."""
    options = STRATEGIES["minimum-variance"].Options
    assert Config("minimum-variance", options(Schedule(7.0))).identity == "af7cf2a0608e"
    assert Config("minimum-variance").identity != "252288878d52"


def test_a_changed_meaning_makes_another_run() -> None:
    """Runs from before normalisation divided the KL are not taken for runs of today, nor are others renamed."""
    plain, normalised = (
        Config("score-function", ScoreFunctionOptions(normalise=normalise)) for normalise in (False, True)
    )
    assert plain.identity == "053441347b70"
    assert normalised.identity != "bc0eba51e5fe"


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, False),
        ({"clip": 0.5}, True),
        ({"output_target": 0.5}, False),
        ({"output_target": 0.5, "inverse": "random"}, True),
        ({"inverse": "random"}, False),
    ],
    ids=str,
)
def test_targets_that_moved_make_another_run(options, changed, monkeypatch) -> None:
    """Clipping shortens the KL as well; of output targets on the way, only those of layerwise feedback moved."""
    today = Config("target-propagation", TargetPropagationOptions(**options)).identity
    monkeypatch.setattr(TargetPropagation, "revision", classmethod(lambda cls, options: 0))
    before = Config("target-propagation", TargetPropagationOptions(**options)).identity
    assert (today != before) == changed
