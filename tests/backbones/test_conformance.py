"""What every backbone has to do: a row of ``BACKBONES`` joins these tests by being one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones import BACKBONES, PlainBackbone, idle, isotropic, residual
from discrete_vae.backbones.base import Widths
from discrete_vae.backbones.layers import Convolution, Linear, TransposedConvolution, Window, as_flat, as_image
from discrete_vae.backbones.stack import Stack
from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population, member_of
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run, checkpoints
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training.capture import Recorded
from discrete_vae.training.loop import train
from discrete_vae.training.step import Trainer

CODE, P, B = 5, 3, 4
IMAGES = [Shape(9, 8), Shape(28, 28), Shape(12, 12, 3)]
CPU = torch.device("cpu")


def plain(image: Shape, code: int, numbers: int, widths: Widths) -> tuple[nn.Module, nn.Module]:
    """A pair of plain modules, of the first of the hidden widths."""
    hidden, shape = widths.hidden[0], (image.channels * numbers, image.rows, image.columns)
    down = nn.Sequential(nn.Flatten(), nn.Linear(image.size, hidden), nn.Tanh(), nn.Linear(hidden, code))
    up = nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, image.size * numbers))
    return down, nn.Sequential(up, nn.Unflatten(1, shape))


ROWS = {**BACKBONES, "plain": PlainBackbone(plain, "plain")}
LAYERED = [name for name, row in ROWS.items() if row.layered]
JOINING = [name for name, row in ROWS.items() if row.joins]
backbones = pytest.mark.parametrize("name", ROWS)
images = pytest.mark.parametrize("image", IMAGES, ids=str)


@pytest.fixture(autouse=True)
def _a_row_of_the_tests_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "plain", ROWS["plain"])
    torch.manual_seed(0)  # plain torch modules draw their first weights from the global generator


def widths(name: str, **sizes: Any) -> Architecture:
    """Of small networks; what has no effect is at its default."""
    given = {"hidden": (8,)} | ({"channels": (3,)} if name in ("conv", "residual", "isotropic") else {}) | sizes
    return Architecture(3, 2, backbone=name, activation="tanh", **given)


def generators(seeds: Sequence[int] = range(P)) -> list[torch.Generator]:
    return [seeded(seed) for seed in seeds]


def networks(name: str, image: Shape, seeds: Sequence[int] = range(P), numbers: int = 2) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder."""
    row, sizes = ROWS[name], widths(name)
    return (
        row.encoder(image, CODE, sizes, generators(seeds)),
        row.decoder(CODE, image, numbers, sizes, generators(seeds)),
    )


def uniform(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=seeded(9))


# -------------------------------------------------------------------------------------------------------- networks


@backbones
@images
def test_networks_are_of_the_images_shape(name: str, image: Shape) -> None:
    encoder, decoder = networks(name, image)
    code = encoder(uniform(P, B, image.size))
    assert code.shape == (P, B, CODE)
    assert decoder(code).shape == (P, B, image.size * 2)


@backbones
@images
def test_a_member_of_a_population_is_the_one_alone(name: str, image: Shape) -> None:
    """Its weights are from its own generator, to the bit, and so are its outputs and gradients, to rounding."""
    inputs, code = uniform(P, B, image.size), uniform(P, B, CODE)
    for together, given, which in zip(networks(name, image), (inputs, code), (0, 1), strict=True):
        outputs = together(given)
        weights = torch.linspace(-1, 1, outputs[0].numel()).view(outputs[0].shape)
        gradients = torch.autograd.grad((outputs * weights).sum(), list(together.parameters()))
        for p in range(P):
            alone = networks(name, image, [p])[which]
            for one, all_members in zip(alone.parameters(), together.parameters(), strict=True):
                assert one[0].equal(all_members[p])
            single = alone(given[p : p + 1])
            torch.testing.assert_close(single[0], outputs[p])
            own = torch.autograd.grad((single * weights).sum(), list(alone.parameters()))
            for one, stacked in zip(own, gradients, strict=True):
                torch.testing.assert_close(one[0], stacked[p], rtol=1e-4, atol=1e-5)
        matrices = [each for each in together.parameters() if each[0].unique().numel() > 1]
        assert matrices
        assert all(not each[0].equal(each[1]) for each in matrices)


@backbones
def test_every_parameter_has_a_gradient_in_every_member(name: str) -> None:
    image = IMAGES[0]
    for network, inputs in zip(networks(name, image), (uniform(P, B, image.size), uniform(P, B, CODE)), strict=True):
        outputs = network(inputs)
        (outputs * torch.linspace(-1, 1, outputs[0].numel()).view(outputs[0].shape)).sum().backward()
        for parameter in network.parameters():
            assert parameter.grad is not None
            assert (parameter.grad.flatten(1).abs().amax(1) > 0).all()


@backbones
def test_dimensions_before_the_members_are_repeated_draws(name: str) -> None:
    """``[S, P, B, code]``: each draw is decoded as if alone."""
    image = IMAGES[0]
    code, (encoder, decoder) = uniform(2, 6, P, B, CODE), networks(name, image)
    together = decoder(code)
    assert together.shape == (2, 6, P, B, image.size * 2)
    for s in range(6):
        torch.testing.assert_close(together[1, s], decoder(code[1, s]))
    pictures = uniform(2, P, B, image.size)
    torch.testing.assert_close(encoder(pictures)[1], encoder(pictures[1]))


@backbones
def test_images_of_a_batch_do_not_depend_on_each_other(name: str) -> None:
    image = IMAGES[0]
    encoder, _ = networks(name, image)
    pictures = uniform(P, B, image.size)
    torch.testing.assert_close(encoder(pictures)[:, 1:2], encoder(pictures[:, 1:2]))


@backbones
def test_a_recorded_step_has_the_bits_of_a_plain_one(name: str) -> None:
    image = IMAGES[0]
    encoder, decoder = networks(name, image)
    parameters = [*encoder.parameters(), *decoder.parameters()]

    def step(pictures: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        code = encoder(pictures)
        outputs = decoder(code + noise.uniform(code.shape))
        loss = (outputs.square().sum(-1)).mean()
        return loss.detach(), *torch.autograd.grad(loss, parameters)

    told: list[str] = []
    recorded = Recorded(step, Noise(generators()), warn=told.append)
    plain_noise = Noise(generators())
    for seed in range(2):  # the second replays what the first has recorded
        pictures = torch.rand(P, B, image.size, generator=seeded(seed))
        for one, other in zip(recorded(pictures), step(pictures, plain_noise), strict=True):
            assert one.equal(other)
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(0.9)
    assert told == []


# ------------------------------------------------------------------------------------------------- capabilities


@pytest.mark.parametrize("name", LAYERED)
def test_a_cut_network_passes_no_gradient_from_layer_to_layer(name: str) -> None:
    image = IMAGES[0]
    for network, inputs in zip(networks(name, image), (uniform(P, B, image.size), uniform(P, B, CODE)), strict=True):
        assert isinstance(network, Stack)
        first, last = network.layers[0].weight, network.layers[-1].weight
        for cut in (True, False):
            network.cut = cut
            below, top = torch.autograd.grad(network(inputs).square().sum(), (first, last), allow_unused=True)
            assert (below is None) == cut
            assert top is not None
        network.cut = True
        with network.without_cut():
            assert torch.autograd.grad(network(inputs).square().sum(), first)[0].any()
        assert network.cut


@pytest.mark.parametrize("name", JOINING)
def test_inputs_side_by_side_are_both_seen(name: str) -> None:
    image = IMAGES[2]
    encoder = ROWS[name].encoder(image, CODE, widths(name), generators(), beside=3)
    assert isinstance(encoder, Stack)
    pictures, classes = uniform(P, B, image.size), uniform(P, B, 3)
    outputs = encoder.beside(pictures, classes)
    assert outputs.shape == (P, B, CODE)
    for number in range(3):
        changed = classes.clone()
        changed[..., number] += 1
        assert (encoder.beside(pictures, changed) != outputs).any(-1).all()
    repeated = encoder.beside(pictures, uniform(6, P, B, 3))  # [S, P, B, n], of one image for many draws
    assert repeated.shape == (6, P, B, CODE)


@pytest.mark.parametrize(("name", "sizes"), [("mlp", {}), ("conv", {"channels": ()})])
def test_inputs_side_by_side_are_one_input_to_a_dense_layer(name: str, sizes: dict[str, Any]) -> None:
    image = IMAGES[0]
    encoder = ROWS[name].encoder(image, CODE, widths(name, **sizes), generators(), beside=3)
    assert isinstance(encoder, Stack)
    for layer in encoder.layers:
        nn.init.normal_(layer.bias, generator=seeded(8))
    pictures, classes = uniform(P, B, image.size), torch.rand(P, B, 3, generator=seeded(4))
    torch.testing.assert_close(encoder.beside(pictures, classes), encoder(torch.cat([pictures, classes], -1)))


@pytest.mark.parametrize("name", LAYERED)
def test_the_decoder_mirrors_the_encoder(name: str) -> None:
    """Its layers are the encoder's in reverse, and ``least_weights`` counts their weights exactly."""
    image = Shape(28, 20)
    sizes = replace(widths(name), hidden=(8, 6), channels=(3, 4) if name == "conv" else (32, 64))
    encoder = ROWS[name].encoder(image, CODE, sizes, generators([0]))
    decoder = ROWS[name].decoder(CODE, image, 1, sizes, generators([0]))
    down = [layer.weight[0].numel() for layer in encoder.layers]
    assert [layer.weight[0].numel() for layer in decoder.layers] == down[::-1]
    assert ROWS[name].least_weights(image, CODE, sizes) == sum(down)


@backbones
def test_no_network_has_fewer_weights_than_it_says(name: str) -> None:
    encoder, _ = networks(name, IMAGES[2])
    count = sum(each[0].numel() for each in encoder.parameters())
    assert ROWS[name].least_weights(IMAGES[2], CODE, widths(name)) <= count


def test_what_has_no_effect_is_named_and_refused() -> None:
    assert idle(Architecture()) == {"channels": "backbone mlp"}
    assert idle(Architecture(hidden=())) == {
        "channels": "backbone mlp",
        "activation": "a network without hidden layers",
        "normalisation": "a network without hidden layers",
    }
    assert idle(Architecture(backbone="conv")) == {}
    assert idle(Architecture(backbone="conv", hidden=())) == {}
    assert idle(Architecture(backbone="conv", hidden=(), channels=())).keys() == {"activation", "normalisation"}
    for name in ("plain", "anybodys:own"):
        assert idle(Architecture(backbone=name)) == {}
    for name in ("residual", "isotropic"):
        assert idle(Architecture(backbone=name)).keys() == {"normalisation", "initialisation"}
    told = r"channels is \(5,\), which has no effect with backbone mlp"
    with pytest.raises(InputError, match=told):
        Config(architecture=Architecture(channels=(5,)))
    with pytest.raises(InputError, match="activation is tanh, which has no effect with a network without hidden layer"):
        Config(architecture=Architecture(hidden=(), activation="tanh"))


def test_images_too_small_for_so_many_convolutions_are_refused() -> None:
    for image, small in ((Shape(7, 5), "1 x 1"), (Shape(2, 9), "1 x 4")):
        told = f"images of {small} are too small for another convolution of 4 x 4; give fewer numbers"
        for make in (
            lambda image=image: ROWS["conv"].encoder(image, CODE, widths("conv", channels=(3, 3, 3)), generators()),
            lambda image=image: ROWS["conv"].decoder(CODE, image, 1, widths("conv", channels=(3, 3, 3)), generators()),
        ):
            with pytest.raises(InputError, match=told):
                make()
    with pytest.raises(
        InputError, match=r"channels is \(\); a residual network needs at least one convolution"
    ) as caught:
        ROWS["residual"].encoder(IMAGES[0], CODE, widths("residual", channels=()), generators())
    assert "\n" not in str(caught.value)


def test_a_residual_block_adds_to_its_inputs() -> None:
    block, inputs = residual.Block(4, "tanh"), torch.rand(2, 4, 5, 3)
    with torch.no_grad():
        for parameter in block.layers[-1].parameters():
            parameter.zero_()
    assert block(inputs).equal(inputs)


def test_a_residual_decoder_has_the_encoders_dense_layers() -> None:
    pair = residual.networks(Shape(7, 5), CODE, 1, widths("residual", hidden=(8, 6)))
    dense = [[layer.weight.shape for layer in each if isinstance(layer, nn.Linear)] for each in pair]
    assert (
        [tuple(shape) for shape in dense[0]]
        == [tuple(shape)[::-1] for shape in reversed(dense[1])]
        == [(8, 36), (6, 8), (CODE, 6)]
    )


# ------------------------------------------------------------------------------------------------- convolutions


@pytest.mark.parametrize("kind", [Convolution, TransposedConvolution])
@pytest.mark.parametrize("large", [Shape(8, 8, 3), Shape(7, 5, 2), Shape(9, 4)], ids=str)
def test_products_of_a_convolution_are_autograds(kind: Any, large: Shape) -> None:
    window = Window.of(large, 4)
    layer = kind(window, generators(), "fan-in")
    inputs_size = (window.large if kind is Convolution else window.small).size
    weight = torch.randn(layer.weight.shape, generator=seeded(5)).requires_grad_()
    inputs = torch.randn(2, P, B, inputs_size, generator=seeded(6)).requires_grad_()
    outputs = layer.linear(inputs, weight)
    assert outputs.shape == (2, P, B, layer.output.size)
    signal = torch.randn(outputs.shape, generator=seeded(7))
    below, kernel = torch.autograd.grad((outputs * signal).sum(), (inputs, weight))
    torch.testing.assert_close(layer.transposed(signal, weight), below, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.outer(inputs.detach(), signal).sum(0), kernel, rtol=1e-4, atol=1e-4)
    # With its own weights it is the layer less its bias, which is one number a channel.
    apart = layer(inputs) - layer.linear(inputs, layer.weight)
    channels = apart[0].view(P, B, -1, layer.output.channels)
    torch.testing.assert_close(channels, layer.bias.view(P, 1, 1, -1).expand_as(channels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rows", [8, 9])
def test_a_transposed_convolution_is_torchs(channels: int, rows: int) -> None:
    """Also with a single channel, which has a computation of its own; the last row of an odd image has no product."""
    window = Window.of(Shape(rows, 6, channels), 4)
    small, kernel = (torch.randn(shape, generator=seeded(1)) for shape in ((B, window.small.size), window.shape))
    bias = torch.randn(channels, generator=seeded(2))
    image = as_image(small, window.small)
    expected = as_flat(F.conv_transpose2d(image, kernel, bias, window.stride, window.PADDING, (rows % 2, 0)))
    torch.testing.assert_close(window.grow(small, kernel, bias), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (7, 5), (28, 28), (9, 4), (2, 3)])
def test_a_transposed_convolution_gives_back_the_size(rows: int, columns: int) -> None:
    window = Window.of(Shape(rows, columns, 2), 4)
    assert (window.small.rows, window.small.columns) == (rows // 2, columns // 2)
    small = torch.rand(B, window.small.size)
    assert window.grow(small, torch.rand(window.shape)).shape == (B, window.large.size)
    large = torch.rand(B, window.large.size)
    assert window.shrink(large, torch.rand(window.shape)).shape == (B, window.small.size)
    assert window.uses == (rows // 2) * (columns // 2)


def test_a_flat_image_is_row_by_row_with_its_channels_side_by_side() -> None:
    flat = torch.arange(24.0).view(1, 24)
    image = as_image(flat, Shape(4, 3, 2))
    assert image.shape == (1, 2, 4, 3)
    assert image[0, 1, 3, 0] == (3 * 3 + 0) * 2 + 1
    assert as_flat(image).equal(flat)


def test_convolutions_and_matrices_start_by_their_fans() -> None:
    """A pixel of a convolution sees k^2 of each channel; a transposed one's, k^2 / stride^2."""
    window = Window.of(Shape(16, 16, 2), 50)
    inwards, outwards = (kind(window, [seeded(0)], "fan-in") for kind in (Convolution, TransposedConvolution))
    for layer, fan in ((inwards, 16 * 2), (outwards, 4 * 50)):
        assert layer.fan_in(layer.weight) == fan
        assert 0.95 < layer.weight.abs().max().item() * fan**0.5 <= 1
    matrix = Linear(9, 40, [seeded(0)], "fan-in")
    assert matrix.fan_in(matrix.weight) == 9


# ------------------------------------------------------------------------------------------------------ training


@cache
def colour() -> Dataset:
    """Colour images of 8 x 8, of two batches of 4 to train on."""

    def split(seed: int) -> Split:
        pixels = torch.randint(0, 256, (8, 192), generator=seeded(seed), dtype=torch.uint8)
        return Split(pixels, torch.full((8,), -1), levels=255)

    return Dataset.of("tiny-colour", split(0), split(1), split(2), shape=(8, 8, 3), binarisation="none")


def config(name: str, strategy: str = "gumbel-softmax", **fields: Any) -> Config:
    return Config.fitting(
        strategy,
        data=colour().config,
        likelihood="discretised-logistic",
        architecture=widths(name),
        batch_size=4,
        **{"epochs": 1, **fields},
    )


def tensors(run: Run) -> dict[str, Tensor]:
    return checkpoints.read(run.folder, run.step, run.config.identity)


@backbones
def test_a_resumed_population_ends_as_one_that_was_never_stopped(name: str, tmp_path: Path) -> None:
    """And each member's checkpoint is its part of the population's state."""
    members = [config(name, seed=seed, epochs=2) for seed in range(2)]
    whole = train(members, tmp_path / "whole", colour(), checkpoint_every=1)
    stopped = train(members, tmp_path / "stopped", colour(), checkpoint_every=1, prune=lambda epoch, runs: list(runs))
    assert [run.step for run in stopped] == [2, 2]
    resumed = train(members, tmp_path / "stopped", colour(), checkpoint_every=1)
    for one, other in zip(whole, resumed, strict=True):
        assert one.finished
        assert other.finished
        found, expected = tensors(other), tensors(one)
        assert found.keys() == expected.keys()
        assert all(found[each].equal(expected[each]) for each in expected)

    population = Population.load(whole, CPU)
    alone = Population.load(whole[1:], CPU)
    part = population.part(slice(1, 2))
    pictures = colour().train.batch(torch.arange(4).unsqueeze(0))
    for each, tensor in member_of(population.state(), 1).items():
        assert tensor.equal(alone.state()[each][0])
        assert tensor.equal(part.state()[each][0])
        assert tensor.equal(tensors(whole[1])[each])
        assert part.state()[each].data_ptr() == tensor.data_ptr()
    torch.testing.assert_close(part.model.encode(pictures), alone.model.encode(pictures), rtol=0, atol=0)
    fresh = Population.build(members, CPU).state()
    assert any(not tensor.equal(fresh[each]) for each, tensor in population.state().items())


CATEGORICAL = [name for name in STRATEGIES if Config(name).categorical]


@pytest.mark.parametrize("strategy", CATEGORICAL)
def test_every_strategy_trains_convolutions_on_colour_side_by_side_as_alone(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps: the losses are finite, encoder and decoder have moved, and alone they would move alike."""
    # Recording takes most of the time of so few steps, and is tested elsewhere.
    monkeypatch.setattr(Trainer, "_captured", lambda self, function: partial(function, noise=self.noise))
    members = [config("conv", strategy, seed=seed) for seed in (3, 4)]

    def trained(own: Sequence[Config]) -> Trainer:
        trainer = Trainer([Run.create(tmp_path / str(len(own)), each) for each in own], colour(), CPU)
        trainer.train_epoch(lambda: True)
        assert trainer.step == 2
        return trainer

    together, alone = trained(members), trained(members[1:])
    assert together.healthy() == [0, 1]
    found, expected = together.population.state(), alone.population.state()
    start = Population.build(members, CPU).state()
    for each, tensor in expected.items():
        torch.testing.assert_close(found[each][1], tensor[0], rtol=1e-3, atol=1e-5)
    moved = [each for each in found if each.startswith("model.") and (found[each] != start[each]).any()]
    assert any("decoder" in each for each in moved)
    assert any("encoder" in each for each in moved)


# ------------------------------------------------------------------------------------------- generators and critics

STRING = Shape(1, 12)
PAPER = Architecture(hidden=(), activation="relu", backbone="isotropic", channels=(6, 6))


@pytest.mark.parametrize("name", ["mlp", "residual", "isotropic", "plain"])
def test_generators_and_critics_of_strings(name: str) -> None:
    row, sizes = ROWS[name], widths(name)
    generator = row.generator(5, STRING, 3, sizes, generators())
    critic = row.critic(STRING, 3, sizes, generators())
    made = generator(torch.randn(P, B, 5, generator=seeded(0)))
    assert made.shape == (P, B, 36)
    values = critic(made)
    assert values.shape == (P, B, 1)
    values.sum().backward()
    assert all(each.grad is not None and each.grad.any() for each in generator.parameters())


def test_an_mlp_has_its_hidden_widths_from_noise_to_data_and_back() -> None:
    sizes = replace(widths("mlp"), hidden=(8, 6))
    generator, critic = (
        [each.weight.shape[1:] for each in network.layers]
        for network in (
            BACKBONES["mlp"].generator(5, STRING, 3, sizes, generators()),
            BACKBONES["mlp"].critic(STRING, 3, sizes, generators()),
        )
    )
    assert generator == [(5, 8), (8, 6), (6, 36)]
    assert critic == [(36, 6), (6, 8), (8, 1)]


def test_convolutions_lie_along_a_string_with_a_symbols_kinds_as_channels() -> None:
    """A symbol in the middle is seen by two blocks of two kernels of 5: eight places to each side."""
    encoder, decoder = isotropic.networks(Shape(1, 31, 3), 1, 1, PAPER)
    assert [tuple(each.weight.shape) for each in encoder.modules() if isinstance(each, nn.Conv2d)] == [
        (6, 3, 1, 1),
        *[(6, 6, 1, 5)] * 4,
    ]
    places = encoder[:-2]  # before the dense layer
    inputs = torch.rand(1, 3, 1, 31, generator=seeded(0), requires_grad=True)
    (slope,) = torch.autograd.grad(places(inputs)[0, :, 0, 15].sum(), inputs)
    seen = slope.abs().sum((0, 1, 2)) > 0
    assert seen.nonzero().flatten().tolist() == list(range(7, 24))
    assert decoder(torch.rand(2, 1)).shape == (2, 3, 1, 31)


def test_an_isotropic_block_adds_three_tenths_to_its_inputs() -> None:
    block, inputs = isotropic.Block(4, 4, (1, 5), "relu"), torch.randn(2, 4, 1, 9, generator=seeded(0))
    assert torch.allclose(block(inputs) - inputs, 0.3 * block.layers(inputs), atol=1e-6)
    assert not any(isinstance(each, nn.Conv2d) for each in block.skip.modules())
    assert isotropic.Block(4, 3, (1, 5), "relu")(inputs).shape == (2, 3, 1, 9)


def test_an_isotropic_network_without_a_block() -> None:
    with pytest.raises(InputError, match=r"channels is \(\); this network needs at least one block"):
        isotropic.networks(STRING, 1, 1, replace(PAPER, channels=()))


def test_critics_of_images_keep_their_rows() -> None:
    """The numbers of a pixel are its channels: a convolution sees neighbours on all sides."""
    critic = BACKBONES["conv"].critic(Shape(8, 8), 2, widths("conv"), generators())
    assert critic(torch.rand(P, B, 128)).shape == (P, B, 1)
    with pytest.raises(InputError, match="images of 1 x 12 are too small for another convolution"):
        BACKBONES["conv"].generator(5, STRING, 3, widths("conv"), generators())
