"""Splits, batches and binarisation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from discrete_vae.data import DataConfig, Dataset, Split, load
from discrete_vae.data.dataset import bernoulli
from discrete_vae.data.images import Images
from discrete_vae.data.loading import assemble
from discrete_vae.errors import InputError

SIZES = (60, 20, 20)


def dataset(binarisation: str, seed: int = 0, device: str = "cpu") -> Dataset:
    """A hundred random grayscale images of 784 pixels, every intensity from 0 to 255 among them."""
    random = np.random.default_rng(0)
    images = Images(random.integers(0, 256, (100, 784), dtype=np.uint8), np.arange(100, dtype=np.uint8))
    config = DataConfig("mnist", binarisation, seed)  # type: ignore[arg-type]
    return assemble(config, images, 255, SIZES, device)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every(split: Split) -> torch.Tensor:
    """All images, as one member's batch."""
    return torch.arange(len(split))[None]


def test_splits_keep_the_order_of_the_files() -> None:
    data = dataset("none")
    assert torch.cat([data.train.labels, data.validation.labels, data.test.labels]).tolist() == list(range(100))
    assert [len(data.split(name)) for name in ("train", "validation", "test")] == list(SIZES)
    assert data.train.labels.dtype == torch.int64


def test_unknown_split() -> None:
    with pytest.raises(InputError, match="unknown split 'valid'; did you mean 'validation'"):
        dataset("none").split("valid")


def test_a_batch_is_a_gather() -> None:
    split = dataset("none").train
    index = torch.tensor([[3, 1, 3], [59, 0, 2]])
    batch = split.batch(index)
    assert batch.shape == (2, 3, 784)
    assert batch.dtype == torch.float32
    assert batch.equal(split.pixels[index] / 255)
    assert (batch.min().item(), batch.max().item()) == (0, 1)


def test_a_binary_batch_is_zeros_and_ones() -> None:
    split = Split(pixels=torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8), labels=torch.tensor([4, 2]))
    assert split.batch(torch.tensor([[1, 0]])).tolist() == [[[1.0, 1.0], [0.0, 1.0]]]


def test_a_batch_leaves_the_pixels_as_they_are() -> None:
    split = dataset("none").train
    before = split.pixels.clone()
    split.batch(every(split)).zero_()
    assert split.pixels.equal(before)


def test_threshold_is_above_127() -> None:
    grayscale, binary = dataset("none"), dataset("threshold")
    for name in ("train", "validation", "test"):
        assert binary.split(name).pixels.equal((grayscale.split(name).pixels > 127).to(torch.uint8))
        assert (binary.split(name).levels, binary.split(name).dynamic) == (1, False)


def test_stochastic_is_drawn_once_from_its_seed() -> None:
    first, again, other = dataset("stochastic", 1), dataset("stochastic", 1), dataset("stochastic", 2)
    for name in ("train", "validation", "test"):
        split = first.split(name)
        assert (split.levels, split.dynamic) == (1, False)
        assert split.batch(every(split)).equal(split.batch(every(split)))
        assert split.pixels.equal(again.split(name).pixels)
        assert not split.pixels.equal(other.split(name).pixels)


def test_stochastic_mean_is_the_intensity() -> None:
    intensities = dataset("none").train.pixels / 255
    draws = torch.stack([dataset("stochastic", seed).train.pixels for seed in range(50)]).float()
    # Within 5 standard errors, pooled over the pixels of an intensity: one false alarm in some 7,000 seeds.
    for intensity in range(256):
        p = intensity / 255
        at = intensities == p
        error = (p * (1 - p) / (at.sum() * len(draws))) ** 0.5
        assert abs(draws[:, at].mean() - p) <= 5 * error + 1e-7


def test_stochastic_keeps_black_and_white() -> None:
    pixels, drawn = dataset("none").train.pixels, dataset("stochastic").train.pixels
    assert drawn[pixels == 0].max() == 0
    assert drawn[pixels == 255].min() == 1


def test_the_draw_of_a_seed_never_changes() -> None:
    pixels = torch.arange(0, 256, 15, dtype=torch.uint8)
    assert bernoulli(pixels, generator(0), 255).int().tolist() == [
        0,
        0,
        0,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
        1,
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_fixed_draw_is_the_same_on_cuda() -> None:
    here, there = dataset("dynamic"), dataset("dynamic", device="cuda")
    assert there.test.pixels.is_cuda
    assert there.test.labels.is_cuda
    assert there.test.pixels.cpu().equal(here.test.pixels)
    batch = there.train.batch(every(there.train).cuda(), [torch.Generator("cuda").manual_seed(0)])
    assert batch.is_cuda
    assert abs(batch.mean().item() - here.train.pixels.float().mean().item() / 255) < 0.01  # 47,040 pixels


def test_dynamic_shares_the_held_out_draw_with_stochastic() -> None:
    dynamic, stochastic = dataset("dynamic", 3), dataset("stochastic", 3)
    assert dynamic.validation.pixels.equal(stochastic.validation.pixels)
    assert dynamic.test.pixels.equal(stochastic.test.pixels)
    assert (dynamic.train.dynamic, dynamic.train.levels) == (True, 255)
    assert not dynamic.validation.dynamic
    assert not dynamic.test.dynamic
    assert dynamic.train.pixels.equal(dataset("none").train.pixels)


def test_dynamic_differs_by_visit_and_repeats_by_seed() -> None:
    split = dataset("dynamic").train
    running = [generator(0)]
    first, second = split.batch(every(split), running), split.batch(every(split), running)
    assert set(first.flatten().tolist()) == {0.0, 1.0}
    assert not first.equal(second)
    assert first.equal(split.batch(every(split), [generator(0)]))


def test_a_members_dynamic_draw_depends_on_its_own_generator_only() -> None:
    split = dataset("dynamic").train
    index = torch.tensor([[0, 1, 2], [7, 8, 9], [4, 4, 4]])
    together = split.batch(index, [generator(seed) for seed in (5, 6, 7)])
    for member, seed in enumerate((5, 6, 7)):
        assert together[member].equal(split.batch(index[member : member + 1], [generator(seed)])[0])
    swapped = split.batch(index, [generator(seed) for seed in (8, 6, 9)])
    assert swapped[1].equal(together[1])
    assert not swapped[0].equal(together[0])


def test_dynamic_frequency_is_the_intensity() -> None:
    split = dataset("dynamic").train
    running, visits = [generator(0)], 400
    mean = sum(split.batch(every(split), running)[0] for _ in range(visits)) / visits
    p = split.pixels / 255
    standard_errors = (mean - p) / (p * (1 - p) / visits).clamp(min=1e-12).sqrt()
    # 47,000 pixels: the largest of as many normal deviates is near 4.3, their mean square 1 +- 0.0065.
    assert standard_errors.abs().max() < 6
    assert standard_errors[(p > 0) & (p < 1)].square().mean() == pytest.approx(1, abs=0.04)


def test_dynamic_needs_a_generator_a_member() -> None:
    split = dataset("dynamic").train
    with pytest.raises(InputError, match="a dynamic split got 1 generators for 2 members: give one a member"):
        split.batch(torch.zeros(2, 3, dtype=torch.int64), [generator(0)])


def test_intensities_of_real_images(mnist_folder: Path) -> None:
    grayscale = load(DataConfig("mnist", "none"), mnist_folder)
    assert grayscale.test.levels == 255
    # The mean intensity of MNIST's test images, a number in many tutorials (training: 0.1307).
    assert (grayscale.test.pixels.float().mean() / 255).item() == pytest.approx(0.1325, abs=5e-5)
    drawn = load(DataConfig("mnist", "stochastic"), mnist_folder).test.pixels.float().mean().item()
    assert drawn == pytest.approx(0.1325, abs=5e-4)  # 5 standard errors of 7.84 million pixels are below 6e-4
