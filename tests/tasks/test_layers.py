"""Models with several stochastic layers, and structured prediction, against enumeration of all their states."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import gradient_error
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.strategies import (
    STRATEGIES,
    GumbelSoftmax,
    LocalExpectation,
    ReinMax,
    Rloo,
    ScoreFunction,
    Strategy,
    TargetPropagation,
    Vimco,
)
from discrete_vae.strategies.target_propagation.feedback import WeightMirror
from discrete_vae.tasks import TASKS, Architecture, Task
from tests.tiny_images import blueprint, described

PIXELS, BATCH, LATENTS, CATEGORIES = 8, 3, 2, 3
FAMILY = Categorical(LATENTS, CATEGORIES)
MODELS = [("vae", 1), ("vae", 2), ("vae", 3), ("structured-prediction", 1), ("structured-prediction", 2)]


def build(task: str, layers: int, members: int = 1) -> Task:
    """Identical members."""
    architecture = Architecture(LATENTS, CATEGORIES, (5,), layers=layers)
    return TASKS[task](blueprint(architecture, FAMILY, 2, PIXELS // 2), [seeded(1) for _ in range(members)])


def images(members: int = 1) -> Tensor:
    return torch.rand(1, BATCH, PIXELS, generator=seeded(2)).round().expand(members, -1, -1).contiguous()


def paths(model: Task, pixels: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For every path of states: its probability, its reconstruction and its log-ratio, ``[B]`` each; by hand."""
    states = enumerate_states(LATENTS, CATEGORIES)
    layers = model.architecture.layers
    for path in itertools.product(states, repeat=layers):
        codes = [state.expand(1, BATCH, -1, -1) for state in path]
        logits = model.encode(pixels)
        probability = torch.zeros(1, BATCH)
        ratio = torch.zeros(1, BATCH)
        for depth, code in enumerate(codes):
            if depth:
                network = (model.up if model.posterior else model.between)[depth - 1]  # type: ignore[index,union-attr]
                logits = network(codes[depth - 1].flatten(-2)).unflatten(-1, (LATENTS, CATEGORIES))
            probability = probability + log_prob(logits, code)
        if model.posterior:
            for depth, code in enumerate(codes[:-1]):
                prior = model.down[depth](codes[depth + 1].flatten(-2))  # type: ignore[index]
                ratio = ratio + log_prob(prior.unflatten(-1, (LATENTS, CATEGORIES)), code)
            ratio = ratio - LATENTS * math.log(CATEGORIES) - probability
            output, target = model.decode(codes[0]), pixels
        else:
            output, target = model.decode(codes[-1]), pixels[..., model.seen.size :]
        yield probability.exp()[0], -Bernoulli().nll(output, target)[0], ratio[0]


def exact(model: Task, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """ELBO (or its like without a posterior) and log-likelihood of each image."""
    found = [torch.stack(each) for each in zip(*paths(model, pixels), strict=True)]
    probability, reconstruction, ratio = found
    elbo = (probability * (reconstruction + ratio)).sum(0)
    return elbo, (probability * (reconstruction + ratio).exp()).sum(0).log()


@pytest.mark.parametrize(("task", "layers"), MODELS)
def test_weights_are_unbiased_for_elbo_and_likelihood(task: str, layers: int) -> None:
    """20,000 samples an image; 5 standard errors in 6 numbers fail by chance with probability 3e-6."""
    model, pixels = build(task, layers), images()
    with torch.no_grad():
        elbo, likelihood = exact(model, pixels)
        logits = model.encode(pixels)
        parts = model.log_weights(pixels, logits, Noise([seeded(3)]), 20_000)
    log_weight = sum(parts)[0].double()  # type: ignore[index]
    for values, expected in ((log_weight, elbo), (log_weight.exp(), likelihood.exp())):
        error = values.std(0) / math.sqrt(len(values))
        assert ((values.mean(0) - expected).abs() < 5 * error).all()


@pytest.mark.parametrize(("task", "layers"), MODELS)
def test_what_is_known_exactly(task: str, layers: int) -> None:
    """A KL through several layers is sampled; a task without a posterior has none."""
    assert build(task, layers).exact == (layers == 1 or task == "structured-prediction")


@pytest.mark.parametrize("layers", [1, 2, 3])
@torch.no_grad()
def test_prior_samples_come_down_through_all_layers(layers: int) -> None:
    """The nearest layer's states as often as by summing over those above; 5 standard errors in 9 shares."""
    model, count = build("vae", layers), 50_000
    for network in model.down:  # type: ignore[union-attr]
        network.layers[0].weight *= 4  # far from uniform
    states = enumerate_states(LATENTS, CATEGORIES)
    expected = torch.full((1, len(states)), 1 / len(states))
    for network in reversed(model.down):  # type: ignore[arg-type]
        given = network(states.flatten(-2).unsqueeze(0))[0].unflatten(-1, (LATENTS, CATEGORIES))
        expected = expected @ log_prob(given.unsqueeze(1), states.unsqueeze(0)).exp()
    drawn = model.prior_sample(count, Noise([seeded(4)]))
    assert drawn.shape == (1, count, LATENTS, CATEGORIES)
    shares = (drawn[0].unsqueeze(1) == states).all(-1).all(-1).float().mean(0)
    error = (expected * (1 - expected) / count).sqrt()[0]
    assert ((shares - expected[0]).abs() < 5 * error).all()
    assert layers == 1 or expected.std() > 0.02


@pytest.mark.parametrize("layers", [1, 2])
def test_drawn_images_are_the_means_of_their_pixels(layers: int) -> None:
    model = build("vae", layers)
    means = model.decode(model.prior_sample(20, Noise([seeded(5)]))).sigmoid()
    assert model.draw(20, Noise([seeded(5)])).equal(means)


@pytest.mark.parametrize(("task", "layers"), MODELS)
def test_networks_of_strategies_start_from_streams_of_their_own(task: str, layers: int) -> None:
    asked: list[str] = []

    def generators(stream: str) -> list[torch.Generator]:
        asked.append(stream)
        return [seeded(0, stream)]

    model = build(task, layers)
    for layer in range(layers):
        networks = model.networks(layer, generators)
        for network in (networks.encoder, networks.decoder, networks.baseline, networks.critic):
            network()
    assert len(set(asked)) == len(asked) == 4 * layers
    assert "weights" not in asked, "the model's own"


@pytest.mark.parametrize("task", ["vae", "structured-prediction"])
def test_a_baseline_behind_sends_no_gradient_to_the_sample_before(task: str) -> None:
    sample = torch.rand(1, BATCH, LATENTS, CATEGORIES, generator=seeded(6)).softmax(-1).requires_grad_()
    context = build(task, 2).layers(images())[0].objective(sample).context
    assert context is not None
    assert not context.requires_grad
    assert task != "vae" or context.equal(sample.detach().flatten(-2))


def test_structured_prediction_has_no_prior() -> None:
    with pytest.raises(InputError, match="no prior"):
        build("structured-prediction", 2).prior_sample(1, Noise([seeded(0)]))


@pytest.mark.parametrize(("task", "layers"), MODELS)
@pytest.mark.parametrize("kind", [ScoreFunction, Rloo, LocalExpectation])
def test_unbiased_estimates_stay_so(task: str, layers: int, kind: type[Strategy]) -> None:
    """Of all of the model's parameters, by 4,000 members; at most 5.5 errors in 200 elements: chance 8e-6."""
    if layers == 3:
        pytest.skip("27 times 27 paths say no more than 9 times 9")
    members = 4000
    alone, model = build(task, layers), build(task, layers, members)
    elbo, _ = exact(alone, images())
    names = dict(alone.named_parameters())
    truth = torch.autograd.grad(-elbo.mean(), list(names.values()))
    pixels, beta = images(members), torch.ones(members)
    logits = model.encode(pixels)
    noise = Noise([seeded(seed, "draw") for seed in range(members)])
    estimate = model.estimate([kind() for _ in range(layers)], pixels, logits, beta, noise)
    loss = estimate.loss.mean(-1) + model.kl(logits).mean(-1)
    sampled = torch.autograd.grad(loss.sum(), list(model.parameters()))
    for name, expected, found in zip(names, truth, sampled, strict=True):
        error = gradient_error(found.flatten(1).double(), expected.flatten().double())
        assert error.z_score < 5.5, name


def test_a_bound_of_several_samples_lies_between_elbo_and_likelihood() -> None:
    """4,000 draws of an upper layer's bound; each side is several standard errors away."""
    members = 4000
    alone, model = build("vae", 2), build("vae", 2, members)
    for each in (alone, model):  # an upper layer whose KL would tell if it were counted twice
        each.up[0].layers[0].weight.data *= 4  # type: ignore[index,union-attr,operator]
    with torch.no_grad():
        elbo, likelihood = (float(each.mean()) for each in exact(alone, images()))
    logits, noise = model.encode(images(members)), Noise([seeded(seed, "draw") for seed in range(members)])
    estimate = model.estimate([ScoreFunction(), Vimco()], images(members), logits, torch.ones(members), noise)
    loss = (estimate.loss + model.kl(logits)).mean(-1)
    error = float(loss.std()) / math.sqrt(members)
    assert -likelihood + 3 * error < float(loss.mean()) < -elbo - 3 * error


@pytest.mark.parametrize(("task", "layers"), MODELS)
def test_an_exact_mirror_is_reinmax_through_all_layers(task: str, layers: int) -> None:
    model, pixels = build(task, layers), images()

    def gradients(strategies: list[Strategy]) -> list[Tensor]:
        logits = model.encode(pixels)
        estimate = model.estimate(strategies, pixels, logits, torch.ones(1), Noise([seeded(5)]))
        return list(torch.autograd.grad(estimate.loss.sum(), list(model.parameters()), materialize_grads=True))

    objectives = [
        objective for _, objective in model.sample_layers(pixels, model.encode(pixels), 1.0, Noise([seeded(5)]))
    ]
    mirrors = [
        TargetPropagation(
            WeightMirror([layer.weight for layer in objective.model.decoder.layers]),  # type: ignore[union-attr,misc]
            "second-order",
        )
        for objective in objectives
    ]
    expected = gradients([ReinMax() for _ in objectives])
    for found, other in zip(gradients(mirrors), expected, strict=True):  # type: ignore[arg-type]
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-5)


def test_the_thesis_rule_says_where_it_does_not_apply() -> None:
    for task, layers, reason in (("vae", 2, "several layers"), ("structured-prediction", 1, "encode")):
        model, pixels = build(task, layers), images()
        strategies = [TargetPropagation() for _ in range(layers)]
        with pytest.raises(InputError, match=reason):
            model.estimate(strategies, pixels, model.encode(pixels), torch.ones(1), Noise([seeded(0)]))


def test_layer_local_training_is_for_one_stochastic_layer() -> None:
    with pytest.raises(InputError, match="layers is 2"):
        build("vae", 2).cut()


def test_structured_prediction_sees_the_upper_half_alone() -> None:
    model, pixels = build("structured-prediction", 2), images()
    other = torch.cat([pixels[..., : PIXELS // 2], 1 - pixels[..., PIXELS // 2 :]], -1)
    assert model.encode(pixels).equal(model.encode(other))
    sample = FAMILY.sample(model.encode(pixels), Noise([seeded(0)])).squeeze(1)
    last = model.sample_layers(pixels, model.encode(pixels), 1.0, Noise([seeded(0)]))[-1][1]
    assert last(sample).shape == (1, BATCH)
    assert not last(sample).equal(
        model.sample_layers(other, model.encode(other), 1.0, Noise([seeded(0)]))[-1][1](sample)
    )


def test_relaxed_samples_go_through_all_layers() -> None:
    model, pixels = build("structured-prediction", 2), images()
    logits = model.encode(pixels)
    estimate = model.estimate([GumbelSoftmax(0.5), GumbelSoftmax(0.5)], pixels, logits, 1.0, Noise([seeded(0)]))
    for parameter in torch.autograd.grad(estimate.loss.sum(), list(model.parameters())):
        assert parameter.abs().sum() > 0


CATEGORICAL = [name for name, strategy in STRATEGIES.items() if strategy.latent_family is Categorical]


@pytest.mark.parametrize(("task", "layers"), [("vae", 2), ("structured-prediction", 2)])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_every_strategy_goes_through_layers_as_a_population(task: str, layers: int, name: str) -> None:
    """Each parameter of the model, and each learned one of the strategies, gets a gradient; a member's is its own."""
    options = STRATEGIES[name].Options()
    if name == "target-propagation":
        options = STRATEGIES[name].Options("l-drl", geometry="second-order")
    architecture = Architecture(LATENTS, STRATEGIES[name].categories or CATEGORIES, (5,), layers=layers)
    configs = [
        Config(name, options, architecture, described(2, PIXELS // 2), task=task, seed=seed) for seed in range(3)
    ]

    def gradients(members: list[Config]) -> list[Tensor]:
        population = Population.build(members, torch.device("cpu"))
        pixels, noise = images(len(members)), Noise([seeded(each.seed, "draw") for each in members])
        population.follow(population.schedules(0, 1, 10)[0])
        logits = population.model.encode(pixels)
        estimate = population.model.estimate(
            population.layer_strategies, pixels, logits, torch.ones(len(members)), noise
        )
        loss = estimate.loss.mean(-1) + population.model.kl(logits).mean(-1) + estimate.strategy_loss
        assert loss.isfinite().all()
        parameters = [*population.model.parameters(), *population.strategies.parameters()]
        return list(torch.autograd.grad(loss.sum(), parameters, materialize_grads=True))

    together = gradients(configs)
    for found, alone in zip(together, gradients(configs[1:2]), strict=True):
        torch.testing.assert_close(found[1:2], alone, rtol=1e-3, atol=1e-5)
    assert all(bool(found.any()) for found in together)


def test_bad_tasks_are_refused() -> None:
    with pytest.raises(InputError, match="task"):
        Config(task="vaes")
    for fields in ({"task": "structured-prediction"}, {"architecture": Architecture(layers=2)}):
        with pytest.raises(InputError, match="no categorical latents"):
            Config("gaussian-reparameterisation", **fields)
    with pytest.raises(InputError, match="layers is 0"):
        Architecture(layers=0)
