"""Every backbone is a population of networks: each member by itself, at any image size, in any company."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from discrete_vae import backbones
from discrete_vae.backbones import BACKBONES, Backbone, PlainBackbone, Widths
from discrete_vae.backbones.layers import Convolution, TransposedConvolution, Window
from discrete_vae.backbones.stack import Stack
from discrete_vae.config import Config
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population, fill, member_of
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.tasks import Architecture
from discrete_vae.training.capture import Recorded
from tests.tiny_images import described

OUTPUTS, CODE, BATCH = 6, 5, 4
IMAGES = [Shape(7, 5), Shape(28, 28), Shape(32, 32, 3)]
WIDTHS = {name: Architecture(hidden=(9,), backbone=name, channels=(3, 4)) for name in BACKBONES}
WIDTHS["plain"] = Architecture(hidden=(9,))


def networks(image: Shape, code: int, numbers: int, widths: Widths) -> tuple[nn.Module, nn.Module]:
    """A plain pair, with a convolution each."""
    (width,), channels, area = widths.hidden, image.channels, image.rows * image.columns
    encoder = nn.Sequential(
        nn.Conv2d(channels, 2, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * area, width),
        nn.Linear(width, code),
    )
    decoder = nn.Sequential(
        nn.Linear(code, 2 * area),
        nn.Unflatten(1, (2, image.rows, image.columns)),
        nn.ReLU(),
        nn.Conv2d(2, channels * numbers, 3, padding=1),
    )
    return encoder, decoder


ROWS: dict[str, Backbone] = {**BACKBONES, "plain": PlainBackbone(networks, "plain")}


def encoder(name: str, image: Shape, *seeds: int, **more: Any) -> nn.Module:
    return ROWS[name].encoder(image, OUTPUTS, WIDTHS[name], [seeded(seed) for seed in seeds], **more)


def decoder(name: str, image: Shape, numbers: int, *seeds: int) -> nn.Module:
    return ROWS[name].decoder(CODE, image, numbers, WIDTHS[name], [seeded(seed) for seed in seeds])


def numbers(*shape: int, seed: int = 9) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed))


@pytest.mark.parametrize("image", IMAGES, ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_a_member_alone_is_the_member_of_a_population(name: str, image: Shape) -> None:
    """Weights and outputs, of encoder and decoder; each member's weights are from its own generator."""
    seen, code = numbers(3, BATCH, image.size), numbers(3, BATCH, CODE)
    for together, alone, inputs, size in (
        (encoder(name, image, 0, 1, 2), encoder(name, image, 1), seen, OUTPUTS),
        (decoder(name, image, 2, 0, 1, 2), decoder(name, image, 2, 1), code, 2 * image.size),
    ):
        found = together(inputs)
        assert found.shape == (3, BATCH, size)
        torch.testing.assert_close(found[1:2], alone(inputs[1:2]))
        for (own, tensor), (other, single) in zip(together.named_parameters(), alone.named_parameters(), strict=True):
            assert own == other
            assert tensor[1].equal(single[0])
            if tensor.any():
                assert not tensor[0].equal(tensor[1])


@pytest.mark.parametrize("name", ROWS)
def test_dimensions_before_the_members_are_further_samples(name: str) -> None:
    image = Shape(7, 5)
    network, code = decoder(name, image, 1, 0, 1, 2), numbers(2, 3, BATCH, CODE)
    found = network(code)
    assert found.shape == (2, 3, BATCH, image.size)
    for sample in range(2):
        torch.testing.assert_close(found[sample], network(code[sample]))


@pytest.mark.parametrize("name", ROWS)
def test_a_recorded_step_has_the_same_bits(name: str) -> None:
    network = encoder(name, Shape(7, 5), 0, 1)
    parameters = list(network.parameters())

    def step(seen: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        loss = network(seen + noise.uniform(seen.shape)).square().sum()
        return loss.detach(), *torch.autograd.grad(loss, parameters)

    recorded = Recorded(step, Noise([seeded(4), seeded(5)]), warn=pytest.fail)
    plain = Noise([seeded(4), seeded(5)])
    for seed in range(3):
        seen = numbers(2, BATCH, 35, seed=seed)
        for found, expected in zip(recorded(seen), step(seen, plain), strict=True):
            assert found.equal(expected)


@pytest.mark.parametrize("name", ROWS)
def test_state_goes_through_a_checkpoint_and_parts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES, "plain", ROWS["plain"])
    architecture = Architecture(3, 4, (9,), backbone=name, **({"channels": (3, 4)} if name == "conv" else {}))
    configs = [Config(architecture=architecture, data=described(7, 5), seed=seed) for seed in range(5)]
    cpu = torch.device("cpu")
    one, other = (Population.build(each, cpu) for each in (configs[:3], configs[2:]))
    seen = numbers(3, BATCH, 35)
    part = one.part(slice(1, 2))
    torch.testing.assert_close(part.model.encode(seen[1:2]), one.model.encode(seen)[1:2])
    fill(other.state(), [member_of(one.state(), p) for p in range(3)])
    assert other.model.encode(seen).equal(one.model.encode(seen))
    sample = numbers(3, BATCH, 3, 4)
    assert other.model.decode(sample).equal(one.model.decode(sample))


@pytest.mark.parametrize("name", [name for name, row in BACKBONES.items() if row.layered])
def test_a_cut_lets_no_gradient_pass(name: str) -> None:
    network, seen = encoder(name, Shape(7, 5), 0, 1), numbers(2, BATCH, 35)
    assert isinstance(network, Stack)
    network.cut = True
    network(seen).sum().backward()
    *before, last = network.layers
    assert before
    assert all(parameter.grad is None for layer in before for parameter in layer.parameters())
    assert all(parameter.grad is not None for parameter in last.parameters())
    given = network.trace(seen)[1]
    assert given[-1].equal(network(seen))


@pytest.mark.parametrize("name", [name for name, row in BACKBONES.items() if row.joins])
def test_inputs_beside_are_those_of_the_first_matrix(name: str) -> None:
    """Written down once more: the first input through what comes before the matrix, then all side by side."""
    network = encoder(name, Shape(7, 5), 0, 1, beside=3)
    assert isinstance(network, Stack)
    for layer in network.layers:
        nn.init.normal_(layer.bias, generator=seeded(1))
    seen, more = numbers(2, BATCH, 35), numbers(2, BATCH, 3)
    hidden, joined = seen, False
    for depth, layer in enumerate(network.layers):
        if not isinstance(layer, Convolution) and not joined:
            hidden = layer(torch.cat([network.activation(hidden) if depth else hidden, more], -1))
            joined = True
        else:
            hidden = layer(network.activation(hidden) if depth else hidden)
    torch.testing.assert_close(network.beside(seen, more), hidden)


@pytest.mark.parametrize("large", [Shape(7, 5, 2), Shape(8, 8, 3)], ids=str)
@pytest.mark.parametrize("kind", [Convolution, TransposedConvolution])
def test_products_of_convolutions_are_autograds(kind: Any, large: Shape) -> None:
    window = Window.of(large, 4)
    layer = kind(window, [seeded(0), seeded(1)]).double()
    ends = (window.large.size, window.small.size)[:: 1 if kind is Convolution else -1]
    inputs, outputs = (numbers(2, 3, size, seed=size).double() for size in ends)
    weight = layer.weight.detach().requires_grad_()
    inputs.requires_grad_()
    product = (layer.linear(inputs, weight) * outputs).sum()
    by_input, by_weight = torch.autograd.grad(product, (inputs, weight))
    torch.testing.assert_close(layer.transposed(outputs, weight), by_input)
    torch.testing.assert_close(layer.outer(inputs, outputs), by_weight)
    nn.init.normal_(layer.bias, generator=seeded(3))
    bias = layer(inputs) - layer.linear(inputs, weight)
    expected = layer.bias.flatten(1).unsqueeze(1).expand(-1, bias.shape[-1] // layer.bias.shape[-1], -1).flatten(1)
    torch.testing.assert_close(bias, expected.unsqueeze(1).expand_as(bias))


def test_the_decoder_has_the_encoders_convolutions_in_reverse() -> None:
    inwards, outwards = encoder("conv", Shape(28, 28), 0), decoder("conv", Shape(28, 28), 1, 0)
    down = [layer.window for layer in inwards.layers if isinstance(layer, Convolution)]
    up = [layer.window for layer in outwards.layers if isinstance(layer, TransposedConvolution)]
    assert [window.small for window in down] == [Shape(14, 14, 3), Shape(7, 7, 4)]
    assert up == down[::-1]


def test_the_slope_is_the_activations_derivative() -> None:
    network = encoder("mlp", Shape(7, 5), 0)
    assert isinstance(network, Stack)
    outputs = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(network.slope(outputs), torch.sigmoid(outputs))  # of softplus


def test_a_convolution_is_torchs_of_the_image() -> None:
    image = Shape(7, 5, 2)
    layer = Convolution(Window.of(image, 4), [seeded(0)])
    seen = numbers(BATCH, 7, 5, 2)
    expected = nn.functional.conv2d(seen.permute(0, 3, 1, 2), layer.weight[0], layer.bias[0], 2, 1)
    torch.testing.assert_close(layer(seen.flatten(1).unsqueeze(0))[0], expected.permute(0, 2, 3, 1).flatten(1))


def test_too_many_convolutions_are_refused() -> None:
    with pytest.raises(InputError, match="too small for another convolution of 4 x 4; give fewer channels"):
        ROWS["conv"].encoder(Shape(7, 5), 3, Architecture(backbone="conv", channels=(2, 2, 2)), [seeded(0)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:networks", "no module no_such_module; run the command in the folder of no_such_module.py"),
        ("math:networks", "math has no function 'networks'; give one that makes an encoder and a decoder"),
        ("math:pi", "math has no function 'pi'"),
        ("conf", "unknown backbone 'conf'; did you mean 'conv'?"),
    ],
)
def test_names_that_are_none_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        backbones.backbone(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
