"""Files of arrays: every layout and number that is taken gives the same pixels, and no other is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from discrete_vae.data import Dataset, Shape, read
from discrete_vae.errors import InputError
from tests.data.pictures import noise

IMAGES = noise(30, 5, 7)
COLOUR = noise(30, 5, 7, 3)


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path / "own.npz", **arrays)
    return path / "own.npz"


def pixels(data: Dataset) -> NDArray[np.uint8]:
    """All images of a data set, sorted, whatever split they are in."""
    flat = np.concatenate([split.pixels.numpy() for split in (data.train, data.validation, data.test)])
    return flat[np.lexsort(flat.T)]


def sorted_rows(images: NDArray[Any]) -> NDArray[Any]:
    flat = images.reshape(len(images), -1)
    return flat[np.lexsort(flat.T)]


@pytest.mark.parametrize("name", ["images", "x", "X", "data", "Images"])
def test_images_alone_are_split(tmp_path: Path, name: str) -> None:
    data = read(saved(tmp_path, **{name: IMAGES}), binarisation="none")
    assert data.config.image_shape == Shape(5, 7, 1)
    assert data.config.split_sizes == (24, 3, 3)
    assert (pixels(data) == sorted_rows(IMAGES)).all()
    assert set(data.train.labels.tolist()) == {-1}


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        pytest.param(COLOUR, Shape(5, 7, 3), id="channels last"),
        pytest.param(COLOUR.transpose(0, 3, 1, 2), Shape(5, 7, 3), id="channels first"),
        pytest.param(IMAGES[..., None], Shape(5, 7, 1), id="one channel, last"),
        pytest.param(IMAGES[:, None], Shape(5, 7, 1), id="one channel, first"),
        pytest.param(noise(30, 3, 7), Shape(3, 7, 1), id="three rows"),
        pytest.param(noise(30, 3, 4, 3), Shape(3, 4, 3), id="three rows of colour"),
    ],
)
def test_layouts(tmp_path: Path, images: NDArray[np.uint8], shape: Shape) -> None:
    data = read(saved(tmp_path, x=images), binarisation="none")
    assert data.config.image_shape == shape
    last = images if images.ndim == 3 or images.shape[3] == shape.channels else np.moveaxis(images, 1, 3)
    assert (pixels(data) == sorted_rows(last)).all()


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(IMAGES.astype(np.int64), id="int64"),
        pytest.param(IMAGES / 255, id="float64"),
        pytest.param(IMAGES.astype(np.float32) / 255, id="float32"),
        pytest.param(IMAGES.astype(np.float32) * np.float32(1 / 255), id="float32 by a product"),
        pytest.param(np.nextafter(IMAGES / 255, 0), id="float64 rounded down"),
        pytest.param((IMAGES.astype(np.float32) / 255).astype(np.float64), id="float32 saved as float64"),
        pytest.param(IMAGES / 255 + 9e-7, id="float64 within a millionth"),
    ],
)
def test_numbers_that_are_pixels(tmp_path: Path, images: NDArray[Any]) -> None:
    there = read(saved(tmp_path, x=images), binarisation="none")
    assert there.config == read(saved(tmp_path, x=IMAGES), binarisation="none").config


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.float32, np.int32])
def test_binary_images_stay_binary(tmp_path: Path, kind: type) -> None:
    binary = IMAGES > 127
    data = read(saved(tmp_path, x=binary.astype(kind)))
    assert data.train.levels == 1
    assert (pixels(data) == sorted_rows(binary)).all()
    with pytest.raises(InputError, match="needs grayscale images, own has none"):
        read(saved(tmp_path, x=binary.astype(kind)), binarisation="none")


def test_pixels_binary_in_one_split_alone_are_grayscale(tmp_path: Path) -> None:
    """A threshold at 127 of pixels 0 and 1 of 255 is 0 everywhere."""
    path = saved(tmp_path, x_train=IMAGES, x_validation=IMAGES[:3], x_test=(IMAGES > 127).astype(np.uint8))
    assert read(path).test.pixels.max() == 0


BINARY = IMAGES[:10] > 127


@pytest.mark.parametrize(
    ("train", "test", "wanted"),
    [
        pytest.param(IMAGES / 255, BINARY * 1.0, 255 * BINARY, id="floats, floats 0 and 1"),
        pytest.param(IMAGES, BINARY * 1.0, 255 * BINARY, id="bytes, floats 0 and 1"),
        pytest.param(IMAGES, BINARY, 255 * BINARY, id="bytes, bool"),
        pytest.param(IMAGES / 255, BINARY, 255 * BINARY, id="floats, bool"),
        pytest.param(IMAGES / 255, BINARY.astype(np.uint8), 255 * BINARY, id="floats, integers 0 and 1"),
        pytest.param(IMAGES, BINARY.astype(np.int64), BINARY, id="bytes, integers 0 and 1"),
        pytest.param(IMAGES, IMAGES[:10] / 255, IMAGES[:10], id="bytes, floats"),
    ],
)
def test_all_splits_have_one_scale(
    tmp_path: Path, train: NDArray[Any], test: NDArray[Any], wanted: NDArray[Any]
) -> None:
    """Whichever split is binary; and binary images of several types stay binary."""
    data = read(saved(tmp_path, x_train=train, x_test=test), binarisation="none")
    assert data.test.pixels.numpy().tolist() == wanted.reshape(10, -1).tolist()
    assert [split.levels for split in (data.train, data.validation, data.test)] == [255] * 3
    swapped = read(saved(tmp_path, x_train=test, x_test=train), binarisation="none")
    assert swapped.test.pixels.max() == 255
    assert max(swapped.train.pixels.max(), swapped.validation.pixels.max()) == wanted.max()
    assert read(saved(tmp_path, x_train=BINARY, x_test=BINARY.astype(float))).train.levels == 1


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train", "train_y", "test", "test_y"),
    ],
)
def test_own_splits_are_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    """As Keras names them; validation is drawn from the training images, with their labels."""
    labels = np.arange(30)
    arrays = dict(zip(names, (IMAGES, labels, IMAGES[:4] ^ 1, [[3], [2], [1], [0]]), strict=True))
    data = read(saved(tmp_path, **arrays), binarisation="none")
    assert data.config.split_sizes == (27, 3, 4)
    assert (data.test.pixels.numpy() == (IMAGES[:4] ^ 1).reshape(4, -1)).all()
    assert data.test.labels.tolist() == [3, 2, 1, 0]
    both = data.train.labels.tolist() + data.validation.labels.tolist()
    assert sorted(both) == list(range(30))
    for split in (data.train, data.validation):
        assert (split.pixels.numpy() == IMAGES.reshape(30, -1)[split.labels]).all()


def test_labels_by_name_are_numbered_in_all_splits_alike(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        x_train=IMAGES[:3],
        y_train=["dog", "cat", "dog"],
        x_val=IMAGES[:1],
        y_val=["emu"],
        x_test=IMAGES[:2],
        y_test=["dog", "cat"],
    )
    data = read(path)
    assert [split.labels.tolist() for split in (data.train, data.validation, data.test)] == [[1, 0, 1], [2], [1, 0]]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    ("train", "test", "wanted"),
    [
        ([7, 99_999, 7], [3], [[7, 99_999, 7], [3]]),
        ([2**29, 5, 2**29], [2**28, 100_000], [[3, 0, 3], [2, 1]]),
    ],
)
def test_labels_that_are_identifiers_are_numbered_by_value(
    tmp_path: Path, text: bool, train: list[int], test: list[int], wanted: list[list[int]]
) -> None:
    """Of a class 2^29 a task would make 2^29 classes."""
    labels = {name: np.array(each, str if text else int) for name, each in (("y_train", train), ("y_test", test))}
    images = {"x_train": IMAGES[:3], "x_test": IMAGES[: len(test)], "x_val": IMAGES[:1], "y_val": labels["y_train"][:1]}
    data = read(saved(tmp_path, **images, **labels))
    assert [data.train.labels.tolist(), data.test.labels.tolist()] == wanted


def test_a_header_of_more_than_the_memory_holds_is_named(tmp_path: Path) -> None:
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 1000, 1000)}
        )
    with pytest.raises(InputError, match="with 1,000,000,000,000,000 numbers takes 7,276 TiB, more than the memory"):
        read(tmp_path / "huge.npy")


def test_a_file_of_one_array(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", IMAGES)
    assert read(tmp_path / "own.npy").config == read(saved(tmp_path, x=IMAGES)).config


def test_images_are_scaled(tmp_path: Path) -> None:
    """A size that is there already changes nothing; of binary images the scaled ones have shades."""
    path = saved(tmp_path, x=(IMAGES > 127))
    assert read(path, image_size=(5, 7)).train.levels == 1
    small = read(path, image_size=(2, 3), binarisation="none")
    assert small.config.image_shape == Shape(2, 3, 1)
    assert 0 < small.train.pixels.float().mean() < 255
    assert small.train.levels == 255


ANY = {"x": IMAGES}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES / 256}, "floats other than k / 255, which would be rounded: give uint8"),
        ({"x": IMAGES / 255 + 2e-6 * (IMAGES < 9)}, "floats other than k / 255"),
        ({"x": IMAGES * 1.0}, "floats from 0 to 255: give uint8"),
        ({"x": IMAGES / 255 - 0.5}, "are floats from -0.5"),
        ({"x": np.where(IMAGES > 3, IMAGES, np.nan)}, "not finite"),
        ({"x": IMAGES.astype(int) - 1}, "are from -1 to 254"),
        ({"x": IMAGES.astype(int) * 2}, "are from 0 to 510"),
        ({"x": IMAGES.astype(complex)}, "are complex128: give uint8"),
        ({"x": IMAGES.reshape(30, 35)}, r"shape \(30, 35\): give \[images, rows, columns\]"),
        ({"x": IMAGES[:0]}, r"shape \(0, 5, 7\)"),
        ({"x": noise(9, 5, 7, 4)}, "have 4 channels: give 1"),
        ({"x": noise(9, 2, 5, 7)}, "have 7 channels: give 1"),
        ({"x": IMAGES, "X": IMAGES}, "images of all twice, the second as 'X'"),
        ({"x": IMAGES, "x_test": IMAGES}, "images of no split beside those of test"),
        ({"x_test": IMAGES}, "images for test, but none for training: add train"),
        ({"x": IMAGES, "x_dev": IMAGES}, "has an array 'x_dev': leave it out, or call images x_train"),
        ({"y": np.arange(30)}, "has no images"),
        ({**ANY, "y": np.arange(29)}, "29 labels for 30 all images"),
        ({**ANY, "y": np.arange(30) - 1}, "has a label -1: give 0, 1"),
        ({**ANY, "y": ["cat"] * 29 + [" "]}, r"all has an empty label for image 29 \(counted from 0\): give one"),
        ({**ANY, "y": np.full(30, 2**64 - 1, np.uint64)}, "has a label 18446744073709551615: give 0, 1"),
        ({**ANY, "y": np.eye(30)}, "labels are float64"),
        ({**ANY, "y_test": np.arange(3)}, "labels but no images of test"),
        ({"x_train": IMAGES, "y_train": np.arange(30), "x_test": IMAGES}, "labels for train, but none for test"),
        ({"x_train": IMAGES, "x_test": noise(30, 5, 6)}, "images of shapes"),
        ({"x": np.array([IMAGES, None], dtype=object)}, "holds Python objects, which are not read"),
    ],
)
def test_what_is_not_taken_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["own.npz", "own.npy"])
@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00"])
def test_a_spoilt_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name} is no file of plain arrays"):
        read(tmp_path / name)


def test_memory_is_asked_for_before_the_pixels_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 bytes a number of float64, and twice one of what is made of them."""
    path = saved(tmp_path, x=IMAGES / 255)
    asked = []

    def refuse(size: int, what: str) -> None:
        asked.append(size)
        raise InputError(f"{what}: too large")

    monkeypatch.setattr(np, "load", pytest.fail)
    with pytest.raises(InputError, match=r"own.npz with 1,050 numbers: too large"):
        read(path, require=refuse)
    assert asked == [10 * 30 * 5 * 7]
