"""What all data sets that are made have in common, and that they never change."""

import hashlib

import pytest
import torch

from discrete_vae.data import KNOWN, SYNTHETIC, DataConfig, Domain, Shape, load
from discrete_vae.errors import InputError


def test_every_made_set_can_be_asked_for() -> None:
    assert set(SYNTHETIC) < set(KNOWN)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_splits(name: str) -> None:
    data = load(DataConfig(name))  # type: ignore[arg-type]
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [50_000, 10_000, 10_000]
    domain = data.config.domain
    for split in splits:
        assert (split.levels, split.dynamic) == (1, False)
        assert split.pixels.shape[1] == domain.size
        assert split.pixels.dtype == (torch.float32 if domain.symbols is None else torch.uint8)
        assert split.labels.dtype == torch.int64
        index = torch.tensor([[3, 1], [4, 1]])
        batch = split.batch(index)
        assert batch.dtype == torch.float32
        assert batch.equal(split.pixels[index].float())
    assert not data.validation.pixels.equal(data.test.pixels)
    assert data.train.pixels.data_ptr() != load(data.config).train.pixels.data_ptr()


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_draw_is_the_same_on_every_device(name: str, device: torch.device) -> None:
    config = DataConfig(name)  # type: ignore[arg-type]
    here, there = load(config), load(config, device=device)
    for split in ("train", "validation", "test"):
        assert there.split(split).pixels.device.type == device.type
        assert there.split(split).labels.device.type == device.type
        assert there.split(split).pixels.cpu().equal(here.split(split).pixels)
        assert there.split(split).labels.cpu().equal(here.split(split).labels)


@pytest.mark.parametrize(("name", "digest"), [("expressions", "3a6c5b9edc3a5b11"), ("molecules", "6a71ef8b76b0f3e1")])
def test_strings_never_change(name: str, digest: str) -> None:
    strings = load(DataConfig(name)).train.pixels  # type: ignore[arg-type]
    assert hashlib.sha256(strings.numpy().tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("8-gaussians", (-0.018703, -1.43424)),
        ("25-gaussians", (1.403466, -0.669817)),
        ("swiss-roll", (0.652097, -0.407349)),
    ],
)
def test_points_never_change(name: str, point: tuple[float, float]) -> None:
    assert load(DataConfig(name)).test.pixels[-1].tolist() == pytest.approx(point, abs=1e-6)  # type: ignore[arg-type]


def test_domains() -> None:
    assert DataConfig().domain == Domain(784, 2, Shape(28, 28))
    assert DataConfig("mnist", "dynamic").domain == Domain(784, 2, Shape(28, 28))
    assert DataConfig("mnist", "none").domain == Domain(784, None, Shape(28, 28))
    assert DataConfig("25-gaussians").domain == Domain(2, None)
    assert DataConfig("expressions").domain == Domain(16, 7)
    assert DataConfig("molecules").domain == Domain(16, 9)


@pytest.mark.parametrize("name", SYNTHETIC)
@pytest.mark.parametrize("setting", [{"binarisation": "none"}, {"binarisation_seed": 1}])
def test_nothing_is_binarised(name: str, setting: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f'needs images, {name} has none: leave binarisation at "threshold"') as caught:
        DataConfig(name, **setting)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
