"""Stacked networks equal separate ones, from their first weight on."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from discrete_vae.backbones import BACKBONES, idle
from discrete_vae.backbones.layers import Linear
from discrete_vae.backbones.mlp import MLP
from discrete_vae.backbones.stack import ACTIVATIONS
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.settings import Architecture

SIZES = (6, 5, 4, 3)
BY_HAND = {
    "softplus": lambda x: torch.log1p(torch.exp(x)),
    "relu": lambda x: x * (x > 0),
    "tanh": lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
    "elu": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "gelu": lambda x: x * torch.special.ndtr(x),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


def separate(stacked: MLP, member: int) -> nn.ModuleList:
    """The member's layers as torch's own, with its weights."""
    layers = nn.ModuleList(nn.Linear(layer.weight.shape[1], layer.weight.shape[2]) for layer in stacked.layers)
    for single, layer in zip(layers, stacked.layers, strict=True):
        single.weight.data = layer.weight[member].detach().T.clone()
        single.bias.data = layer.bias[member, 0].detach().clone()
    return layers


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_stacked_equals_separate_networks(activation) -> None:
    """Outputs and gradients, in float64 to rounding; the activation stands between layers and not behind the last."""
    stacked = MLP(SIZES, activation, [seeded(p) for p in range(3)]).double()
    for layer in stacked.layers:
        nn.init.normal_(layer.bias, generator=seeded(8))
    inputs = torch.randn(3, 7, 6, generator=seeded(9), dtype=torch.float64)
    together = stacked(inputs)
    assert together.shape == (3, 7, 3)
    together.square().sum().backward()
    for member in range(3):
        layers = separate(stacked, member)
        hidden = layers[0](inputs[member])
        for layer in layers[1:]:
            hidden = layer(BY_HAND[activation](hidden))
        torch.testing.assert_close(together[member], hidden)
        hidden.square().sum().backward()
        for single, layer in zip(layers, stacked.layers, strict=True):
            torch.testing.assert_close(layer.weight.grad[member].T, single.weight.grad)
            torch.testing.assert_close(layer.bias.grad[member, 0], single.bias.grad)


def test_initial_weights_of_a_member_come_from_its_own_generator() -> None:
    together = MLP(SIZES, "softplus", [seeded(p) for p in range(3)])
    others = MLP(SIZES, "softplus", [seeded(7), seeded(1), seeded(8), seeded(9)])
    alone = MLP(SIZES, "softplus", [seeded(1)])
    for a, b, c in zip(together.parameters(), others.parameters(), alone.parameters(), strict=True):
        assert a[1].equal(b[1])
        assert a[1].equal(c[0])
    assert not together.layers[0].weight[0].equal(together.layers[0].weight[1])


@pytest.mark.parametrize(("initialisation", "bound"), [("glorot", math.sqrt(6 / 400)), ("fan-in", 300**-0.5)])
def test_initial_weights_are_uniform_within_their_bounds(initialisation, bound) -> None:
    layer = Linear(300, 100, [seeded(0)], initialisation)
    weight = layer.weight.detach().flatten()
    assert weight.abs().max() <= bound
    # Of 30,000 uniform numbers the extremes lie within bound * 0.001 but for a chance of e^-15 each.
    assert weight.max() > 0.999 * bound
    assert weight.min() < -0.999 * bound
    # 5 standard errors of the mean (bound / sqrt(3 n)) and of the mean square (bound^2 sqrt(4 / 45 / n)).
    count = len(weight)
    assert weight.mean().abs() < 5 * bound / math.sqrt(3 * count)
    assert (weight.square().mean() - bound**2 / 3).abs() < 5 * bound**2 * math.sqrt(4 / 45 / count)
    if initialisation == "glorot":
        assert not layer.bias.any()
    else:  # of 100 numbers the extremes lie within bound * 0.1 but for a chance of e^-5, which this seed is not
        assert 0.9 * bound < layer.bias.abs().max() <= bound


def test_fan_in_is_how_torchs_own_layers_start() -> None:
    torch.manual_seed(0)
    own, ours = torch.nn.Linear(300, 20_000), Linear(300, 20_000, [seeded(0)], "fan-in")
    for one, other in ((own.weight, ours.weight), (own.bias, ours.bias)):
        for statistic in (torch.Tensor.std, torch.Tensor.max, torch.Tensor.min):
            assert statistic(one).item() == pytest.approx(statistic(other).item(), rel=0.02)


def test_every_activation_has_a_formula_by_hand() -> None:
    assert set(ACTIVATIONS) == set(BY_HAND)


def test_unknown_activation_is_named_with_the_choices() -> None:
    with pytest.raises(InputError, match="unknown activation 'sigmoid'; choose from softplus, relu, tanh") as caught:
        MLP(SIZES, "sigmoid", [seeded(0)])
    assert "\n" not in str(caught.value)


OTHERS = {
    "hidden": (9,),
    "channels": (8,),
    "activation": "relu",
    "initialisation": "fan-in",
    "normalisation": "layer",
}


@pytest.mark.parametrize("name", BACKBONES)
def test_what_a_backbone_does_not_read_is_idle(name: str) -> None:
    """And nothing else; what is idle is refused, since it would train the same network under another name."""
    image, plain = Shape(8, 8), Architecture(backbone=name, hidden=(7,), channels=(4,))

    def outputs(widths: Architecture) -> torch.Tensor:
        network = BACKBONES[name].critic(image, 2, widths, [seeded(0)])
        found: torch.Tensor = network(torch.linspace(0, 1, 2 * image.size).view(1, 1, -1))
        return found

    same = {field for field, other in OTHERS.items() if outputs(plain).equal(outputs(replace(plain, **{field: other})))}
    assert same == set(OTHERS) & set(idle(plain))
