"""Own images in a folder that Hugging Face ``datasets`` wrote by ``save_to_disk``.

It holds one set, or a set for each of train, validation and test (the names of ``raw.SPLIT_NAMES``). The images are the
one column of images, the labels the column ``label`` (``labels``, ``target``), of whole numbers or classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from discrete_vae.data.picture import header, pixels
from discrete_vae.data.raw import ALL, SPLIT_NAMES, Part, Raw, Reader, check_parts, dense
from discrete_vae.errors import InputError

MARKS = ("dataset_dict.json", "state.json")
"""Files that ``save_to_disk`` leaves."""
LABELS = ("label", "labels", "target")


def understands(path: Path) -> bool:
    """Whether this is a folder of ``save_to_disk``."""
    return any((path / mark).is_file() for mark in MARKS)


def read(path: Path, reader: Reader) -> Raw:
    """The images of a saved set.

    Raises:
        InputError: ``datasets`` is not installed or cannot read the folder; no column or several of images; images or
            labels that are not taken; or more than the memory holds.
    """
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise InputError(
            f"{path} is of Hugging Face datasets, which is not installed: pip install 'discrete-vae[huggingface]'"
        ) from error
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # of Arrow, of JSON, of files
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}): save it again") from error
    tables = _splits(loaded if isinstance(loaded, dict) else {ALL: loaded}, path)
    image = _image_column(next(iter(tables.values())), datasets, path)
    channels, shape, count = 1, reader.image_size, sum(map(len, tables.values()))
    with reader.counting(f"looking through {path.name}", count) as done:
        for part, table in tables.items():
            for place in range(len(table)):
                found = header(_image(table, image, place, f"{path}: {part} {place}"), f"{path}: {part} {place}")
                shape, channels = shape or (found.rows, found.columns), max(channels, found.channels)
                if not reader.image_size and (found.rows, found.columns) != shape:
                    size = f"{found.rows}x{found.columns}"
                    raise InputError(
                        f"{path}: {part} {place} has {size} pixels, others {shape[0]}x{shape[1]}: give an image size "
                        f"(--image-size {shape[0]} {shape[1]})"
                    )
                done(1)
    reader.require(2 * count * shape[0] * shape[1] * channels, f"{path} with {count:,} images")
    parts = {}
    with reader.counting(f"reading {path.name}", count) as done:
        for part, table in tables.items():
            images = np.empty((len(table), *shape, channels), np.uint8)
            for place in range(len(table)):
                name = f"{path}: {part} {place}"
                images[place] = pixels(_image(table, image, place, name), name, reader.image_size, channels)
                done(1)
            parts[part] = Part(images, _labels(table, f"{path}: {part}"))
    if len({bool(len(part.labels) and part.labels[0] < 0) for part in parts.values()}) > 1:
        raise InputError(f"{path} has labels for some splits only: give all or none")
    together = dense(np.concatenate([part.labels for part in parts.values()]))
    cuts = np.cumsum([len(part.labels) for part in parts.values()])[:-1]
    labels = dict(zip(parts, np.split(together, cuts), strict=True))
    return Raw({name: Part(part.pixels, labels[name]) for name, part in parts.items()}, levels=255)


def _splits(loaded: Mapping[str, Any], path: Path) -> dict[str, Any]:
    if ALL in loaded:
        return dict(loaded)
    found: dict[str, Any] = {}
    for name, table in loaded.items():
        if (part := SPLIT_NAMES.get(name.lower())) is None or part in found:
            raise InputError(f"{path} has a split {name[:80]!r}: save train, validation and test alone")
        found[part] = table
    check_parts(found, path)
    return {part: found[part] for part in ("train", "validation", "test") if part in found}


def _image_column(table: Any, datasets: Any, path: Path) -> str:
    columns = [name for name, kind in table.features.items() if isinstance(kind, datasets.Image)]
    if len(columns) != 1:
        raise InputError(f"{path} has {len(columns)} columns of images ({', '.join(table.features)}): save it with one")
    return str(columns[0])


def _image(table: Any, column: str, place: int, name: str) -> Image.Image:
    try:
        image = table[place][column]
    except Exception as error:  # of Arrow, of Pillow
        raise InputError(f"{name} cannot be read ({' '.join(str(error).split())[:200]}): fix it") from error
    if not isinstance(image, Image.Image):
        raise InputError(f"{name} has no image: leave it out")
    return image


def _labels(table: Any, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    column = next((each for each in LABELS if each in table.features), None)
    if column is None:
        return np.full(len(table), -1, np.int64)
    values = table[column][:]
    odd = [value for value in values if type(value) is not int or not 0 <= value < 2**63]
    if odd:
        raise InputError(f"{name} has the label {str(odd[0])[:80]!r}: give each image a whole number from 0")
    return np.array(values, np.int64)
