"""Layerwise feedback through layers of any kind, and for any likelihood, on a convolutional model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones import BACKBONES
from discrete_vae.backbones.conv import ConvBackbone
from discrete_vae.backbones.layers import Convolution, Linear, TransposedConvolution, Window, products
from discrete_vae.backbones.stack import Stack
from discrete_vae.conformance.problem import Affine
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import LIKELIHOODS, Bernoulli, DiscretisedLogistic, Gaussian, Likelihood
from discrete_vae.strategies import STRATEGIES, Model, NetworkFactory, Objective, TargetPropagation
from discrete_vae.strategies.target_propagation import LayerwiseFeedback, TargetPropagationOptions
from discrete_vae.strategies.target_propagation.feedback import carry
from discrete_vae.strategies.target_propagation.inverses import NoiseScales
from discrete_vae.strategies.target_propagation.local import local_losses
from discrete_vae.strategies.target_propagation.options import INVERSES

N, K, BATCH = 4, 3, 24
IMAGE = Shape(8, 8, 3)
WIDTHS = SimpleNamespace(hidden=(20,), channels=(5, 6), activation="softplus", initialisation="glorot")
FAMILY = Categorical(N, K)


class Encoder(nn.Module):
    def __init__(self, network: Stack) -> None:
        super().__init__()
        self.network = network

    def forward(self, observation: Tensor) -> Tensor:
        return torch.unflatten(self.network(observation), -1, (N, K))


class Conv:
    """A model of members with these seeds, their strategy and their images."""

    def __init__(self, seeds: Sequence[int], likelihood: Likelihood, local: bool = False) -> None:
        self.seeds, self.likelihood = seeds, likelihood
        self.encoder, self.decoder = self.networks()
        self.encoder.network.cut = self.decoder.cut = local
        images = [torch.rand(BATCH, IMAGE.size, generator=seeded(seed, "images")) for seed in seeds]
        self.images = (torch.stack(images) * 255).round() / 255
        if likelihood.binary:
            self.images = self.images.round()

    def generators(self, stream: str) -> list[torch.Generator]:
        return [seeded(seed, stream) for seed in self.seeds]

    def noise(self) -> Noise:
        return Noise(self.generators("noise"))

    def networks(self, stream: str = "model") -> tuple[Encoder, Stack]:
        backbone = ConvBackbone()
        encoder = backbone.encoder(IMAGE, N * K, WIDTHS, self.generators(f"{stream} encoder"))
        numbers = self.likelihood.numbers
        return Encoder(encoder), backbone.decoder(N * K, IMAGE, numbers, WIDTHS, self.generators(f"{stream} decoder"))

    def objective(self) -> Objective:
        return Objective(
            decode=lambda sample: self.decoder(sample.flatten(-2)),
            loss=lambda output: self.likelihood.nll(output, self.images),
            model=Model(
                self.likelihood.mean,
                self.images,
                self.encoder,
                self.decoder,
                self.encoder.network,
                canonical=self.likelihood.canonical,
            ),
            kl_term=lambda logits: FAMILY.kl(logits).sum(-1),
        )

    def strategy(self, inverse: str, **options) -> TargetPropagation:
        factory = NetworkFactory(
            len(self.seeds),
            lambda: self.networks("own")[0],
            lambda: self.networks("own")[1],
            nn.Identity,
            nn.Identity,
        )
        return TargetPropagation.build(TargetPropagationOptions(inverse=inverse, **options), factory)  # type: ignore[arg-type]

    def warm(self, **options) -> tuple[TargetPropagation, Tensor]:
        """A mirror after its warm-up, and the logits."""
        strategy, logits = self.strategy("mirror", warmup=100, **options), self.encoder(self.images).detach()
        strategy.prepare(logits, self.objective(), self.noise(), lambda loss: None)
        return strategy, logits


def cosine(signal: Tensor, true: Tensor) -> Tensor:
    """Of each member."""
    return F.cosine_similarity(signal.flatten(1), true.flatten(1), dim=-1)


@pytest.mark.parametrize("kind", [Convolution, TransposedConvolution, Linear, Affine])
def test_products_are_those_of_the_layer(kind) -> None:
    """``linear`` is the layer less its bias, ``transposed`` and ``outer`` are its derivatives; counts are by hand."""
    window = Window.of(Shape(8, 8, 3), 5)
    layer = {
        Convolution: lambda: Convolution(window, [seeded(0), seeded(1)]),
        TransposedConvolution: lambda: TransposedConvolution(window, [seeded(0), seeded(1)]),
        Linear: lambda: Linear(7, 4, [seeded(0), seeded(1)]),
        Affine: lambda: Affine(nn.Parameter(torch.rand(7, 4, generator=seeded(0)))),
    }[kind]()
    wide = {Convolution: window.large.size, TransposedConvolution: window.small.size}.get(kind, 7)
    uses, fan_in = {Convolution: (16, 48), TransposedConvolution: (16, 20)}.get(kind, (1, 7))
    own, weight = products(layer), layer.weight.detach().requires_grad_()
    assert (own.uses, own.fan_in(weight)) == (uses, fan_in)
    # The most products that one weight, and one output, is part of.
    one = torch.ones(2, 1, wide)
    made = own.linear(one, torch.ones_like(weight))
    assert made.max() == fan_in
    assert own.outer(one, torch.ones_like(made)).max() == uses
    inputs = torch.randn(3, 2, 6, wide, generator=seeded(2)).requires_grad_()
    outputs = own.linear(inputs, weight)
    torch.testing.assert_close(outputs, layer(inputs) - layer(torch.zeros_like(inputs)), atol=1e-5, rtol=1e-4)
    signal = torch.randn(outputs.shape, generator=seeded(3))
    below, kernel = torch.autograd.grad((outputs * signal).sum(), (inputs, weight))
    torch.testing.assert_close(own.transposed(signal, weight), below, atol=1e-5, rtol=1e-4)
    each = own.outer(inputs.detach(), signal)
    assert each.shape[:2] == (3, 2)
    extra = each.dim() - weight.dim()
    torch.testing.assert_close(each.sum(list(range(extra))), kernel, atol=1e-4, rtol=1e-4)


def test_carried_by_a_networks_own_weights_an_error_is_the_gradient() -> None:
    model = Conv([0, 1], Gaussian())
    code = torch.randn(3, 2, BATCH, N * K, generator=seeded(2)).requires_grad_()
    taken, given = model.decoder.trace(code)
    error = torch.randn(given[-1].shape, generator=seeded(3))
    layers = list(model.decoder.layers)
    weights = [layer.weight.detach() for layer in layers]
    signals, below = carry(layers, weights, [model.decoder.slope(each) for each in given[:-1]], error)
    expected = torch.autograd.grad((given[-1] * error).sum(), (*given, code))
    for ours, theirs in zip((*signals, below), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert len(taken) == 4


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_error_is_of_any_likelihood(name) -> None:
    """With the layers' own weights the signal is the gradient; what maps observations is shown means of their shape."""
    model = Conv([0, 1], LIKELIHOODS[name]())
    weights = [layer.weight for layer in model.decoder.layers]
    strategy = TargetPropagation(LayerwiseFeedback(weights), "matching")
    logits = model.encoder(model.images).detach().requires_grad_()
    decoded, loss = strategy.decode(logits, model.objective(), model.noise())
    sample = decoded.sample.detach().requires_grad_()
    output = model.decoder(sample.flatten(-2))
    (gradient,) = torch.autograd.grad(model.likelihood.nll(output, model.images).sum(), sample)
    signal = strategy.inverse.difference(decoded).logit_difference
    gradient = gradient - gradient.mean(-1, keepdim=True)
    torch.testing.assert_close(signal, -gradient, atol=1e-4 * float(gradient.abs().max()), rtol=1e-3)
    torch.testing.assert_close(loss, model.likelihood.nll(output, model.images))
    found = strategy.diagnose(logits.detach(), model.objective(), model.noise())
    torch.testing.assert_close(found["signal_cosine"], torch.ones(2), atol=1e-4, rtol=0)
    for inverse in ("encoder", "network"):
        shown = model.strategy(inverse)
        decoded, _ = shown.decode(logits, model.objective(), model.noise())
        assert decoded.prediction is not None
        assert decoded.prediction.shape == model.images.shape
        estimate = shown.estimate(logits, model.objective(), model.noise())
        (pull,) = torch.autograd.grad(estimate.loss.sum(), logits)
        assert pull.isfinite().all()
        assert pull.any()
        assert all(each.isfinite().all() for each in shown.diagnose(logits, model.objective(), model.noise()).values())


@pytest.mark.parametrize("local", [False, True], ids=["whole", "local"])
@pytest.mark.parametrize("likelihood", [Bernoulli(), DiscretisedLogistic()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["one", "two"])
def test_a_mirror_finds_kernels(seeds, likelihood, local) -> None:
    """Its signal is the gradient, in the code and at every layer of the decoder and, by itself, of the encoder."""
    model = Conv(seeds, likelihood, local)
    strategy, logits = model.warm(local=local)
    decoded, _ = strategy.decode(logits, model.objective(), model.noise())
    difference, _, pull = strategy.pull(decoded)
    sample = decoded.sample.detach().requires_grad_()
    with model.decoder.without_cut():
        _, given = model.decoder.trace(sample.flatten(-2))
        loss = likelihood.nll(given[-1], model.images).sum()
        *layers, code = torch.autograd.grad(loss, (*given, sample))
    code = code - code.mean(-1, keepdim=True)
    assert (cosine(difference.logit_difference, -code) > 0.99).all()
    for signal, true in zip(difference.layers, layers, strict=True):
        assert (cosine(signal, -true) > 0.99).all()
        torch.testing.assert_close(signal.norm(), true.norm(), rtol=0.02, atol=0)
    if not local:
        return
    inverse = strategy.inverse
    assert isinstance(inverse, LayerwiseFeedback)
    levels = NoiseScales(model.noise(), torch.ones(()), torch.ones(()))
    hidden, _ = local_losses(inverse, decoded, difference, pull, levels)
    network = model.encoder.network
    parameters, total = list(network.parameters()), torch.stack(hidden[len(layers) - 1 :]).sum()
    own = torch.autograd.grad(total, parameters, allow_unused=True)
    with network.without_cut():
        at = model.encoder(model.images)
        wanted = (at * pull).sum() + FAMILY.kl(at).sum()
        true = torch.autograd.grad(wanted, parameters)
    for one, other in list(zip(own, true, strict=True))[:-2]:  # the last layer learns from the pull itself
        assert one is not None
        assert (cosine(one, other) > 0.99).all()
        torch.testing.assert_close(one.norm(), other.norm(), rtol=0.02, atol=0)


@pytest.mark.parametrize("inverse", [name for name, kind in INVERSES.items() if kind.layerwise])
@pytest.mark.parametrize("local", [False, True], ids=["whole", "local"])
def test_each_member_is_as_by_itself(inverse, local) -> None:
    """Losses, gradients and feedback weights, for the rules that learn kernels as well."""

    def found(*seeds: int) -> list[Tensor]:
        model = Conv(seeds, DiscretisedLogistic(), local)
        strategy = model.strategy(inverse, local=local)
        estimate = strategy.estimate(model.encoder(model.images), model.objective(), model.noise())
        parameters = [*model.encoder.parameters(), *model.decoder.parameters(), *strategy.parameters()]
        total = estimate.loss.sum() + estimate.strategy_loss.sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)
        return [estimate.loss, estimate.strategy_loss, *gradients, *strategy.state_dict().values()]

    both, alone = found(0, 1), [found(0), found(1)]
    for together, first, second in zip(both, *alone, strict=True):
        if together.dim():
            torch.testing.assert_close(together, torch.cat([first, second]), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("inverse", ["drl", "l-drl"])
def test_learned_rules_reach_kernels(inverse) -> None:
    """Their loss falls, and every layer's weights have a gradient."""
    model = Conv([0, 1], Gaussian())
    strategy, logits = model.strategy(inverse), model.encoder(model.images).detach()
    adam, losses = torch.optim.Adam(strategy.parameters(), 1e-2), []
    for _ in range(100):
        loss = strategy.estimate(logits, model.objective(), model.noise()).strategy_loss
        adam.zero_grad()
        loss.sum().backward()
        assert all(each.grad is not None and each.grad.any() for each in strategy.parameters())
        adam.step()
        losses.append(loss.detach())
    assert (losses[-1] < losses[0]).all()
    difference = strategy.pull(strategy.decode(logits, model.objective(), model.noise())[0])[0]
    assert all(each.isfinite().all() for each in difference.layers)


@pytest.mark.parametrize("inverse", ["l-drl", "random", "drl", "probes"])
def test_sampled_feedback_needs_a_canonical_loss(inverse) -> None:
    model = Conv([0], DiscretisedLogistic())
    logits = model.encoder(model.images)
    with pytest.raises(InputError, match=r"needs a canonical loss.*leave feedback at 'mean'") as caught:
        model.strategy(inverse, feedback="sample").estimate(logits, model.objective(), model.noise())
    assert "\n" not in str(caught.value)
    binary = Conv([0], Bernoulli())
    estimate = binary.strategy(inverse, feedback="sample").estimate(logits, binary.objective(), binary.noise())
    assert estimate.loss.isfinite().all()


def test_a_target_knows_what_is_behind() -> None:
    """The error is the gradient's, of all that looks at the output, with a sample in place of the mean."""
    model = Conv([0, 1], Bernoulli())
    objective = dataclasses.replace(model.objective(), deeper_loss=lambda sample, output: output.sin().sum(-1))
    logits = model.encoder(model.images).detach()
    decoded, _ = model.strategy("random", feedback="sample").decode(logits, objective, model.noise())
    assert decoded.prediction is not None
    assert decoded.error is not None
    assert decoded.prediction.unique().tolist() == [0, 1]
    output = model.decoder(decoded.sample.flatten(-2)).detach()
    torch.testing.assert_close(decoded.error, model.images - decoded.prediction - output.cos(), atol=1e-5, rtol=1e-4)
    # An inverse of observations aims for the same, and cannot for what looks at the sample itself.
    decoded, _ = model.strategy("network").decode(logits, objective, model.noise())
    assert decoded.aim is not None
    output = model.decoder(decoded.sample.flatten(-2)).detach()
    torch.testing.assert_close(decoded.aim, model.images - output.cos(), atol=1e-5, rtol=1e-4)
    seen = dataclasses.replace(objective, deeper_loss=lambda sample, output: sample.sum((-1, -2)))
    with pytest.raises(InputError, match="look at one sample; give an inverse by layerwise feedback"):
        model.strategy("network").decode(logits, seen, model.noise())


def test_an_output_of_more_numbers_needs_an_observation() -> None:
    model = Conv([0], DiscretisedLogistic())
    objective = model.objective()
    assert objective.model is not None
    without = dataclasses.replace(objective, model=dataclasses.replace(objective.model, observation=None))
    with pytest.raises(InputError, match=r"384 numbers for a prediction of 192.*give an objective with observation"):
        model.strategy("network").estimate(model.encoder(model.images), without, model.noise())
    assert model.strategy("mirror").estimate(model.encoder(model.images), without, model.noise()).loss.isfinite().all()


def test_what_is_needed_of_a_backbone() -> None:
    for name, kind in INVERSES.items():
        options = TargetPropagationOptions(inverse=name)  # type: ignore[arg-type]
        assert TargetPropagation.needs(options) == ({"layered"} if kind.layerwise else set())
    assert all(BACKBONES[name].layered for name in ("mlp", "conv"))
    assert STRATEGIES["gumbel-softmax"].needs(STRATEGIES["gumbel-softmax"].Options()) == frozenset()
    plain = NetworkFactory(1, nn.Identity, lambda: nn.Linear(12, 5), nn.Identity, nn.Identity)
    with pytest.raises(InputError, match=r"decoder's layers, which Linear does not offer; give .* mlp or conv"):
        TargetPropagation.build(TargetPropagationOptions(inverse="mirror"), plain)
    with pytest.raises(InputError, match="encoder's layers"):
        TargetPropagation.build(
            TargetPropagationOptions(inverse="mirror", local=True),
            dataclasses.replace(plain, encoder=lambda: SimpleNamespace(network=nn.Linear(5, 12))),  # type: ignore[arg-type,return-value]
        )


def test_layers_are_differentiated_where_that_is_allowed() -> None:
    model = Conv([0], Bernoulli())
    logits = model.encoder(model.images).detach()
    with torch.inference_mode():
        with pytest.raises(InputError, match=r"take torch.no_grad"):
            model.strategy("random").estimate(logits, model.objective(), model.noise())
        assert model.strategy("encoder").estimate(logits, model.objective(), model.noise()).loss.isfinite().all()
