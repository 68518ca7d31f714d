"""Known data sets: shapes and checksums of their IDX files."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from discrete_vae.data import DataConfig, idx, load
from discrete_vae.data.sources import SOURCES, Source, read
from discrete_vae.errors import InputError

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def test_read_joins_the_training_and_the_test_file(small: tuple[Source, Path]) -> None:
    source, folder = small
    images = read(source, folder)
    assert images.pixels.shape == (40, 784)
    assert images.labels.shape == (40,)
    np.testing.assert_array_equal(
        images.pixels[30:].reshape(10, 28, 28), idx.read(folder / "t10k-images-idx3-ubyte.gz", 3)
    )


def write_wrong_size(folder: Path) -> None:
    idx.write(folder / TRAIN_IMAGES, np.zeros((30, 32, 32), np.uint8))


def write_fewer_labels(folder: Path) -> None:
    idx.write(folder / TRAIN_LABELS, np.zeros(29, np.uint8))


def write_other_content(folder: Path) -> None:
    idx.write(folder / TRAIN_LABELS, np.zeros(30, np.uint8))


def remove_labels(folder: Path) -> None:
    (folder / f"{TRAIN_LABELS}.gz").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (write_wrong_size, f"{TRAIN_IMAGES} has images of 32x32 pixels, not 28x28: put the original there"),
        (
            write_fewer_labels,
            f"{TRAIN_LABELS} has 29 labels for the 30 images of {TRAIN_IMAGES}.gz: take both",
        ),
        (write_other_content, f"{TRAIN_LABELS} is not {TRAIN_LABELS} of small (its content has SHA-256 "),
        (remove_labels, f"has no file {TRAIN_LABELS} (looked for {TRAIN_LABELS}, {TRAIN_LABELS}.gz"),
    ],
)
def test_bad_files_are_named_in_one_line(small: tuple[Source, Path], spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    source, folder = small
    spoil(folder)
    with pytest.raises(InputError) as caught:
        read(source, folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_other_data_sets_file_is_recognised(fashion_mnist_folder: Path) -> None:
    with pytest.raises(InputError, match='it belongs to "fashion-mnist", choose that dataset'):
        load(DataConfig("mnist"), fashion_mnist_folder)


def test_fashion_mnist_as_debian_lays_it_out(fashion_mnist_folder: Path) -> None:
    images = read(SOURCES["fashion-mnist"], fashion_mnist_folder)
    assert images.pixels.shape == (70_000, 784)
    assert np.bincount(images.labels).tolist() == [7_000] * 10
    assert images.labels[:5].tolist() == [9, 0, 0, 3, 0]  # ankle boot, T-shirt, T-shirt, dress, T-shirt


def test_uncompressed_files_under_dotted_names(mnist_folder: Path, tmp_path: Path) -> None:
    for name in SOURCES["mnist"].sha256:
        if "labels" in name:
            path = tmp_path / name.replace("-idx", ".idx")
            path.write_bytes(idx.read_content(mnist_folder / f"{name}.gz"))
        else:
            shutil.copy(mnist_folder / f"{name}.gz", tmp_path)
    assert len(read(SOURCES["mnist"], tmp_path).labels) == 70_000
