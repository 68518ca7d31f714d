"""Own images in a file of NumPy arrays: ``.npz``, or ``.npy`` of images alone. Nothing in them is executed.

A ``.npz`` has images (``images``, ``x``, ``data``) and perhaps labels (``labels``, ``y``); or these of each split:
``train_images`` or ``x_train``, ``test_labels`` or ``y_test``, or the split's name alone. Case does not matter.

Images are ``[M, rows, columns]``, ``[M, rows, columns, channels]`` or, where the last axis is neither 1 nor 3,
``[M, channels, rows, columns]``. Pixels are whole numbers 0..255; bool, or nothing but 0 and 1, is binary; floats are
taken where they are k / 255.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from discrete_vae.data.picture import scaled
from discrete_vae.data.raw import ALL, SPLIT_NAMES, Part, Raw, Reader, check_parts, levels_of, numbered
from discrete_vae.errors import InputError

SUFFIXES = (".npz", ".npy")
IMAGES, LABELS = ("images", "image", "x", "data"), ("labels", "label", "y", "targets")


def understands(path: Path) -> bool:
    """Whether this is a file of arrays, by its name."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def read(path: Path, reader: Reader) -> Raw:
    """The images of a file.

    Raises:
        InputError: a file that cannot be read, objects in it, arrays of names, shapes or values that are not known, or
            more than the memory holds.
    """
    images, labels = _named(_load(path, reader), path)
    pixels = {part: _pixels(array, f"{path}: {part} images") for part, array in images.items()}
    check_parts(pixels, path)
    shapes = {each.shape[1:] for each in pixels.values()}
    if len(shapes) > 1 and (not reader.image_size or len({shape[2] for shape in shapes}) > 1):
        raise InputError(f"{path} has images of shapes {', '.join(map(str, sorted(shapes)))}: give all one shape")
    if missing := [part for part in images if part not in labels]:
        if labels:
            raise InputError(
                f"{path} has labels for {' and '.join(labels)}, but none for {missing[0]}: give all or none"
            )
        numbers = {part: np.full(len(each), -1) for part, each in pixels.items()}
    else:
        numbers = _labels(labels, path)
    if reader.image_size:
        pixels = _scaled(pixels, reader)
    for part, each in pixels.items():
        if len(numbers[part]) != len(each):
            raise InputError(f"{path} has {len(numbers[part])} labels for {len(each)} {part} images: give one an image")
    levels = levels_of(pixels)
    return Raw({part: Part(each, numbers[part]) for part, each in pixels.items()}, levels)


def _load(path: Path, reader: Reader) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name, if the memory holds them; that of a .npy is called images."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                sizes = [_size(file)]
        else:
            with zipfile.ZipFile(path) as archive:
                sizes = []
                for name in archive.namelist():
                    with archive.open(name) as file:
                        sizes.append(_size(file))
        # As they are, as 8 bits, and as a copy that is split.
        reader.require(
            sum(size + 2 * count for size, count in sizes), f"{path} with {sum(c for _, c in sizes):,} numbers"
        )
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"images": found}
        with found:
            return {name: found[name] for name in found.files}
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}); name a file .npz or .npy") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.zlib.error, NotImplementedError) as error:  # type: ignore[attr-defined]
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is no file of plain arrays ({reason}): write it again by numpy.savez") from error


def _size(file: IO[bytes]) -> tuple[int, int]:
    """Bytes and numbers of an array, by its header."""
    version = npy.read_magic(file)  # type: ignore[arg-type]
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = read(file)  # type: ignore[arg-type]
    if kind.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    count = math.prod(shape)
    return count * kind.itemsize, count


def _named(arrays: Mapping[str, NDArray[Any]], path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Images and labels by their part, from the arrays by their names."""
    roles: dict[str, tuple[int, str]] = {}
    for kind, names in enumerate((IMAGES, LABELS)):
        for name in names:
            roles[name] = kind, ALL
            for word, split in SPLIT_NAMES.items():
                roles[f"{word}_{name}"] = roles[f"{name}_{word}"] = kind, split
    roles |= {word: (0, split) for word, split in SPLIT_NAMES.items()}
    found: tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]] = {}, {}
    for name, array in arrays.items():
        if name.lower() not in roles:
            raise InputError(
                f"{path} has an array {name[:80]!r}: leave it out, or call images x_train or images, labels y_train or "
                "labels, and so with validation and test"
            )
        kind, part = roles[name.lower()]
        if part in found[kind]:
            raise InputError(
                f"{path} has {('images', 'labels')[kind]} of {part} twice, the second as {name!r}: leave one"
            )
        found[kind][part] = array
    images, labels = found
    if not images:
        raise InputError(f"{path} has no images: call them images, or x_train, x_test")
    if ALL in images and len(images) > 1:
        raise InputError(
            f"{path} has images of no split beside those of {' and '.join(sorted(set(images) - {ALL}))}: leave one"
        )
    if extra := [part for part in labels if part not in images]:
        raise InputError(f"{path} has labels but no images of {extra[0]}: give both")
    return images, labels


def _pixels(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Images ``[M, rows, columns, channels]``."""
    if array.ndim not in (3, 4) or not array.size:
        raise InputError(f"{name} have shape {array.shape}: give [images, rows, columns] or [images, rows, columns, 3]")
    if array.ndim == 3:
        array = array[..., None]
    elif array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = np.moveaxis(array, 1, 3)
    if array.shape[3] not in (1, 3):
        raise InputError(f"{name} have {array.shape[3]} channels: give 1 (grayscale) or 3 (colour)")
    return np.ascontiguousarray(_bytes(array, name))


def _bytes(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
    if array.dtype == np.bool_ or array.dtype == np.uint8:
        return array.astype(np.uint8, copy=False)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} are {array.dtype}: give uint8, bool, or floats k / 255")
    if not np.isfinite(array).all():
        raise InputError(f"{name} have numbers that are not finite: mend them")
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise InputError(f"{name} are from {low} to {high}: give whole numbers from 0 to 255, or floats k / 255")
        return array.astype(np.uint8)
    remedy = "give uint8 from 0 to 255 (numpy.rint(255 * images).astype('uint8') where they are from 0 to 1)"
    if low < 0 or high > 1:
        raise InputError(f"{name} are floats from {low:g} to {high:g}: {remedy}")
    whole = bool(((array == 0) | (array == 1)).all())
    nearest: NDArray[Any] = np.rint(array if whole else array * 255)
    # To the precision of the numbers: k / 255 as well as k * (1 / 255).
    if not whole and np.abs(array * 255 - nearest).max() > 255 * np.finfo(array.dtype).eps:
        raise InputError(f"{name} are floats other than k / 255, which would be rounded: {remedy}")
    return np.asarray(nearest, np.uint8)


def _labels(labels: Mapping[str, NDArray[Any]], path: Path) -> dict[str, NDArray[np.int64]]:
    """Whole numbers from 0 as they are, names by their place among all that are sorted."""
    flat = {}
    for part, array in labels.items():
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1 or array.dtype.kind not in "iuU":
            raise InputError(
                f"{path}: {part} labels are {array.dtype} {array.shape}: give one whole number or name an image"
            )
        if array.dtype.kind in "iu" and array.size and (array.min() < 0 or array.max() >= 2**31):
            raise InputError(
                f"{path}: {part} has a label {array.min() if array.min() < 0 else array.max()}: give 0, 1, ..."
            )
        flat[part] = array
    if len({array.dtype.kind == "U" for array in flat.values()}) > 1:
        raise InputError(f"{path} has labels that are numbers and labels that are names: give one kind")
    if all(array.dtype.kind != "U" for array in flat.values()):
        return {part: array.astype(np.int64) for part, array in flat.items()}
    numbers = numbered([str(name) for array in flat.values() for name in array])
    cuts = np.cumsum([len(array) for array in flat.values()])[:-1]
    return dict(zip(flat, np.split(numbers, cuts), strict=True))


def _scaled(images: Mapping[str, NDArray[np.uint8]], reader: Reader) -> dict[str, NDArray[np.uint8]]:
    size, white = reader.image_size, 255 if levels_of(images) == 1 else 1
    if all(each.shape[1:3] == size for each in images.values()):
        return dict(images)
    made = {}
    with reader.counting("scaling images", sum(map(len, images.values()))) as done:
        for part, each in images.items():
            made[part] = np.empty((len(each), *size, each.shape[3]), np.uint8)
            for place, image in enumerate(each * np.uint8(white)):  # of binary images shades, where they are scaled
                made[part][place] = scaled(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), size)
                done(1)
    return made
