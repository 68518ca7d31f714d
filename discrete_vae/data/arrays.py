"""Own images in a file of NumPy arrays: ``.npz``, or ``.npy`` of images alone. Nothing in them is executed.

A ``.npz`` has images (``images``, ``x``, ``data``) and perhaps labels (``labels``, ``y``); or these of each split:
``train_images`` or ``x_train``, ``test_labels`` or ``y_test``, or the split's name alone. Case does not matter.

Images are ``[M, rows, columns]``, ``[M, rows, columns, channels]`` or, where the last axis is neither 1 nor 3,
``[M, channels, rows, columns]``. Pixels are whole numbers 0..255, or floats k / 255. Images of nothing but 0 and 1, or
of bool, are binary if those of all splits are. Otherwise bool and floats go from 0 to 1 and are scaled by 255. Whole
numbers 0 and 1 then have the scale of the other splits: 0..255 if one has larger whole numbers, else 0..1.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image

from discrete_vae.data.picture import scaled
from discrete_vae.data.raw import ALL, SPLIT_NAMES, Part, Raw, Reader, check_parts, dense, numbered
from discrete_vae.errors import InputError
from discrete_vae.memory import amount

SUFFIXES = (".npz", ".npy")
IMAGES, LABELS = ("images", "image", "x", "data"), ("labels", "label", "y", "targets")
PRECISION = 1e-6
"""Largest distance of a float from k / 255: several roundings of float32, also where it is saved as float64."""


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
    images = {part: _laid_out(array, f"{path}: {part} images") for part, array in images.items()}
    check_parts(images, path)
    binary = all(map(_binary, images.values()))
    white = 1 if binary else _white_of_integers(images.values())
    pixels = {part: _bytes(array, binary, white, f"{path}: {part} images") for part, array in images.items()}
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
    levels = 1 if binary else 255
    if reader.image_size and any(each.shape[1:3] != reader.image_size for each in pixels.values()):
        pixels, levels = _scaled(pixels, levels, reader), 255
    for part, each in pixels.items():
        if len(numbers[part]) != len(each):
            raise InputError(f"{path} has {len(numbers[part])} labels for {len(each)} {part} images: give one an image")
    return Raw({part: Part(each, numbers[part]) for part, each in pixels.items()}, levels)


def _load(path: Path, reader: Reader) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name, if the memory holds them; that of a .npy is called images."""
    sizes: list[tuple[int, int]] = []
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                sizes.append(_size(file))
        else:
            with zipfile.ZipFile(path) as archive:
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
    except MemoryError as error:
        raise InputError(
            f"{path} with {sum(count for _, count in sizes):,} numbers takes {amount(sum(size for size, _ in sizes))}, "
            "more than the memory holds: give less"
        ) from error
    except (
        ValueError,
        OverflowError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
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


def _laid_out(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Images ``[M, rows, columns, channels]`` of numbers that may be pixels."""
    if array.ndim not in (3, 4) or not array.size:
        raise InputError(f"{name} have shape {array.shape}: give [images, rows, columns] or [images, rows, columns, 3]")
    if array.ndim == 3:
        array = array[..., None]
    elif array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = np.moveaxis(array, 1, 3)
    if array.shape[3] not in (1, 3):
        raise InputError(f"{name} have {array.shape[3]} channels: give 1 (grayscale) or 3 (colour)")
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} are {array.dtype}: give uint8, bool, or floats k / 255")
    if not np.isfinite(array).all():
        raise InputError(f"{name} have numbers that are not finite: fix them")
    return array


def _binary(array: NDArray[Any]) -> bool:
    """True if all numbers are 0 or 1."""
    return array.dtype.kind == "b" or bool(((array == 0) | (array == 1)).all())


def _white_of_integers(images: Iterable[NDArray[Any]]) -> int:
    """The number of white in whole numbers 0 and 1, beside images that are not binary: 255 beside larger ones."""
    larger = any(array.dtype.kind in "iu" and array.max() > 1 for array in images)
    return 255 if larger else 1


def _bytes(array: NDArray[Any], binary: bool, white: int, name: str) -> NDArray[np.uint8]:
    """Pixels 0..255, or 0/1 if the images of all splits are ``binary``; ``white`` is that of whole numbers."""
    if array.dtype.kind == "b":
        return np.ascontiguousarray(array, np.uint8) * np.uint8(1 if binary else 255)
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise InputError(f"{name} are from {low} to {high}: give whole numbers from 0 to 255, or floats k / 255")
        scale = 1 if binary or white == 255 else 255
        pixels = np.ascontiguousarray(array, np.uint8)
        return pixels if scale == 1 else pixels * np.uint8(scale)
    remedy = "give uint8 from 0 to 255 (numpy.rint(255 * images).astype('uint8') where they are from 0 to 1)"
    # To the precision of the numbers: k / 255 as well as k * (1 / 255).
    precision = max(PRECISION, float(np.finfo(array.dtype).eps))
    if low < -precision or high > 1 + precision:
        raise InputError(f"{name} are floats from {low:g} to {high:g}: {remedy}")
    nearest: NDArray[Any] = np.rint(array if binary else array * 255)
    if not binary and np.abs(array * 255 - nearest).max() > 255 * precision:
        raise InputError(f"{name} are floats other than k / 255, which would be rounded: {remedy}")
    return np.ascontiguousarray(nearest, np.uint8)


def _labels(labels: Mapping[str, NDArray[Any]], path: Path) -> dict[str, NDArray[np.int64]]:
    """Numbers of classes by part: ``dense`` of whole numbers, ``numbered`` of names."""
    flat = {}
    for part, array in labels.items():
        if array.ndim == 2 and array.shape[1] == 1:
            array = array[:, 0]
        if array.ndim != 1 or array.dtype.kind not in "iuU":
            raise InputError(
                f"{path}: {part} labels are {array.dtype} {array.shape}: give one whole number or name an image"
            )
        if array.dtype.kind in "iu" and array.size and (array.min() < 0 or array.max() >= 2**63):
            raise InputError(
                f"{path}: {part} has a label {array.min() if array.min() < 0 else array.max()}: give 0, 1, ..."
            )
        if array.dtype.kind == "U" and not all(map(str.strip, array)):
            place = next(place for place, name in enumerate(array) if not name.strip())
            raise InputError(f"{path}: {part} has an empty label for image {place} (counted from 0): give one")
        flat[part] = array
    if len({array.dtype.kind == "U" for array in flat.values()}) > 1:
        raise InputError(f"{path} has labels that are numbers and labels that are names: give one kind")
    if all(array.dtype.kind != "U" for array in flat.values()):
        numbers = dense(np.concatenate([array.astype(np.int64) for array in flat.values()]))
    else:
        numbers = numbered([str(name) for array in flat.values() for name in array])
    cuts = np.cumsum([len(array) for array in flat.values()])[:-1]
    return dict(zip(flat, np.split(numbers, cuts), strict=True))


def _scaled(images: Mapping[str, NDArray[np.uint8]], levels: int, reader: Reader) -> dict[str, NDArray[np.uint8]]:
    """Images 0..255 of the reader's size, from those of ``levels``."""
    size, white, made = reader.image_size, 255 // levels, {}
    with reader.counting("scaling images", sum(map(len, images.values()))) as done:
        for part, each in images.items():
            made[part] = np.empty((len(each), *size, each.shape[3]), np.uint8)
            for place, image in enumerate(each * np.uint8(white)):  # scaled binary images have grey levels
                made[part][place] = scaled(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), size)
                done(1)
    return made
