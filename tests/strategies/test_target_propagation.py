"""Target propagation against closed forms. J = diag(pi) - pi pi^T throughout, for each latent variable."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import sampled_gradients
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.strategies import Model, NetworkFactory, Objective, TargetPropagation
from discrete_vae.strategies.target_propagation import EncoderInverse, Inverse, LearnedInverse, TargetPropagationOptions
from discrete_vae.tasks import VAE, Architecture
from discrete_vae.tasks.base import Encoder
from tests.tiny_images import blueprint

BATCH, LATENTS, CATEGORIES, PIXELS = 4, 2, 3, 6
LOGITS = torch.randn(BATCH, LATENTS, CATEGORIES, generator=seeded(0), dtype=torch.float64)
OBSERVATION = torch.rand(BATCH, PIXELS, generator=seeded(1), dtype=torch.float64).round()
DECODER = torch.randn(LATENTS * CATEGORIES, PIXELS, generator=seeded(2), dtype=torch.float64)
OPTIONS = list(itertools.product(["probabilities", "sample"], ["mean", "sample"], ["encoder", "network"]))


class Map(nn.Module):
    """A nonlinear map from observations to logits."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        size = (PIXELS, LATENTS * CATEGORIES)
        self.weight = nn.Parameter(torch.randn(*size, generator=seeded(seed), dtype=torch.float64))

    def forward(self, observation: Tensor) -> Tensor:
        return 2 * torch.tanh(observation @ self.weight).unflatten(-1, (LATENTS, CATEGORIES))


ENCODER, INVERSE = Map(3), Map(4)


def networks(encoder) -> NetworkFactory:
    """For a strategy that is to ask for an encoder and nothing else."""
    return NetworkFactory(1, encoder, *[lambda: pytest.fail("wants no other network")] * 3)


def inverse_named(name: str) -> Inverse:
    return LearnedInverse(INVERSE) if name == "network" else EncoderInverse()


def decode(sample: Tensor) -> Tensor:
    return torch.sin(sample.flatten(-2) @ DECODER)


def objective(decode=decode, encode=ENCODER, predict=torch.sigmoid) -> Objective:
    model = Model(predict, OBSERVATION, encode)
    return Objective(decode, lambda output: Bernoulli().nll(output, OBSERVATION), model=model)


def gradient(strategy: TargetPropagation, problem: Objective, logits: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
    """The gradient in the logits, and the sample that it was drawn with."""
    logits = logits.detach().clone().requires_grad_()
    estimate = strategy.estimate(logits, problem, noise)
    return torch.autograd.grad(estimate.loss.sum(), logits)[0], estimate.sample


def times_jacobian(logits: Tensor, vector: Tensor) -> Tensor:
    pi = logits.softmax(-1)
    return torch.einsum("...ij,...j->...i", torch.diag_embed(pi) - pi.unsqueeze(-1) * pi.unsqueeze(-2), vector)


@pytest.mark.parametrize(("code", "feedback", "inverse"), OPTIONS)
def test_gradient_is_two_j_times_the_distance_to_the_target(code, feedback, inverse) -> None:
    strategy = TargetPropagation(inverse_named(inverse), code=code, feedback=feedback)
    result, sample = gradient(strategy, objective(), LOGITS, Noise([seeded(5)]))
    noise = Noise([seeded(5)])
    assert sample.argmax(-1).equal((LOGITS + noise.gumbel(LOGITS.shape, torch.float64)).argmax(-1))

    prediction = decode(sample).sigmoid()
    if feedback == "sample":
        prediction = (noise.uniform(prediction.shape) < prediction).double()
    y = LOGITS.softmax(-1) if code == "probabilities" else sample
    if inverse == "encoder":  # eq. 3.7 of the thesis
        target = 2 * y - ENCODER(prediction).softmax(-1)
    else:  # the difference correction of Lee et al.
        target = y - INVERSE(prediction).softmax(-1) + INVERSE(OBSERVATION).softmax(-1)
    torch.testing.assert_close(result, times_jacobian(LOGITS, 2 * (LOGITS.softmax(-1) - target)).detach())
    assert result.any()


def test_first_order_claim_of_the_thesis_rule_has_first_order() -> None:
    """Gradient = 2 J^2 delta + O(delta^2), delta = a' - a: halving delta halves the relative error."""
    direction = torch.randn(LOGITS.shape, generator=seeded(6), dtype=torch.float64)

    def error(size: float) -> float:
        moved = objective(encode=lambda observation: LOGITS + size * direction)
        result, _ = gradient(TargetPropagation(), moved, LOGITS, Noise([seeded(7)]))
        claim = 2 * times_jacobian(LOGITS, times_jacobian(LOGITS, size * direction))
        return ((result - claim).norm() / claim.norm()).item()

    errors = [error(0.1 / 2**k) for k in range(5)]
    orders = [math.log2(coarse / fine) for coarse, fine in itertools.pairwise(errors)]
    assert errors[0] < 0.1
    # Measured order 1; the next term of the series shifts it by about delta, 0.1 at the first and 0.01 at the last.
    assert orders[0] == pytest.approx(1, abs=0.1)
    assert orders[-1] == pytest.approx(1, abs=0.02)


class Chosen(Noise):
    """Gumbel numbers so large at one state that it is the sample, whatever the logits."""

    def __init__(self, states: Tensor) -> None:
        super().__init__()
        self.states = states

    def gumbel(self, shape, dtype=torch.float32) -> Tensor:
        return 1e3 * self.states.expand(shape)


def mean_gradient(problem: Objective) -> Tensor:
    """Exact expectation of the thesis rule's gradient over all states, each weighted with its probability."""
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64).unsqueeze(1)  # [K^N, 1, N, K]
    logits = LOGITS.expand(len(states), *LOGITS.shape)
    each, samples = gradient(TargetPropagation(), problem, logits, Chosen(states))
    assert samples.equal(states.expand_as(samples))
    return (log_prob(LOGITS, states).exp()[..., None, None] * each).sum(0)


def test_perfect_inverse_leaves_no_signal() -> None:
    """f(D(z)) = z: the mean target E[2 pi - z] is pi, whatever the observation. An imperfect inverse has a signal."""
    perfect = objective(
        decode=lambda sample: sample.flatten(-2) * 40 - 20,
        predict=lambda output: (output + 20) / 40,
        encode=lambda prediction: 1e3 * prediction.unflatten(-1, (LATENTS, CATEGORIES)),
    )
    assert mean_gradient(perfect).abs().max() < 1e-14
    assert mean_gradient(objective()).abs().max() > 0.01


def test_objective_is_a_black_box_to_the_logits() -> None:
    """The same gradient bit by bit where the decoder has none to give, and nothing but the pull where it has."""
    seen = objective()
    blind = objective(decode=lambda sample: decode(sample).detach())
    for code, feedback, inverse in OPTIONS:
        strategy = TargetPropagation(inverse_named(inverse), code=code, feedback=feedback)
        with_decoder, sample = gradient(strategy, seen, LOGITS, Noise([seeded(8)]))
        without, _ = gradient(strategy, blind, LOGITS, Noise([seeded(8)]))
        assert with_decoder.equal(without)
        assert not sample.requires_grad


def test_target_can_leave_the_simplex() -> None:
    """With K = 2 the gradient tells the target: g_0 = 4 pi_0 pi_1 (pi_0 - target_0), so target_0 can be read off."""
    logits = torch.tensor([[[-2.0, 2.0]]], dtype=torch.float64)
    sure = torch.tensor([[[20.0, -20.0]]], dtype=torch.float64)
    model = Model(torch.sigmoid, logits[..., 0], lambda _: sure)
    problem = Objective(lambda z: z.sum(-1), lambda output: output.sum(-1), model=model)
    result, _ = gradient(TargetPropagation(), problem, logits, Noise([seeded(9)]))
    pi = logits.softmax(-1).flatten()
    target = pi[0] - result.flatten()[0] / (4 * pi[0] * pi[1])
    torch.testing.assert_close(target, 2 * pi[0] - 1)
    assert target < -0.9


def test_auxiliary_loss_is_the_reconstruction_of_the_noisy_code() -> None:
    """||g(D(h + e)) - (h + e)||^2; without noise that of the sample itself, which needs no random number."""
    estimate = TargetPropagation(LearnedInverse(INVERSE), noise=0.0).estimate(LOGITS, objective(), Noise([seeded(10)]))
    error = INVERSE(decode(estimate.sample).sigmoid()).softmax(-1) - estimate.sample
    torch.testing.assert_close(estimate.strategy_loss, error.square().sum((-1, -2)).mean())

    noise = Noise([seeded(10)])
    noise.gumbel(LOGITS.shape, torch.float64)
    noisy = estimate.sample + 0.3 * noise.normal(LOGITS.shape, torch.float64)
    error = INVERSE(decode(noisy).sigmoid()).softmax(-1) - noisy
    estimate = TargetPropagation(LearnedInverse(INVERSE), noise=0.3).estimate(LOGITS, objective(), Noise([seeded(10)]))
    # The noise level is a float32 buffer: 0.3 is rounded at the eighth digit.
    torch.testing.assert_close(estimate.strategy_loss, error.square().sum((-1, -2)).mean(), rtol=1e-6, atol=0)


def test_learned_inverse_learns_to_invert_a_fixed_decoder() -> None:
    """300 steps on one VAE's decoder: the loss falls below a third, and most codes are recovered."""
    family, architecture = Categorical(LATENTS, CATEGORIES), Architecture(LATENTS, CATEGORIES, (16,))
    made = blueprint(architecture, family, 1, PIXELS)
    vae = VAE(made, [seeded(11)])
    vae.decoder.requires_grad_(False)
    with torch.no_grad():
        for layer in vae.decoder.layers:
            layer.weight *= 3  # predictions that tell the codes apart
    strategy = TargetPropagation.build(
        TargetPropagationOptions(inverse="network"),
        networks(
            lambda: Encoder(
                made.backbone.encoder(made.image, math.prod(family.parameter_shape), architecture, [seeded(12)]), family
            )
        ),
    )
    adam = torch.optim.Adam(strategy.parameters(), lr=1e-2)
    logits, observation, noise = (
        torch.zeros(1, 64, LATENTS, CATEGORIES),
        torch.zeros(1, 64, PIXELS),
        Noise([seeded(13)]),
    )
    losses = []
    for _ in range(300):
        adam.zero_grad()
        estimate = strategy.estimate(logits, vae.objective(observation), noise)
        estimate.strategy_loss.sum().backward()
        adam.step()
        losses.append(estimate.strategy_loss.item())
    assert sum(losses[-20:]) < sum(losses[:20]) / 3
    states = enumerate_states(LATENTS, CATEGORIES)
    recovered = strategy.inverse.network(vae.decode(states[None]).sigmoid())[0]
    assert (recovered.argmax(-1) == states.argmax(-1)).all(-1).float().mean() > 0.85


def test_objective_without_an_inside_is_refused() -> None:
    full = objective()
    without = {"predict and encode": None, "encode": replace(full.model, encode=None)}
    for missing, model in without.items():
        with pytest.raises(InputError, match=f"needs an objective with {missing}; give Objective") as caught:
            TargetPropagation().estimate(LOGITS, replace(full, model=model), Noise([seeded(0)]))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("inverse", ["encoder", "network"])
def test_without_an_observation_the_outputs_gradient_tells_the_target(inverse) -> None:
    """Of a Bernoulli likelihood that is the observation."""
    full = objective()
    gradients = []
    for given in (full, replace(full, model=replace(full.model, observation=None))):
        logits = ENCODER(OBSERVATION).detach().requires_grad_()
        loss = TargetPropagation(inverse_named(inverse)).estimate(logits, given, Noise([seeded(0)])).loss
        gradients.append(torch.autograd.grad(loss.sum(), logits)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0


@pytest.mark.parametrize("option", ["inverse", "code", "feedback", "geometry"])
def test_unknown_option_is_named_with_the_choices(option) -> None:
    with pytest.raises(InputError, match=f"unknown {option} 'guess'; choose from ") as caught:
        TargetPropagationOptions(**{option: "guess"})
    assert "\n" not in str(caught.value)


def test_build_takes_the_encoder_itself_or_a_network_of_its_shape() -> None:
    def build(**options) -> TargetPropagation:
        return TargetPropagation.build(TargetPropagationOptions(**options), networks(lambda: Map(0)))

    assert isinstance(build().inverse, EncoderInverse)
    built = build(inverse="network", code="sample")
    assert isinstance(built.inverse, LearnedInverse)
    assert isinstance(built.inverse.network, Map)
    assert (built.code, built.feedback) == ("sample", "mean")
    assert (TargetPropagation().claim.evaluations, built.claim.evaluations) == (1, 2)


@pytest.mark.parametrize("noise", [-0.1, math.nan, math.inf])
def test_bad_noise_level_is_refused(noise) -> None:
    with pytest.raises(InputError, match="noise is"):
        TargetPropagation(LearnedInverse(INVERSE), noise=noise)


@pytest.mark.parametrize("inverse", ["encoder", "network"])
def test_gradient_yardstick_takes_an_observation_without_leading_dimensions(inverse) -> None:
    """Draws ``[S, B, N, K]`` of observations ``[B, D]``, as every other strategy and part of an objective allows."""
    draws = sampled_gradients(TargetPropagation(inverse_named(inverse)), LOGITS, objective(), 5, Noise([seeded(0)]))
    assert draws.shape == (5, *LOGITS.shape)
