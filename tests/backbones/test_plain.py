"""Anybody's plain modules: what cannot be trained is refused in one line, and what can be is trained as it is."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from discrete_vae.backbones import BACKBONES, PlainBackbone, backbone, digest
from discrete_vae.backbones.base import Widths
from discrete_vae.cli import command as cli
from discrete_vae.config import Config
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import run as runs
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from tests.tiny_images import described

IMAGE, CODE = Shape(4, 3), 5
WIDTHS = Architecture(hidden=(6,))


def encoder(*before: nn.Module) -> nn.Module:
    """An encoder with other modules before its only layer of its own, which look at images."""
    return nn.Sequential(*before, nn.Flatten(), nn.Linear(IMAGE.size, CODE))


def decoder(code: int = CODE, image: Shape = IMAGE) -> nn.Module:
    """A decoder of one layer."""
    return nn.Sequential(nn.Linear(code, image.size), nn.Unflatten(1, (image.channels, image.rows, image.columns)))


def own(make: Callable[[], Any], other: Callable[[], Any] = decoder) -> PlainBackbone:
    return PlainBackbone(lambda image, code, numbers, widths: (make(), other()), "mine")


def encoders(make: Callable[[], Any], members: int = 2) -> nn.Module:
    return own(make).encoder(IMAGE, CODE, WIDTHS, [seeded(p) for p in range(members)])


class Centred(nn.Module):
    """Images less the mean image of their batch."""

    def forward(self, images: Tensor) -> Tensor:
        return images - images.mean(0)


class Counting(nn.Module):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images


class Failing(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise KeyError("no such\nlayer")


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


class Through(nn.Module):
    """A function of an encoder and the images."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.function = encoder(), function

    def forward(self, images: Tensor) -> Tensor:
        return self.function(self.inner, images)


class Attribute(nn.Module):
    """A random number that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.randn(1)

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images


class Calls(nn.Module):
    """Counts its calls by a Python number, and multiplies by a function of that."""

    def __init__(self, function: Callable[[int], float]) -> None:
        super().__init__()
        self.function, self.calls = function, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.function(self.calls) * images


@torch.no_grad()
def constant(inner: nn.Module, images: Tensor) -> Tensor:
    outputs: Tensor = inner(images)
    return outputs


def smaller(inner: nn.Module, images: Tensor) -> Tensor:
    assert len(images) <= 10, "ten at most"
    outputs: Tensor = inner(images)
    return outputs


def unused() -> nn.Module:
    module = encoder()
    module[1].register_parameter("other", nn.Parameter(torch.ones(2)))
    return module


def frozen() -> nn.Module:
    return encoder().requires_grad_(False)


def normalised() -> nn.Module:
    module = encoder()
    nn.utils.weight_norm(module[1])
    return module


def leaves() -> nn.Module:
    sys.exit(3)


KINDS = itertools.cycle([True, False])
MADE = encoder()


def fails() -> nn.Module:
    raise ZeroDivisionError("by\nzero")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "raises when made": (fails, r"fails on \[3, 1, 4, 3\] \(ZeroDivisionError: by zero\); fix it first"),
    "raises when called": (
        lambda: encoder(Failing()),
        r"fails on \[3, 1, 4, 3\] \(KeyError: .no such.*layer.\); fix it",
    ),
    "wrong shape": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 4)),
        r"gives \[3, 4\] for \[3, 1, 4, 3\]; it has to give \[3, 5\]",
    ),
    "two outputs": (Pair, r"gives tuple for .*; it has to give \[3, 5\]"),
    "no module": (lambda: torch.tanh, "is a builtin_function_or_method; give a torch.nn.Module"),
    "no parameters": (
        lambda: nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(CODE)),
        "has no parameters to train; give one that can be trained",
    ),
    "dropout": (lambda: encoder(nn.Dropout(0.5)), "draws random numbers, as dropout does; give layers without"),
    "batch normalisation": (
        lambda: encoder(nn.BatchNorm2d(1)),
        "changes its buffer 0.running_mean when it is called, as batch normalisation does; give .* GroupNorm",
    ),
    "batch normalisation without state": (
        lambda: encoder(nn.BatchNorm2d(1, track_running_stats=False)),
        "lets the examples of a batch depend on each other; give layers .* GroupNorm",
    ),
    "batch-dependent": (lambda: encoder(Centred()), "lets the examples of a batch depend on each other; give layers"),
    "batch normalisation of rows": (
        lambda: nn.Sequential(encoder(), nn.BatchNorm1d(CODE)),
        "changes its buffer 1.running_mean when it is called, as batch normalisation does; give .* GroupNorm",
    ),
    "batch normalisation of rows without state": (
        lambda: nn.Sequential(encoder(), nn.BatchNorm1d(CODE, track_running_stats=False)),
        "lets the examples of a batch depend on each other; give layers .* GroupNorm",
    ),
    "a little dependent": (
        lambda: Through(lambda inner, images: inner(images - 1e-3 * images.mean(0))),
        "lets the examples of a batch depend on each other; give layers",
    ),
    "dependent on the size": (
        lambda: Through(lambda inner, images: inner(images) / (len(images) if len(images) > 5 else 1)),
        "lets the examples of a batch depend on each other; give layers",
    ),
    "for small batches": (
        lambda: Through(smaller),
        r"fails on \[33, 1, 4, 3\] \(AssertionError: ten at most.*; fix it first",
    ),
    "little dropout": (lambda: encoder(nn.Dropout(1e-3)), "draws random numbers, as dropout does; give layers without"),
    "random attribute": (
        lambda: encoder(Attribute()),
        "keeps numbers outside parameters and buffers, .*; register each as a parameter or buffer",
    ),
    "counter": (
        lambda: encoder(Calls(float)),
        "gives another output the second time; let it depend on inputs, parameters and buffers alone",
    ),
    "counter that tells later": (
        lambda: encoder(Calls(lambda calls: float(calls < 1000))),
        "changes its attribute 0.calls at each call; give layers without such state",
    ),
    "in place": (
        lambda: Through(lambda inner, images: inner(images.mul_(2))),
        "changes its inputs in place; let it work on a copy",
    ),
    "in place without a difference": (
        lambda: encoder(nn.ReLU(inplace=True)),
        "changes its inputs in place; let it work on a copy",
    ),
    "NaN": (
        lambda: Through(lambda inner, images: inner(images) * float("nan")),
        "gives NaN for inputs between 0 and 1; fix its weights or its arithmetic",
    ),
    "unused parameter": (
        unused,
        "gives no gradient to its parameter 1.other; use it .*, freeze it .*, or leave it out",
    ),
    "no gradient": (lambda: Through(constant), "gives no gradient to its parameter inner.1.weight; use it outside of"),
    "all frozen": (frozen, "has no parameters to train; give one that can be trained"),
    "made once": (
        lambda: MADE,
        "has the parameter 1.weight of the one before; the function must make new modules at each call",
    ),
    "layers made once": (
        lambda: nn.Sequential(MADE, nn.Tanh()),
        "has the parameter 0.1.weight of the one before; the function must make new modules at each call",
    ),
    "of two kinds": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, CODE, bias=next(KINDS))),
        "has parameters or buffers of other names, shapes or kinds at another call; the function must make modules of",
    ),
    "not to be copied": (
        normalised,
        r"cannot be copied \(RuntimeError: .*parametrizations.weight_norm in place of torch.nn.utils.weight_norm",
    ),
    "leaves": (leaves, r"fails on \[3, 1, 4, 3\] \(SystemExit: 3\); fix it first"),
    "changing buffer": (lambda: encoder(Counting()), "changes its buffer 0.calls when it is called.*; give layers"),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_in_one_line(case: str, members: int) -> None:
    """Alone, too: what a member alone is made of is what it would be of in a population."""
    make, told = REFUSED[case]
    with pytest.raises(InputError, match=f"^the encoder of backbone mine {told}") as caught:
        encoders(make, members)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (encoder, "a Sequential"),
        (lambda: None, "None"),
        (lambda: [encoder(), encoder(), decoder()], "a list of 3"),
        (lambda: (encoder(),), "a tuple of 1"),
    ],
)
def test_what_is_no_pair_is_refused(made: Callable[[], Any], told: str) -> None:
    mine = PlainBackbone(lambda image, code, numbers, widths: made(), "mine")
    whole = f"^backbone mine gives {told}; give a pair of modules, encoder and decoder$"
    with pytest.raises(InputError, match=whole):
        mine.encoder(IMAGE, CODE, WIDTHS, [seeded(0)])
    with pytest.raises(InputError, match=whole):
        mine.decoder(CODE, IMAGE, 1, WIDTHS, [seeded(0)])


def test_what_keeps_to_itself_is_taken() -> None:
    """Recurrent layers, parametrised ones, group normalisation, and batch normalisation by what it knows already."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.out = nn.GRU(3, 6, batch_first=True), nn.Linear(6, CODE)

        def forward(self, images: Tensor) -> Tensor:
            outputs: Tensor = self.out(self.layer(images.squeeze(1))[0][:, -1])
            return outputs

    def parametrised() -> nn.Module:
        module = encoder()
        nn.utils.parametrizations.weight_norm(module[1])
        return module

    for make in (
        Recurrent,
        parametrised,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.GroupNorm(2, 4), nn.ReLU(True), nn.Linear(4, CODE)),
        lambda: encoder(nn.BatchNorm2d(1).eval()),
        lambda: encoder(nn.Dropout(0.5).eval()),
    ):
        network = encoders(make)
        inputs = torch.rand(2, 4, 12, generator=seeded(1))
        for p in range(2):
            alone = own(make).encoder(IMAGE, CODE, WIDTHS, [seeded(p)])
            torch.testing.assert_close(network(inputs)[p], alone(inputs[p : p + 1])[0])


def test_a_decoder_is_named_as_one() -> None:
    """It gives an image of so many numbers a pixel."""
    with pytest.raises(InputError, match=r"the decoder of backbone mine gives \[3, 1, 4, 3\] .* \[3, 2, 4, 3\]"):
        own(encoder).decoder(CODE, IMAGE, 2, WIDTHS, [seeded(0)])
    with pytest.raises(InputError, match="the decoder of backbone mine has no parameters to train"):
        own(encoder, lambda: nn.Unflatten(1, (1, 4, 3))).decoder(12, IMAGE, 1, WIDTHS, [seeded(0)])


def test_images_and_their_numbers_reach_the_modules_in_order() -> None:
    """Rows, columns and channels, of a colour image that is not square."""
    image = Shape(2, 3, 3)

    class Place(nn.Module):
        """The pixel of the last row and column, and the first one of the last channel."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, images: Tensor) -> Tensor:
            assert images.shape[1:] == (3, 2, 3)
            return self.scale * torch.stack([images[:, 0, 1, 2], images[:, 2, 0, 0], images[:, 1, 0, 1]], 1)

    network = own(Place).encoder(image, 3, WIDTHS, [seeded(0)])
    flat = torch.arange(18.0).view(1, 1, 18)
    assert network(flat).flatten().tolist() == [15, 2, 4]  # (row * 3 + column) * 3 + channel


def test_tied_weights_stay_tied_and_train() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)
            self.second.weight = self.first.weight
            self.out = nn.Linear(12, CODE)

        def forward(self, images: Tensor) -> Tensor:
            hidden: Tensor = self.out(self.second(self.first(images.flatten(1))))
            return hidden

    network = encoders(Tied)
    module = network.module
    assert module.first.weight is module.second.weight
    assert len(list(network.parameters())) == 5
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    inputs = torch.rand(2, 6, 12, generator=seeded(1))
    before, weight = network(inputs), module.first.weight.detach().clone()
    before.square().sum().backward()
    optimiser.step()
    assert module.first.weight is module.second.weight
    assert all((module.first.weight[p] != weight[p]).any() for p in range(2))
    # A member by hand, with one matrix in two places.
    p, state = 1, dict(network.module.named_parameters())
    hidden = inputs[p] @ state["first.weight"][p].T + state["first.bias"][p]
    hidden = hidden @ state["first.weight"][p].T + state["second.bias"][p]
    torch.testing.assert_close(network(inputs)[p], hidden @ state["out.weight"][p].T + state["out.bias"][p])


def test_constant_buffers_are_allowed_and_stay_as_they_are() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.full((1, 4, 3), 0.25))

        def forward(self, images: Tensor) -> Tensor:
            return images - self.mean

    network = encoders(lambda: encoder(Shifted()))
    buffers = dict(network.named_buffers())
    assert {name: tuple(each.shape) for name, each in buffers.items()} == {"module.0.mean": (2, 1, 4, 3)}
    assert not any(isinstance(each, nn.Parameter) for each in buffers.values())
    bias = dict(network.named_parameters())["module.2.bias"].detach()
    torch.testing.assert_close(network(torch.full((2, 3, 12), 0.25)).detach(), bias.unsqueeze(1).expand(2, 3, CODE))


def test_frozen_parameters_stay_frozen() -> None:
    def make() -> nn.Module:
        module = encoder(nn.Conv2d(1, 1, 1))
        module[0].requires_grad_(False)
        return module

    network = encoders(make)
    assert [name for name, _ in network.named_parameters()] == ["module.2.weight", "module.2.bias"]
    weight = dict(network.named_buffers())["module.0.weight"]
    assert weight.shape == (2, 1, 1, 1, 1)
    assert not weight[0].equal(weight[1])
    assert "module.0.weight" in network.state_dict()


def test_lazy_layers_get_their_weights() -> None:
    """Each member's own, at the first call."""
    network = encoders(lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(CODE)), members=3)
    weight = network.module[1].weight
    assert weight.shape == (3, CODE, 12)
    assert not weight[0].equal(weight[1])
    assert network(torch.rand(3, 2, 12)).shape == (3, 2, CODE)


def test_torchs_own_random_numbers_are_left_alone() -> None:
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    encoders(encoder)
    assert torch.rand(3).equal(expected)


# ------------------------------------------------------------------------------------------------ module:function

MINE = """
from torch import nn
not_callable = 3
def networks(image, code, numbers, widths):
    size, hidden = image.size, widths.hidden[0]
    shape = image.channels * numbers, image.rows, image.columns
    return (
        nn.Sequential(nn.Flatten(), nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, code)),
        nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, size * numbers), nn.Unflatten(1, shape)),
    )
def tied(image, code, numbers, widths):
    encoder, decoder = networks(image, code, numbers, widths)
    first, second = nn.Linear(image.size, image.size), nn.Linear(image.size, image.size)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, second, encoder), decoder
def frozen(image, code, numbers, widths):
    encoder, decoder = networks(image, code, numbers, widths)
    encoder[1].requires_grad_(False)
    return encoder, decoder
def batch(image, code, numbers, widths):
    encoder, decoder = networks(image, code, numbers, widths)
    return nn.Sequential(nn.BatchNorm2d(image.channels), encoder), decoder
"""
TRAIN = ["train", "gumbel-softmax", "--dataset", "images.npy", "--latents", "3", "--categories", "2", "--hidden", "6"]
TRAIN += ["--batch-size", "5", "--epochs", "1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a module and images of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("mine_plain", "broken_plain"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "mine_plain.py").write_text(MINE)
    (tmp_path / "broken_plain.py").write_text("import no_such_module_at_all\n")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 5, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    return exit_.value.code or 0  # type: ignore[return-value]


def test_a_function_of_ones_own_trains_from_the_command_line(folder: Path) -> None:
    assert call(*TRAIN, "--backbone", "mine_plain:networks", "--seeds", "2") == 0
    found = runs.find(folder / "runs")
    assert [run.config.architecture.backbone for run in found] == ["mine_plain:networks"] * 2
    assert all(run.finished for run in found)
    state = Population.load(found, torch.device("cpu")).state()
    assert any(tensor.shape == (2, 6, 20) for tensor in state.values())  # the members' first matrices


def test_a_tied_weight_is_saved_once_and_comes_back_in_both_places(folder: Path) -> None:
    assert call(*TRAIN, "--backbone", "mine_plain:tied", "--seeds", "2") == 0
    population = Population.load(runs.find(folder / "runs"), torch.device("cpu"))
    state = population.state()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
    matrices = [name for name, tensor in state.items() if tensor.shape == (2, 20, 20)]
    assert len(matrices) == 1
    kept = state[matrices[0]]
    fresh = Population.build(population.configs, torch.device("cpu")).state()[matrices[0]]
    assert all(not kept[p].equal(fresh[p]) for p in range(2))
    for each in (population, population.part(slice(0, 2))):
        both = [
            tensor for _, tensor in each.model.named_parameters(remove_duplicate=False) if tensor.shape == (2, 20, 20)
        ]
        assert len(both) == 2
        assert both[0] is both[1]
        assert both[0].equal(kept)


def test_frozen_parameters_train_with_the_rest_and_stay_as_they_were(folder: Path) -> None:
    assert call(*TRAIN, "--backbone", "mine_plain:frozen", "--seeds", "2") == 0
    population = Population.load(runs.find(folder / "runs"), torch.device("cpu"))
    fresh = Population.build(population.configs, torch.device("cpu")).state()
    still = {name for name, tensor in population.state().items() if tensor.equal(fresh[name])}
    assert {tuple(fresh[name].shape) for name in still} == {(2, 6, 20), (2, 6)}
    assert len(still) == 2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_such_plain:networks", "there is no module no_such_plain; run the command in the folder of no_such_plain"),
        ("mine_plain:nets", "mine_plain has no function 'nets'; give one that makes an encoder and a decoder"),
        ("mine_plain:not_callable", "mine_plain has no function 'not_callable'; give one that makes"),
        ("broken_plain:networks", "broken_plain imports no_such_module_at_all, which is not there; install it"),
        ("mine_plain:", "backbone 'mine_plain:'; give module:function, such as mine:networks"),
        ("mine_plain:batch", "the encoder of backbone mine_plain:batch changes its buffer 0.running_mean"),
        ("convv", "unknown backbone 'convv'; did you mean 'conv'"),
    ],
)
def test_a_name_that_leads_to_no_networks_is_refused(
    folder: Path, name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*TRAIN, "--backbone", name) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert told in error
    assert "Traceback" not in error
    assert not (folder / "runs").exists() or not runs.find(folder / "runs")


def test_a_module_that_was_edited_after_its_import_is_not_used_as_if_it_were_new(folder: Path) -> None:
    """A notebook would train the old network under the digest of the new file."""
    path, name = folder / "edited_plain.py", "edited_plain:networks"
    path.write_text("def networks(): ...\n")
    assert digest(name) == digest(name)
    path.write_text("def networks(): pass\n")
    for use in (backbone, digest):
        with pytest.raises(
            InputError, match=r"edited_plain.py has changed since Python imported it; start Python anew"
        ):
            use(name)


MIRROR = STRATEGIES["target-propagation"].Options("mirror", warmup=2)


def built(*fields: Any, **named: Any) -> Population:
    """A row is refused by the configuration, a function of one's own where it is built."""
    return Population.build([Config(*fields, **named)], torch.device("cpu"))


@pytest.mark.parametrize("name", ["residual", "mine_plain:networks"])
def test_strategies_that_need_layers_are_refused(folder: Path, name: str) -> None:
    sizes, told = (
        Architecture(3, 2, (6,), backbone=name),
        "access to single layers.*; for these options of target-prop.* mlp",
    )
    with pytest.raises(InputError, match=f"backbone {name} does not offer {told}") as caught:
        built("target-propagation", MIRROR, sizes, described(5, 4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["residual", "mine_plain:networks"])
def test_tasks_that_join_are_refused(folder: Path, name: str) -> None:
    sizes = Architecture(1, 2, (6,), style=2, backbone=name)
    told = f"backbone {name} does not offer a class as an input.*; for task semi-supervised take backbone mlp"
    with pytest.raises(InputError, match=told) as caught:
        built(architecture=sizes, data=described(5, 4), task="semi-supervised")
    assert "\n" not in str(caught.value)


def test_a_plain_encoder_takes_nothing_beside_images() -> None:
    with pytest.raises(InputError, match="backbone residual takes only images as inputs; give mlp or conv"):
        BACKBONES["residual"].encoder(Shape(8, 8), 3, WIDTHS, [seeded(0)], beside=2)


def test_a_function_reads_the_widths_and_the_image(folder: Path) -> None:
    seen: list[tuple[Shape, int, int, tuple[int, ...]]] = []

    def pair(image: Shape, code: int, numbers: int, widths: Widths) -> tuple[nn.Module, nn.Module]:
        seen.append((image, code, numbers, widths.hidden))
        return encoder(), decoder()

    mine = PlainBackbone(pair, "mine")
    mine.encoder(IMAGE, CODE, WIDTHS, [seeded(0)])
    mine.decoder(CODE, IMAGE, 1, WIDTHS, [seeded(0)])
    assert set(seen) == {(IMAGE, CODE, 1, (6,))}
    assert backbone("mine_plain:networks").idle(WIDTHS) == {}
