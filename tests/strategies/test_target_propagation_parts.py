"""The parts of target propagation: geometries against their closed forms, feedback against what it shall learn."""

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from discrete_vae.backbones.mlp import MLP
from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split, load
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical, enumerate_states, jacobian_product, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import (
    STRATEGIES,
    Model,
    NetworkFactory,
    Objective,
    ReinMax,
    TargetPropagation,
)
from discrete_vae.strategies.base import Strategy
from discrete_vae.strategies.target_propagation import (
    GEOMETRIES,
    DifferenceReconstruction,
    EncoderInverse,
    LayerwiseFeedback,
    LocalDifferenceReconstruction,
    TargetPropagationOptions,
    WeightMirror,
)
from discrete_vae.strategies.target_propagation.feedback import carry
from discrete_vae.strategies.target_propagation.geometries import Difference, LatentState
from discrete_vae.strategies.target_propagation.inverses import Activations, DecodePass, NoiseScales
from discrete_vae.strategies.target_propagation.local import local_losses
from discrete_vae.tasks import VAE, Architecture
from discrete_vae.training.step import Trainer
from tests.tiny_images import blueprint

BATCH, LATENTS, CATEGORIES, HIDDEN, PIXELS = 4, 2, 3, 7, 12
LOGITS = torch.randn(BATCH, LATENTS, CATEGORIES, generator=seeded(0), dtype=torch.float64)
SAMPLE = torch.eye(CATEGORIES, dtype=torch.float64)[torch.randint(CATEGORIES, (BATCH, LATENTS), generator=seeded(1))]
DIRECTION = torch.randn(LOGITS.shape, generator=seeded(2), dtype=torch.float64)
ONE = torch.tensor(1.0, dtype=torch.float64)
ON_THE_SIMPLEX = ["log-ratio", "aitchison", "fisher-rao", "gauss-newton"]


def at(logits: Tensor = LOGITS, step: float = 1.0) -> LatentState:
    return LatentState(logits, logits.softmax(-1), logits.softmax(-1), SAMPLE.expand_as(logits), step * ONE, ONE)


def between(aim: Tensor, image: Tensor) -> Difference:
    """The difference of two codes, by their logits."""
    return Difference(aim.softmax(-1), image.softmax(-1), aim - image)


def j(vector: Tensor, probabilities: Tensor | None = None) -> Tensor:
    pi = LOGITS.softmax(-1) if probabilities is None else probabilities
    return torch.einsum("...ij,...j->...i", torch.diag_embed(pi) - pi.unsqueeze(-1) * pi.unsqueeze(-2), vector)


FIRST_ORDER: dict[str, Callable[[Tensor], Tensor]] = {
    "euclidean": lambda delta: 2 * j(j(delta)),
    "matching": j,
    "log-ratio": j,
    "aitchison": lambda delta: 2 * (delta - delta.mean(-1, keepdim=True)),
    "fisher-rao": j,
    "gauss-newton": j,  # of a decoder without curvature
    "second-order": lambda delta: 2 * j(delta, (LOGITS.softmax(-1) + SAMPLE) / 2) - j(delta) / 2,
}
"""Gradient in the logits for small ``delta = a' - a``, the logits of the prediction's code less the code's own."""


@pytest.mark.parametrize("name", GEOMETRIES)
def test_first_order_claims(name) -> None:
    """Relative error of size delta: it halves with delta (measured order 1), or is that of rounding throughout."""

    def error(size: float) -> float:
        delta = size * DIRECTION
        pull = GEOMETRIES[name](at(), between(LOGITS, LOGITS + delta))[1]
        claim = FIRST_ORDER[name](delta)
        return ((pull - claim).norm() / claim.norm()).item()

    errors = [error(0.1 / 2**k) for k in range(6)]
    if max(errors) < 1e-12:
        assert name in ("aitchison", "second-order", "gauss-newton")  # linear in delta
        return
    assert errors[0] < 0.15
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(1, abs=0.02)


def fisher_rao_distance(first: Tensor, second: Tensor) -> Tensor:
    return 2 * (first.sqrt() * second.sqrt()).sum(-1).clamp(max=1 - 1e-15).arccos()


def centred_log_ratio(probabilities: Tensor) -> Tensor:
    return probabilities.log() - probabilities.log().mean(-1, keepdim=True)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "euclidean": lambda pi, target: (pi - target).square().sum(),
    "log-ratio": lambda pi, target: (target * (target.log() - pi.log())).sum(),
    "aitchison": lambda pi, target: (centred_log_ratio(pi) - centred_log_ratio(target)).square().sum(),
    "fisher-rao": lambda pi, target: fisher_rao_distance(pi, target).square().sum() / 2,
}


@pytest.mark.parametrize("name", LOSSES)
def test_pull_is_the_gradient_of_the_loss_to_the_target(name) -> None:
    target, pull = GEOMETRIES[name](at(), between(LOGITS, LOGITS + 0.5 * DIRECTION))
    logits = LOGITS.clone().requires_grad_()
    (expected,) = torch.autograd.grad(LOSSES[name](logits.softmax(-1), target.detach()), logits)
    torch.testing.assert_close(pull, expected, rtol=1e-6, atol=1e-8)


def test_log_ratio_target_is_the_exponentiated_one() -> None:
    """With the encoder as inverse and a whole step: softmax(2 a - a')."""
    target = GEOMETRIES["log-ratio"](at(), between(LOGITS, LOGITS + DIRECTION))[0]
    torch.testing.assert_close(target, (LOGITS - DIRECTION).softmax(-1))


@pytest.mark.parametrize("size", [0.1, 3.0, 1e3])
@pytest.mark.parametrize("name", ON_THE_SIMPLEX)
def test_targets_stay_on_the_simplex(name, size) -> None:
    """However far the difference points, also from the edge, where a probability is 0 in float32."""
    sure = torch.tensor([80.0, -80.0, 0.0]).expand(BATCH, LATENTS, CATEGORIES)
    for logits in (LOGITS.float(), sure):
        for image in (logits, torch.zeros_like(logits), sure.flip(-1)):
            target, pull = GEOMETRIES[name](at(logits), between(image + size * DIRECTION.float(), image))
            assert (target >= 0).all()
            torch.testing.assert_close(target.sum(-1), torch.ones_like(target[..., 0]))
            assert pull.isfinite().all()


@pytest.mark.parametrize("name", sorted(set(GEOMETRIES) - set(ON_THE_SIMPLEX)))
def test_the_other_targets_can_leave_it(name) -> None:
    target, _ = GEOMETRIES[name](at(), between(LOGITS + 5 * DIRECTION, LOGITS - 5 * DIRECTION))
    torch.testing.assert_close(target.sum(-1), torch.ones_like(target[..., 0]))
    assert (target < -0.1).any()


def test_second_order_target_goes_where_the_signal_points() -> None:
    """From pi by ``2 J(q) delta - J delta / 2``, where delta is how the code's logits should change."""
    signal = DIRECTION - DIRECTION.mean(-1, keepdim=True)
    target, pull = GEOMETRIES["second-order"](at(), between(LOGITS + signal, LOGITS))
    step = FIRST_ORDER["second-order"](signal)
    torch.testing.assert_close(target, LOGITS.softmax(-1) + step)
    torch.testing.assert_close(pull, -step)


def test_fisher_rao_goes_the_distance_of_the_difference() -> None:
    """Wherever the difference was taken; and from pi itself exactly to the aim."""
    aim = (LOGITS + DIRECTION).softmax(-1)
    target = GEOMETRIES["fisher-rao"](at(), between(LOGITS + DIRECTION, LOGITS))[0]
    torch.testing.assert_close(target, aim)
    image = LOGITS + 0.3 * DIRECTION.flip(-1)
    for step in (0.3, 1.0):
        length = fisher_rao_distance(image.softmax(-1), (image + 0.3 * step * DIRECTION).softmax(-1))
        target = GEOMETRIES["fisher-rao"](at(step=step), between(image + 0.3 * DIRECTION, image))[0]
        torch.testing.assert_close(fisher_rao_distance(LOGITS.softmax(-1), target), length)


def test_fisher_rao_moves_what_can_move_where_something_cannot() -> None:
    """A category of probability nearly 0 that is pushed down does not keep the others from moving."""
    logits = torch.tensor([[[-30.0, 0.0, 0.5]]], dtype=torch.float64)
    push = torch.tensor([[[-3.0, -1.0, 1.0]]], dtype=torch.float64)
    point = LatentState(logits, logits.softmax(-1), logits.softmax(-1), logits, ONE, ONE)
    target = GEOMETRIES["fisher-rao"](point, between(push, torch.zeros_like(push)))[0]
    moved = target - point.probabilities
    assert moved[0, 0, 1] < -0.2
    assert moved[0, 0, 2] > 0.2


@pytest.mark.parametrize("name", GEOMETRIES)
def test_no_difference_no_pull(name) -> None:
    """At the target already; only the second-order rule and Aitchison's do not look at where that is."""
    _, pull = GEOMETRIES[name](at(), between(LOGITS, LOGITS))
    assert pull.abs().max() < 1e-15


def mean_pull(objective: Callable[[Tensor], Tensor], name: str) -> Tensor:
    """Exact mean over the states of one variable of the pull along the true gradient at the sample."""
    logits = torch.tensor([[0.3, -0.5, 1.0]], dtype=torch.float64)
    total = torch.zeros_like(logits)
    for state in enumerate_states(1, 3, torch.float64):
        sample = state.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(sample), sample)
        probabilities = logits.softmax(-1)
        point = LatentState(logits, probabilities, probabilities, state, ONE, ONE)
        pull = GEOMETRIES[name](point, Difference(probabilities - gradient, probabilities, -gradient))[1]
        total += log_prob(logits, state).exp() * pull
    return total


def exact(objective: Callable[[Tensor], Tensor]) -> Tensor:
    logits = torch.tensor([[0.3, -0.5, 1.0]], dtype=torch.float64, requires_grad=True)
    value = sum(log_prob(logits, state).exp() * objective(state) for state in enumerate_states(1, 3, torch.float64))
    return torch.autograd.grad(value, logits)[0]  # type: ignore[arg-type]


def test_second_order_rule_is_exact_for_a_quadratic_and_second_order_beyond() -> None:
    """f(epsilon z): the relative error of the mean pull falls with epsilon^2, with the first-order rule epsilon."""
    matrix = torch.randn(3, 3, generator=seeded(3), dtype=torch.float64)

    def quadratic(z: Tensor) -> Tensor:
        return (z @ matrix @ z.mT).sum() + (z @ matrix[0]).sum()

    torch.testing.assert_close(mean_pull(quadratic, "second-order"), exact(quadratic))
    assert not torch.allclose(mean_pull(quadratic, "euclidean") / 2, exact(quadratic), rtol=0.1)

    def order(name: str, factor: float) -> float:
        errors = []
        for epsilon in (0.02, 0.01):

            def smooth(z: Tensor, epsilon: float = epsilon) -> Tensor:
                return torch.sin(epsilon * z @ matrix + 1).sum()

            errors.append(((factor * mean_pull(smooth, name) - exact(smooth)).norm() / exact(smooth).norm()).item())
        return math.log2(errors[0] / errors[1])

    assert order("second-order", 1.0) == pytest.approx(2, abs=0.1)
    assert order("euclidean", 0.5) == pytest.approx(1, abs=0.1)


# Layerwise feedback


def decoder(seed: int = 4, scale: float = 2.0) -> MLP:
    network = MLP((LATENTS * CATEGORIES, HIDDEN, PIXELS), "softplus", [seeded(seed)]).double()
    for layer in network.layers:
        layer.weight.data *= scale
    return network


def drawn(seed: int) -> list[Tensor]:
    """Feedback weights that have nothing to do with the decoder's."""
    return [layer.weight for layer in decoder(seed).layers]


def decoded(network: MLP, batch: int = 50) -> DecodePass:
    """A batch of codes and what becomes of them."""
    codes = enumerate_states(LATENTS, CATEGORIES, torch.float64)
    sample = codes[torch.randint(len(codes), (1, batch), generator=seeded(5))]
    observation = torch.rand(1, batch, PIXELS, generator=seeded(6), dtype=torch.float64).round()
    model = Model(torch.sigmoid, observation, decoder=network)
    objective = Objective(lambda z: network(z.flatten(-2)), lambda out: Bernoulli().nll(out, observation), model=model)
    taken, given = network.trace(sample.flatten(-2))
    flow = Activations(network, list(network.layers), taken, given)
    error = (observation - given[-1].sigmoid()).detach()
    return DecodePass(objective, model, sample * 0, sample * 0 + 1 / CATEGORIES, sample, error=error, flow=flow)


def learned(inverse: LayerwiseFeedback, work: DecodePass, steps: int, output_noise: float = 0.1) -> LayerwiseFeedback:
    adam = torch.optim.Adam(inverse.parameters(), lr=0.03)
    rate = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / steps)
    levels = NoiseScales(Noise([seeded(7)]), 0.1 * ONE, output_noise * ONE)
    for _ in range(steps):
        adam.zero_grad()
        inverse.loss(work, inverse.difference(work), levels).sum().backward()
        adam.step()
        rate.step()
    return inverse


def steepest(work: DecodePass) -> Tensor:
    """Along the simplex."""
    sample = work.sample.clone().requires_grad_()
    gradient = torch.autograd.grad(work.objective(sample).sum(), sample)[0]
    return gradient.mean(-1, keepdim=True) - gradient


def cosine(first: Tensor, second: Tensor) -> float:
    return torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0).item()


def test_l_drl_learns_the_transposed_jacobian() -> None:
    network, inverse = decoder(), LocalDifferenceReconstruction(drawn(8))
    work = decoded(network)
    assert abs(cosine(inverse.difference(work).logit_difference, steepest(work))) < 0.6
    learned(inverse, work, 1500)
    assert cosine(inverse.difference(work).logit_difference, steepest(work)) > 0.995
    for own, layer in zip(inverse.weights("decoder"), network.layers, strict=True):
        assert ((own - layer.weight).norm() / layer.weight.norm()).item() < 0.1


def test_drl_learns_to_carry_back_what_was_pushed() -> None:
    """With little noise to damp it: an inverse of the last layer, and nearly one of the whole, Gauss-Newton's.

    The slopes are the same on the way up and down, so that one set of weights inverts for images of like slopes only.
    """
    network, inverse = decoder(scale=0.5), DifferenceReconstruction(drawn(8))
    work = decoded(network)
    learned(inverse, work, 3000, output_noise=1e-3)
    assert work.flow is not None
    weights, top = inverse.weights("decoder"), network.layers[-1].weight
    torch.testing.assert_close(top @ weights[-1].mT, torch.eye(HIDDEN, dtype=torch.float64)[None], rtol=0, atol=0.02)
    push = 1e-4 * torch.randn(work.flow.inputs[0].shape, generator=seeded(9), dtype=torch.float64)
    response = network(work.flow.inputs[0] + push) - work.flow.outputs[-1]
    back = carry(work.flow.layers, weights, work.flow.slopes(), response)[1]
    assert ((back - push).norm() / push.norm()).item() < 0.3
    assert cosine(inverse.difference(work).logit_difference, steepest(work)) < 0.9  # which backpropagation's is not


def test_mirror_becomes_its_layers_weights_and_nothing_else() -> None:
    network, inverse = decoder(), WeightMirror(drawn(8))
    work = decoded(network)
    levels = NoiseScales(Noise([seeded(7)]), ONE, ONE)
    errors = []
    for _ in range(60):
        loss = inverse.loss(work, inverse.difference(work), levels)
        pairs = zip(inverse.weights("decoder"), network.layers, strict=True)
        errors.append(max((own - layer.weight).abs().max().item() for own, layer in pairs))
        assert loss.eq(0).all()
    # Each step takes away about 20 / (20 + 7) of the squared error.
    assert errors[-1] < 1e-7 < 1e-2 < errors[0]
    torch.testing.assert_close(inverse.difference(work).logit_difference, steepest(work))


def test_mirror_takes_its_layers_steps() -> None:
    """Its loss has the gradient of the layer's own weights, from what the layer itself has below and above it."""
    network = decoder()
    work = decoded(network)
    inverse = WeightMirror([layer.weight for layer in network.layers])
    inverse.loss(work, inverse.difference(work), NoiseScales(Noise([seeded(7)]), ONE, ONE)).sum().backward()
    work.objective(work.sample).mean(-1).sum().backward()
    for own, layer in zip(inverse.weights("decoder"), network.layers, strict=True):
        torch.testing.assert_close(own.grad, layer.weight.grad)


def test_feedback_without_members_learns_from_the_mean_of_its_rows() -> None:
    """Six images, once in one row and once in three rows of two: a mirror takes the same step."""
    network = decoder()
    work = decoded(network, 6)
    assert work.flow is not None
    steps = []
    for rows in (1, 3):
        mirror = WeightMirror([weight[0] for weight in drawn(8)])
        signals = mirror.difference(work).layers
        taken, given, signals = (
            [each.reshape(rows, 1, -1, each.shape[-1]) for each in some]
            for some in (work.flow.inputs, work.flow.outputs, signals)
        )
        flow = Activations(network, list(network.layers), taken, given)
        total = mirror.learn(mirror.weights("decoder"), flow, signals, NoiseScales(Noise([seeded(9)]), ONE, ONE))
        assert total.shape == (rows, 1)
        steps.append(torch.autograd.grad(total.mean(), list(mirror.parameters())))
    for one, three in zip(*steps, strict=True):
        torch.testing.assert_close(one, three)


def test_random_feedback_has_nothing_to_learn() -> None:
    inverse = LayerwiseFeedback(drawn(8))
    assert list(inverse.parameters()) == []
    assert set(inverse.state_dict()) == {"decoder0", "decoder1"}
    work = decoded(decoder())
    assert inverse.loss(work, inverse.difference(work), NoiseScales(Noise(), ONE, ONE)).eq(0).all()


def test_signal_is_a_share_of_itself_where_the_output_target_is_on_the_way() -> None:
    work = decoded(decoder())
    inverse = WeightMirror(drawn(8))
    whole = inverse.difference(work).logit_difference
    near = replace(work, share=0.25)
    torch.testing.assert_close(inverse.difference(near).logit_difference, whole / 4)


# The strategy on a real VAE


def vae(local: bool = False) -> tuple[VAE, Tensor]:
    model = VAE(blueprint(Architecture(3, 4, (9, 8)), Categorical(3, 4), 1, PIXELS), [seeded(10), seeded(11)])
    if local:
        model.cut()
    return model, torch.rand(2, 6, PIXELS, generator=seeded(12)).round()


def exact_mirror(model: VAE, local: bool = False, **options) -> TargetPropagation:
    above = [layer.weight for layer in model.encoder.network.layers][1:]
    mirror = WeightMirror([layer.weight for layer in model.decoder.layers], above if local else [])
    return TargetPropagation(mirror, "second-order", local=local, **options)


def noise() -> Noise:
    return Noise([seeded(13), seeded(14)])


def gradients(model: VAE, strategy: Strategy, observation: Tensor, beta: float = 0.7) -> list[Tensor]:
    logits = model.encode(observation)
    weight = torch.full((2,), beta)
    estimate = strategy.estimate(logits, model.objective(observation, weight), noise())
    loss = estimate.loss.mean(-1) + weight * model.kl(logits).mean(-1)
    return list(torch.autograd.grad(loss.sum(), list(model.parameters())))


def test_second_order_target_propagation_by_an_exact_mirror_is_reinmax() -> None:
    model, observation = vae()
    expected = gradients(model, ReinMax(1.3), observation)
    got = gradients(model, exact_mirror(model, temperature=1.3), observation)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_layer_local_training_by_an_exact_mirror_is_backpropagation() -> None:
    """Two hidden layers on each side, so that a signal passes a layer that is neither first nor last."""
    expected = gradients(vae()[0], ReinMax(), vae()[1])
    model, observation = vae(local=True)
    got = gradients(model, exact_mirror(model, local=True), observation)
    for one, other in zip(got, expected, strict=True):
        assert one.any()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def touched(loss: Tensor, model: VAE) -> set[str]:
    """The layers whose parameters the graph of a loss reaches."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss.sum(), parameters, retain_graph=True, allow_unused=True)
    return {name.rpartition(".")[0] for name, gradient in zip(names, found, strict=True) if gradient is not None}


def test_no_gradient_crosses_a_layer() -> None:
    """The graph of each layer's loss reaches that layer's parameters only, and every layer has one."""
    model, observation = vae(local=True)
    strategy = exact_mirror(model, local=True)
    logits = model.encode(observation)
    objective = model.objective(observation, torch.ones(2))
    decoded, loss = strategy.decode(logits, objective, noise())
    difference, _, pull = strategy.pull(decoded)
    hidden, strategy_loss = local_losses(strategy.inverse, decoded, difference, pull, NoiseScales(noise(), ONE, ONE))
    losses = [*hidden, loss, (logits * pull).sum(), model.kl(logits)]
    layers = {f"encoder.network.layers.{i}" for i in range(3)} | {f"decoder.layers.{i}" for i in range(3)}
    assert [len(touched(loss, model)) for loss in losses] == [1] * len(losses)
    assert set().union(*(touched(loss, model) for loss in losses)) == layers
    assert touched(strategy_loss, model) == set()
    whole = strategy.estimate(logits, objective, noise())
    assert touched(whole.loss, model) == layers
    # Without the cut, the last layer's loss reaches every layer below it.
    free, _ = vae()
    assert len(touched(free.objective(observation).loss(free.decode(decoded.sample)), free)) == 3


def test_clipped_signals_are_as_long_as_allowed() -> None:
    model, observation = vae()
    objective = model.objective(observation)
    lengths = {}
    for clip in (0.0, 0.05):
        strategy = exact_mirror(model, clip=clip)
        difference = strategy.pull(strategy.decode(model.encode(observation), objective, noise())[0])[0]
        lengths[clip] = difference.logit_difference.norm(dim=-1)
        torch.testing.assert_close((difference.target_code - difference.prediction_code).norm(dim=-1), lengths[clip])
    assert (lengths[0.0] > 0.05).any()
    torch.testing.assert_close(lengths[0.05], lengths[0.0].clamp(max=0.05))


def test_diagnostics_of_exact_feedback() -> None:
    model, observation = vae()
    found = exact_mirror(model).diagnose(model.encode(observation).detach(), model.objective(observation), noise())
    assert all(value.shape == (2,) for value in found.values())
    for name in ("signal_cosine", "signal_ratio"):
        torch.testing.assert_close(found[name], torch.ones(2), rtol=1e-4, atol=1e-4)
    # J_r J_D is J^T diag(x' (1 - x')) J, which is positive semi-definite.
    assert (found["inverse_trace_positive"] > 0.9).all()
    assert (found["pull_cosine"] > 0.3).all()


@pytest.mark.parametrize("inverse", ["encoder", "random"])
def test_diagnostics_are_those_written_down(inverse) -> None:
    """Image by image and draw by draw, and the trace by a derivative in place of a difference."""
    model, observation = vae()
    logits, objective = model.encode(observation).detach(), model.objective(observation)
    weights = [torch.randn(layer.weight.shape, generator=seeded(16)) / 3 for layer in model.decoder.layers]
    random = LayerwiseFeedback(weights)
    strategy = TargetPropagation(EncoderInverse() if inverse == "encoder" else random, "euclidean")
    found, same, pi = strategy.diagnose(logits, objective, noise()), noise(), logits.softmax(-1)
    seen: dict[str, list[Tensor]] = {
        name: [] for name in ("signal_cosine", "signal_ratio", "pull_cosine", "inverse_trace", "outside_simplex")
    }
    targets = []
    for _ in range(16):
        work, _ = strategy.decode(logits, objective, same)
        difference, target, pull = strategy.pull(work)
        sample = work.sample.clone().requires_grad_()
        down = -torch.autograd.grad(objective(sample).sum(), sample)[0]
        down, signal = (each - each.mean(-1, keepdim=True) for each in (down, difference.logit_difference))
        straight = pi * (down - (pi * down).sum(-1, keepdim=True))
        direction = 2.0 * (same.uniform(sample.shape) < 0.5) - 1
        direction = direction - direction.mean(-1, keepdim=True)

        def around(code: Tensor, work: DecodePass = work) -> Tensor:
            return strategy.inverse.reconstruct(work, objective.decode(code))

        change = torch.autograd.functional.jvp(around, work.sample, direction)[1]
        for p, b in itertools.product(range(2), range(6)):
            seen["signal_cosine"].append((signal[p, b] * down[p, b]).sum() / signal[p, b].norm() / down[p, b].norm())
            seen["signal_ratio"].append(signal[p, b].norm() / down[p, b].norm())
            seen["pull_cosine"].append(-(pull[p, b] * straight[p, b]).sum() / pull[p, b].norm() / straight[p, b].norm())
            seen["inverse_trace"].append((direction[p, b] * change[p, b]).sum())
            seen["outside_simplex"].append(sum(float(each.min() < -1e-6) for each in target[p, b]) / 3 * ONE.float())
        targets.append(target)
    for name, values in seen.items():
        expected = torch.stack(values).view(16, 2, 6).mean((0, 2))
        torch.testing.assert_close(found[name], expected, rtol=2e-3, atol=1e-4, msg=name)
    even, odd = torch.stack(targets[::2]).mean(0) - pi, torch.stack(targets[1::2]).mean(0) - pi
    length = (even * odd).sum(-1).mean((-1, -2)).clamp_min(0).sqrt()
    torch.testing.assert_close(found["mean_correction"], length)


def test_diagnostics_are_the_same_with_layer_local_training() -> None:
    (model, observation), (cut, _) = vae(), vae(local=True)
    logits = model.encode(observation).detach()
    whole = exact_mirror(model).diagnose(logits, model.objective(observation), noise())
    local = exact_mirror(cut, local=True).diagnose(logits, cut.objective(observation), noise())
    for name, value in whole.items():
        torch.testing.assert_close(local[name], value)


def test_diagnostics_see_a_target_without_a_signal_and_one_outside() -> None:
    """A perfect inverse, f(D(z)) = z, in a world where the code can be read off the image."""
    size = LATENTS * CATEGORIES
    observation = torch.zeros(BATCH, size, dtype=torch.float64)
    objective = Objective(
        decode=lambda sample: sample.flatten(-2) * 40 - 20,
        loss=lambda output: Bernoulli().nll(output, observation),
        model=Model(
            predict=lambda output: (output + 20) / 40,
            observation=observation,
            encode=lambda prediction: 60 * prediction.unflatten(-1, (LATENTS, CATEGORIES)),
        ),
    )
    found = TargetPropagation(EncoderInverse()).diagnose(LOGITS, objective, Noise([seeded(15)]))
    # The spread of 16 samples of 2 pi - z alone would be sqrt((1 - |pi|^2) / 16), about 0.18; two halves know better.
    assert found["mean_correction"] < 0.12
    # It is outside where the sample is a category of less than one half.
    assert 0.4 < found["outside_simplex"] < 1
    # J_r J_D is the softmax' Jacobian at a corner: next to nothing.
    assert found["inverse_trace"].abs() < 1e-6
    inside = TargetPropagation(EncoderInverse(), "log-ratio").diagnose(LOGITS, objective, Noise([seeded(15)]))
    assert inside["outside_simplex"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_target": 0.0}, "output target is 0.0; give a share above 0"),
        ({"output_target": 1.5}, "output target is 1.5"),
        ({"feedback_steps": 0}, "feedback steps is 0; give at least 1"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"local": True}, "local training needs layerwise feedback, not 'encoder'"),
        ({"code": "sample", "geometry": "log-ratio"}, "corrects probabilities, not the sample"),
        ({"warmup": -1}, "warmup is -1"),
        ({"inverse": "l-drl", "noise": Schedule(0.0)}, "noise is 0"),
        ({"inverse": "drl", "output_noise": Schedule(0.0)}, "output noise is 0"),
        ({"inverse": "mirror", "feedback": "sample"}, "leave feedback at 'mean'"),
    ],
)
def test_bad_options_are_refused(options, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        TargetPropagationOptions(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("strategy", "missing"),
    [
        (TargetPropagation(WeightMirror([])), "decoder"),
        (exact_mirror(vae()[0], local=True), "encoder"),
        (exact_mirror(vae()[0], local=True), "kl_term"),
    ],
)
def test_objective_without_layers_is_refused(strategy, missing) -> None:
    model, observation = vae()
    whole = model.objective(observation)
    part = {"model": replace(whole.model, **{missing: None})} if hasattr(whole.model, missing) else {missing: None}
    lacking = replace(whole, **part)
    with pytest.raises(InputError, match=f"needs an objective with .*{missing}"):
        copy.deepcopy(strategy).estimate(model.encode(observation), lacking, noise())


def test_local_training_of_networks_that_are_not_cut_is_refused() -> None:
    """Backpropagation would add to what the layers' own losses give."""
    model, observation = vae()
    with pytest.raises(InputError, match="needs networks that are cut"):
        exact_mirror(model, local=True).estimate(model.encode(observation), model.objective(observation), noise())


def test_bad_parts_are_refused() -> None:
    for options, message in (
        ({"geometry": "flat"}, "unknown geometry 'flat'"),
        ({"feedback_steps": 0}, "feedback steps is 0"),
        ({"local": True}, "local training needs layerwise feedback, not EncoderInverse"),
        ({"inverse": "mirror"}, "inverse is 'mirror'; give an Inverse, such as WeightMirror"),
    ):
        with pytest.raises(InputError, match=message):
            TargetPropagation(**options)


def test_a_mirror_wants_its_layers_learning_rate() -> None:
    options = TargetPropagationOptions("mirror")
    with pytest.raises(
        InputError, match=r"auxiliary learning rate is 0.001; a mirror .* needs their learning rate: give it 0.002"
    ):
        Config("target-propagation", options, learning_rate=Schedule(2e-3), auxiliary_learning_rate=Schedule(1e-3))


def test_layer_local_training_without_hidden_layers() -> None:
    """One layer on each side: the pull trains the one, the objective the other, and no feedback is wanted above."""
    model = VAE(blueprint(Architecture(3, 4, ()), Categorical(3, 4), 1, PIXELS), [seeded(10), seeded(11)])
    model.cut()
    observation = vae()[1]
    found = gradients(model, exact_mirror(model, local=True), observation)
    expected = gradients(model, ReinMax(), observation)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_layerwise_signals_lie_along_the_simplex() -> None:
    """So that a target that leaves it does so for a reason, and no pull is spent on what softmax does not see."""
    model, observation = vae()
    for geometry in GEOMETRIES:
        strategy = TargetPropagation(exact_mirror(model).inverse, geometry)
        decoded, _ = strategy.decode(model.encode(observation), model.objective(observation), noise())
        difference, target, pull = strategy.pull(decoded)
        for tensor, total in ((difference.logit_difference, 0.0), (pull, 0.0), (target, 1.0)):
            torch.testing.assert_close(tensor.sum(-1), torch.full_like(tensor[..., 0], total), rtol=0, atol=2e-5)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("clip", [0.0, 0.2])
def test_output_target_on_the_way_and_clipping_of_an_encoder_inverse(share, clip) -> None:
    """t = f(x' + eta (x - x')) in place of y, and both differences as long as allowed, in the logits."""
    model, observation = vae()
    objective = model.objective(observation)
    strategy = TargetPropagation(output_target=share, clip=clip)
    decoded, _ = strategy.decode(model.encode(observation), objective, noise())
    prediction = model.decode(decoded.sample).sigmoid()
    image = model.encode(prediction)
    aim = model.encode(observation if share == 1 else prediction + share * (observation - prediction))
    shorter = (clip / (aim - image).norm(dim=-1, keepdim=True)).clamp(max=1) if clip else 1.0
    difference, target, _ = strategy.pull(decoded)
    torch.testing.assert_close(difference.logit_difference, shorter * (aim - image), rtol=1e-4, atol=1e-5)
    expected = decoded.code + shorter * (aim.softmax(-1) - image.softmax(-1))
    torch.testing.assert_close(target, expected, rtol=1e-4, atol=1e-5)


def test_every_inverse_and_geometry_can_be_configured() -> None:
    """And each learns something of its own, or says that it does not."""
    options = STRATEGIES["target-propagation"].Options
    model, observation = vae()
    for inverse, geometry in itertools.product(
        ("encoder", "network", "drl", "l-drl", "mirror", "probes", "random"), GEOMETRIES
    ):
        if geometry == "gauss-newton" and inverse in ("encoder", "network"):
            continue  # refused
        built = TargetPropagation.build(
            options(inverse=inverse, geometry=geometry),
            NetworkFactory(1, lambda: model.encoder, lambda: model.decoder, nn.Identity, nn.Identity),
        )
        estimate = built.estimate(model.encode(observation), model.objective(observation), noise())
        learns = estimate.strategy_loss.requires_grad
        assert learns == (inverse not in ("encoder", "probes", "random"))
        assert bool(list(built.parameters())) == learns


def test_jacobian_product_is_what_its_name_says() -> None:
    vectors: Sequence[Tensor] = (DIRECTION, LOGITS)
    for vector in vectors:
        torch.testing.assert_close(jacobian_product(LOGITS.softmax(-1), vector), j(vector))


# Warm-up, and training by a mirror


def trainer(folder: Path, inverse: str, **options) -> Trainer:
    """One run of a small network on the middle of the images, about to take its first step."""

    def cut(split: Split) -> Split:
        return replace(split, pixels=split.pixels[:500, 300:340], labels=split.labels[:500])

    whole = load()
    data = Dataset.of("part-of-mnist", cut(whole.train), cut(whole.validation), cut(whole.test), shape=(4, 10))
    config = Config.fitting(
        "target-propagation",
        TargetPropagationOptions(inverse, **options),
        data=data.config,
        architecture=Architecture(3, 4, (11,)),
        batch_size=50,
        learning_rate=Schedule(3e-3),
        auxiliary_learning_rate=Schedule(3e-3),
    )
    return Trainer([Run(folder, config)], data, torch.device("cpu"))


def distance(training: Trainer) -> float:
    """Of the mirror from the weights that it mirrors, relative, the worst layer's."""
    inverse = training.strategy.inverse
    pairs = [
        *zip(inverse.weights("decoder"), training.model.decoder.layers, strict=True),
        *zip(inverse.weights("encoder"), list(training.model.encoder.network.layers)[1:], strict=True),
    ]
    return max(((own - layer.weight).norm() / layer.weight.norm()).item() for own, layer in pairs)


def test_a_mirror_that_takes_its_layers_steps_stays_exact(tmp_path) -> None:
    """Layer-local from a warm start: equal gradients, equal moments, equal steps. By probes alone it lags behind."""
    found = {}
    for name, inverse in {"together": "mirror", "probes alone": "probes"}.items():
        training = trainer(tmp_path / name, inverse, geometry="second-order", local=True, warmup=200)
        training.begin_epoch()
        assert distance(training) < 1e-5
        for _ in range(10):
            training._update()
        found[name] = distance(training)
    assert found["together"] < 1e-5
    assert found["probes alone"] > 1e-3


@pytest.mark.parametrize("inverse", ["network", "drl", "l-drl", "mirror", "probes"])
def test_warm_up_moves_the_inverse_alone_and_once(tmp_path, inverse) -> None:
    def after(warmup: int) -> tuple[Trainer, dict[str, Tensor]]:
        training = trainer(tmp_path / str(warmup), inverse, warmup=warmup)
        training.begin_epoch()
        return training, {name: tensor.clone() for name, tensor in training.state().items()}

    (_, cold), (training, warm) = after(0), after(5)
    moved = {name for name in cold if not cold[name].equal(warm[name])}
    assert moved
    assert all(name.startswith("strategy.inverse") for name in moved)
    training.train_epoch(lambda: True)
    before = {name: tensor.clone() for name, tensor in training.state().items()}
    training.begin_epoch()
    assert all(before[name].equal(tensor) for name, tensor in training.state().items() if name != "sums")


@pytest.mark.parametrize("inverse", ["l-drl", "drl"])
def test_feedback_that_descends_its_loss_finds_the_decoder_in_training(tmp_path, inverse) -> None:
    """From the weights' own size and random directions; DRL's aim is an inverse, which here is not far from them."""
    training = trainer(tmp_path, inverse)

    def cosines() -> list[float]:
        pairs = zip(training.strategy.inverse.weights("decoder"), training.model.decoder.layers, strict=True)
        return [torch.cosine_similarity(own.flatten(), layer.weight.flatten(), 0).item() for own, layer in pairs]

    before = cosines()
    for _ in range(40):
        training.train_epoch(lambda: True)
    assert max(before) < 0.3
    assert min(cosines()) > (0.9 if inverse == "l-drl" else 0.5)
