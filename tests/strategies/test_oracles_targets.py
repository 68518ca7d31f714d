"""Target propagation against its formulas, draw by draw, for two members of a population with options of their own.

The references are in ``target_oracles``: one image and one latent variable at a time, with Jacobians as matrices.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import Estimate, Model, Objective, TargetPropagation, TargetPropagationAutoEncoder
from discrete_vae.strategies.target_propagation import LearnedInverse, WeightProbe
from discrete_vae.training.optimiser import descent
from tests.strategies.oracles import close, normal
from tests.strategies.target_oracles import (
    BATCH,
    GEOMETRIES,
    INVERSES,
    LAYERWISE,
    MEMBERS,
    PIXELS,
    SCHEDULES,
    SHAPES,
    Codes,
    Problem,
    Reference,
    both,
    built,
    carried,
    depths,
    mlp,
    own_steps,
    passed,
    signals,
)


def learns_as(reference: Reference, p: int, strategy: TargetPropagation, estimate: Estimate, steps: Any) -> None:
    """The inverse's own loss, its gradient, and, of what is corrected in place, the weights."""
    mirrored = own_steps(reference) if reference.inverse == "mirror" else []  # by the weights before any correction
    loss = reference.learn(depths(reference))
    close(estimate.strategy_loss[p], loss.detach(), "value of the inverse's loss")
    if reference.inverse == "mirror":
        for actual, expected in zip(steps, mirrored, strict=True):
            close(actual[p], expected, "a mirror's step")
    elif steps:
        for actual, expected in zip(steps, torch.autograd.grad(loss, reference.own), strict=True):
            close(actual[p], expected, "gradient of the inverse")
            assert expected.any()
    for actual, expected in zip(
        [*strategy.inverse.parameters(), *strategy.inverse.buffers()], reference.own, strict=True
    ):
        close(actual[p].detach(), expected.detach(), "weights of the inverse")


DEFAULT = {"output_target": 1.0, "clip": 0.0, "code": "probabilities", "feedback": "mean", "feedback_steps": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "clipped, sampled code": {"clip": 0.4, "code": "sample"},
    "on the way, sampled feedback": {"output_target": 0.3, "feedback": "sample", "feedback_steps": 3},
    "all": {"output_target": 0.3, "clip": 0.4, "code": "sample", "feedback": "sample", "feedback_steps": 3},
}


def options_of(inverse: str, geometry: str, variant: str) -> dict[str, Any]:
    """A variant's options; a mirror is shown the mean, and only two geometries correct a sample."""
    options = {"inverse": inverse, "geometry": geometry, **DEFAULT, **VARIANTS[variant]}
    if inverse == "mirror":
        options["feedback"] = "mean"
    if geometry not in ("euclidean", "matching"):
        options["code"] = "probabilities"
    return options


@pytest.mark.parametrize("shape", SHAPES, ids=["4x2", "3x6"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("inverse", INVERSES)
def test_pull_and_the_inverses_loss_are_the_papers(inverse, geometry, variant, shape) -> None:
    """Each inverse in each geometry: gradient in the logits, in the decoder, and of the inverse, to 1e-9."""
    problem, options = Problem(shape), options_of(inverse, geometry, variant)
    strategy = built(problem, options)
    references = [Reference(problem, p, strategy, options) for p in range(MEMBERS)]
    logits = problem.logits.clone().requires_grad_()
    estimate = strategy.estimate(logits, problem.objective(), both())
    weights = [layer.weight for layer in problem.decoder.layers]
    gradient, *decoder = torch.autograd.grad(estimate.loss.sum(), (logits, *weights))
    own = list(strategy.inverse.parameters())
    steps = torch.autograd.grad(estimate.strategy_loss.sum(), own) if own else []
    for p, reference in enumerate(references):
        reference.decode()
        assert estimate.sample[p].equal(reference.sample)
        close(estimate.loss[p].detach(), reference.loss, "value")
        expected = reference.pull()
        close(gradient[p], expected, "pull")
        assert expected.any()
        error = problem.observation[p] - reference.given[-1].sigmoid()
        true = signals([matrix for matrix, _ in reference.decoder], reference.given, error)
        for actual, h, d in zip(decoder, reference.taken, true, strict=True):
            close(actual[p], -h.mT @ d, "gradient in the decoder")
        learns_as(reference, p, strategy, estimate, steps)


@pytest.mark.parametrize("eta", [1.0, 0.3])
@pytest.mark.parametrize("inverse", LAYERWISE)
def test_what_is_behind_moves_the_output_target_and_the_sample(inverse, eta) -> None:
    """With layers behind the output's error is ``-dL/d output``, and the sample's own ``-dL/dz`` is added to delta."""
    problem = Problem(SHAPES[0], behind=True)
    options = {**options_of(inverse, "second-order", "whole"), "output_target": eta}
    strategy = built(problem, options)
    references = [Reference(problem, p, strategy, options) for p in range(MEMBERS)]
    logits = problem.logits.clone().requires_grad_()
    estimate = strategy.estimate(logits, problem.objective(), both())
    (gradient,) = torch.autograd.grad(estimate.loss.sum(), logits)
    for p, reference in enumerate(references):
        reference.decode()
        close(estimate.loss[p].detach(), reference.loss, "value")
        close(gradient[p], reference.pull(), "pull")


@pytest.mark.parametrize("inverse", INVERSES)
def test_warm_up_takes_its_steps_on_the_inverses_loss(inverse) -> None:
    """``warmup`` steps of Adam (Kingma and Ba 2015), or of corrections in place, each on a new sample."""
    problem, rates = Problem(SHAPES[0]), torch.tensor([0.01, 0.03])
    options = {**options_of(inverse, "euclidean", "whole"), "warmup": 3}
    strategy = built(problem, options)
    references = [Reference(problem, p, strategy, options) for p in range(MEMBERS)]
    before = [[own.detach().clone() for own in reference.own] for reference in references]
    strategy.prepare(problem.logits, problem.objective(), both(), descent(strategy.parameters(), rates))
    learned = [*strategy.inverse.parameters(), *strategy.inverse.buffers()]
    for p, reference in enumerate(references):
        adam = torch.optim.Adam(reference.own, float(rates[p])) if reference.own else None
        for _ in range(3):
            reference.decode()
            loss = reference.learn(depths(reference))
            if adam is not None and inverse in ("network", "l-drl", "drl"):
                adam.zero_grad()
                loss.backward()
                adam.step()
        for actual, expected, start in zip(learned, reference.own, before[p], strict=True):
            torch.testing.assert_close(actual[p].detach(), expected.detach(), rtol=1e-7, atol=1e-9)
            assert actual[p].equal(start) == (inverse == "random")


@pytest.mark.parametrize("variant", ["whole", "all"])
@pytest.mark.parametrize("inverse", LAYERWISE)
def test_layer_local_losses_have_the_carried_error_as_gradient(inverse, variant) -> None:
    """Each layer's weights get ``-h^T d``; at the encoder's top d is minus the pull and the KL term's gradient."""
    problem = Problem(SHAPES[1], cut=True)
    options = {**options_of(inverse, "second-order", variant), "local": True}
    strategy = built(problem, options)
    references = [Reference(problem, p, strategy, options) for p in range(MEMBERS)]
    logits = problem.encoder(problem.observation)
    estimate = strategy.estimate(logits, problem.objective(), both())
    layers = [layer.weight for network in (problem.decoder, problem.encoder.network) for layer in network.layers]
    gradients = torch.autograd.grad(estimate.loss.sum(), layers, retain_graph=True)
    own = list(strategy.inverse.parameters())
    steps = torch.autograd.grad(estimate.strategy_loss.sum(), own) if own else []
    for p, reference in enumerate(references):
        reference.logits = logits[p].detach()
        reference.decode()
        close(estimate.loss[p].detach(), reference.loss, "value")
        pull = reference.pull()
        down = signals(reference.feedback, reference.given, reference.error)
        true = problem.observation[p] - reference.given[-1].sigmoid()  # the last layer's loss is the objective's
        expected = [-h.mT @ d for h, d in zip(reference.taken, [*down[:-1], true], strict=True)]

        at = reference.logits.clone().requires_grad_()
        (kl_term,) = torch.autograd.grad(problem.kl_term(at).sum(), at)
        taken, given = passed(reference.encoder, problem.observation[p])
        above = [weight.detach() for weight in reference.own[len(reference.decoder) :]]
        top = -(pull + kl_term).flatten(-2)
        lowest = carried(above, given[1:], top) * given[0].sigmoid()
        up = [lowest, *signals(above, given[1:], top)]
        # The task adds the KL term's gradient to the last layer by itself.
        expected += [-h.mT @ d for h, d in zip(taken, [*up[:-1], -pull.flatten(-2)], strict=True)]
        for actual, reference_gradient in zip([each[p] for each in gradients], expected, strict=True):
            close(actual, reference_gradient, "gradient of a layer")

        mirrored = [*own_steps(reference), *(-h.mT @ d / BATCH for h, d in zip(taken[1:], up[1:], strict=True))]
        split = len(reference.decoder)
        encoder = (reference.own[split:], reference.encoder[1:], taken[1:], given[1:])
        loss = reference.learn([*depths(reference), encoder])
        close(estimate.strategy_loss[p], loss.detach(), "value of the feedback's loss")
        if steps:
            slopes = mirrored if inverse == "mirror" else torch.autograd.grad(loss, reference.own)
            for actual, slope in zip(steps, slopes, strict=True):
                close(actual[p], slope, "gradient of the feedback")
        for actual, weight in zip(
            [*strategy.inverse.parameters(), *strategy.inverse.buffers()], reference.own, strict=True
        ):
            close(actual[p].detach(), weight.detach(), "weights of the feedback")


def test_a_constructor_takes_each_option_by_its_name() -> None:
    """What ``build`` makes of options, the constructor makes of arguments."""
    problem = Problem(SHAPES[0])
    for geometry in ("fisher-rao", "second-order"):
        options = options_of("network", geometry, "all")
        strategy = built(problem, options)
        rest = {name: value for name, value in options.items() if name not in ("inverse", "geometry")}
        levels = {name: torch.tensor(values) for name, values in SCHEDULES.items()}
        other = TargetPropagation(LearnedInverse(Codes("own encoder", *SHAPES[0])), geometry, **rest, **levels).double()
        found = []
        for each in (strategy, other):
            logits = problem.logits.clone().requires_grad_()
            estimate = each.estimate(logits, problem.objective(), both())
            found.append([estimate.strategy_loss, *torch.autograd.grad(estimate.loss.sum(), logits)])
        for one, two in zip(*found, strict=True):
            assert one.equal(two)


@pytest.mark.parametrize("inverse", LAYERWISE)
def test_feedback_starts_at_fresh_weights_of_its_layers(inverse) -> None:
    """Those of a decoder of its own; and for layer-local training of an encoder, but for the first layer."""
    options = {**options_of(inverse, "euclidean", "whole"), "local": True}
    problem = Problem(SHAPES[0])
    feedback = built(problem, options).inverse
    fresh = {
        "decoder": mlp("own decoder", 8, 8, 9, PIXELS).layers,
        "encoder": Codes("own encoder", *SHAPES[0]).network.layers[1:],
    }
    for name, layers in fresh.items():
        for own, layer in zip(feedback.weights(name), layers, strict=True):
            assert own.equal(layer.weight)


def test_a_layer_is_probed_on_twenty_images() -> None:
    """``M += sum_b e_b^T (e_b W - e_b M) / (20 + in)`` over the first 20 of 23 images."""
    problem = Problem(SHAPES[0])
    weights = [layer.weight.detach() for layer in problem.decoder.layers]
    probe = WeightProbe([normal("probe", i, shape=weight.shape) for i, weight in enumerate(weights)])
    strategy = TargetPropagation(probe, "matching").double()
    before = [weight.clone() for weight in probe.weights("decoder")]
    observation = normal("more images", shape=(MEMBERS, 23, PIXELS)).sigmoid()
    objective = problem.objective()
    objective = replace(
        objective, model=replace(objective.model, observation=observation), loss=lambda output: output.sum(-1)
    )
    strategy.estimate(normal("more logits", shape=(MEMBERS, 23, *SHAPES[0])), objective, both())
    for p in range(MEMBERS):
        noise = Noise([seeded(p, "oracle")])
        noise.gumbel((23, *SHAPES[0]), torch.float64)
        for own, weight, start in zip(probe.weights("decoder"), weights, before, strict=True):
            push = noise.normal((20, weight.shape[-2]), torch.float64)
            expected = start[p] + push.mT @ (push @ (weight[p] - start[p])) / (20 + weight.shape[-2])
            close(own[p], expected, "probed weights")


def test_auto_encoders_pull_is_the_squared_error_to_the_thesis_target() -> None:
    """``|y - y_hat|^2`` with ``y = sigmoid(a)`` and ``y_hat = 2 y - f(x')`` held fixed (thesis, eq. 3.7)."""
    decoder, encoder = normal("flat decoder", shape=(4, PIXELS)), normal("flat encoder", shape=(PIXELS, 4))
    objective = Objective(
        decode=lambda code: code.flatten(-2).sin() @ decoder,
        loss=lambda output: output.square().sum(-1),
        model=Model(torch.sigmoid, encode=lambda observation: (observation @ encoder).unsqueeze(-1)),
    )
    logits = normal("codes", shape=(MEMBERS, BATCH, 4, 1)).requires_grad_()
    estimate = TargetPropagationAutoEncoder().estimate(logits, objective, both())
    code = logits.sigmoid()
    output = code.detach().flatten(-2).sin() @ decoder
    target = 2 * code - (output.sigmoid() @ encoder).unsqueeze(-1).sigmoid()
    (expected,) = torch.autograd.grad((code - target.detach()).square().sum(), logits)
    close(estimate.loss.detach(), output.square().sum(-1), "value")
    close(torch.autograd.grad(estimate.loss.sum(), logits)[0], expected, "pull")
