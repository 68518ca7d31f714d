"""The decoder's last bias may start at what explains the training images best without latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from discrete_vae.config import Config
from discrete_vae.data import Dataset, Split, load
from discrete_vae.errors import InputError
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import seeded
from discrete_vae.runs import Run
from discrete_vae.tasks import Architecture
from discrete_vae.training.step import Trainer

ARCHITECTURES = {
    "mlp": Architecture(2, 3, (5,)),
    "no hidden layer": Architecture(2, 3, ()),
    "conv": Architecture(2, 3, (5,), backbone="conv", channels=(4,)),
    "conv, fan-in": Architecture(2, 3, (5,), backbone="conv", channels=(4,), initialisation="fan-in"),
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load()


def begun(config: Config, data: Dataset, members: int = 2) -> Population:
    runs = [Run(Path(), replace(config, seed=seed)) for seed in range(members)]
    return Trainer(runs, data, torch.device("cpu")).population


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("task", ["vae", "structured-prediction", "semi-supervised"])
def test_a_decoder_that_ignores_its_sample_predicts_the_mean(name: str, task: str, data: Dataset) -> None:
    """Of every pixel, or of all where one bias serves them all; structured prediction explains the lower half."""
    own = {"latents": 1, "categories": 10} if task == "semi-supervised" else {}
    architecture = replace(ARCHITECTURES[name], data_bias=True, **own)
    config = Config.fitting(architecture=architecture, task=task)
    model = begun(config, data).model
    last = model.decoder.layers[-1]
    with torch.no_grad():
        last.weight.zero_()
        output = last(torch.ones(2, 1, last.inputs if "conv" in name else last.weight.shape[1]))
    mean = data.train.pixels.float().mean(0)[-model.explained.size :]
    expected = mean.clamp(0.001, 0.999) if "conv" not in name else mean.mean().expand_as(mean)
    for member in output:
        torch.testing.assert_close(member[0].sigmoid(), expected)


def test_colours_have_a_bias_for_each_number() -> None:
    """The channels of a pixel stand side by side, and the numbers of a channel."""
    pixels = torch.tensor([75, 120, 180]) + torch.randint(-75, 76, (40, 64, 3), generator=seeded(0))
    split = Split(pixels.flatten(1).to(torch.uint8), torch.full((40,), -1), levels=255)
    data = Dataset.of("colours", split, split, split, shape=(8, 8, 3), binarisation="none")
    architecture = replace(ARCHITECTURES["conv"], data_bias=True)
    config = Config(architecture=architecture, data=data.config, likelihood="gaussian", batch_size=10)
    (bias, _) = begun(config, data).model.decoder.layers[-1].bias.detach()
    levels = (pixels / 255).flatten(0, 1)
    torch.testing.assert_close(bias[::2], levels.mean(0))
    torch.testing.assert_close((bias[1::2] - 2).exp(), levels.std(0, correction=0))


def test_what_else_starts_as_without(data: Dataset) -> None:
    config = Config(architecture=ARCHITECTURES["conv"])
    plain = begun(config, data).state()
    biased = begun(replace(config, architecture=replace(config.architecture, data_bias=True)), data).state()
    assert [name for name in plain if not plain[name].equal(biased[name])] == ["model.decoder.layers.2.bias"]


def test_a_backbone_without_single_layers_is_refused() -> None:
    told = "backbone residual does not offer access to single layers.*; for data bias take backbone mlp or conv"
    with pytest.raises(InputError, match=told):
        Config(architecture=Architecture(2, 3, (5,), backbone="residual", data_bias=True))


@pytest.mark.parametrize("task", ["generator", "labels-alone"])
def test_a_task_that_explains_no_pixels_refuses_it(task: str) -> None:
    told = f"data bias is True, which has no effect with task {task}; leave it at False, or give task vae or"
    architecture = Architecture(1 if task == "labels-alone" else Architecture.latents, data_bias=True)
    with pytest.raises(InputError, match=told):
        Config(task=task, architecture=architecture)


def test_a_last_layer_without_a_bias_is_refused(data: Dataset) -> None:
    model = begun(Config(architecture=ARCHITECTURES["mlp"]), data).model
    model.decoder.layers[-1].bias = None
    with pytest.raises(InputError, match="the decoder's last layer has no bias, which data bias sets; leave that out"):
        model.start_from(data.train)


def test_many_images_are_looked_at_evenly(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third here, from the first to the last: images may be sorted by class."""
    monkeypatch.setattr("discrete_vae.tasks.base.LOOKED_AT", data.train.pixels.numel() // 3 + 1)
    config = Config(architecture=replace(ARCHITECTURES["mlp"], data_bias=True))
    bias = begun(config, data).model.decoder.layers[-1].bias[0, 0]
    expected = data.train.pixels[::3].float().mean(0).clamp(0.001, 0.999)
    torch.testing.assert_close(bias.sigmoid(), expected)
