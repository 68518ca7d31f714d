"""Own images in a folder, as files of any common kind, grayscale or colour, of 8 bits.

Subfolders ``train``, ``validation`` (``val``, ``valid``) and ``test`` are splits. Other subfolders, of the folder or of
a split, are classes: the label is the place of a class among the sorted names. Or a file ``labels.csv`` beside the
images, with the columns ``file`` and ``label``, has one for each: labels that are all whole numbers stand for
themselves. Without either there are no labels. Hidden files and files that are no images by their names are passed
over; a broken image is an error.

One colour image makes all of them colour. All are of one size, or scaled to ``image_size``. An alpha channel is refused
where it is transparent.
"""

from __future__ import annotations

import contextlib
import csv
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from discrete_vae.data.picture import Header, header, pixels
from discrete_vae.data.raw import ALL, SPLIT_NAMES, Part, Raw, Reader, check_parts, numbered, places
from discrete_vae.errors import InputError

SUFFIXES = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
TABLE = "labels.csv"
NOTHING, FOLDERS, ROWS = "no labels", "folders of classes", TABLE
"""Where labels come from."""


@dataclass(frozen=True)
class Listed:
    """An image's file, the name of its class, and where the name comes from."""

    path: Path
    label: str = ""
    origin: str = NOTHING


def understands(path: Path) -> bool:
    """Whether this is a folder."""
    return path.is_dir()


def read(path: Path, reader: Reader) -> Raw:
    """The images of a folder, in the order of their names.

    Raises:
        InputError: no images, a broken one, several sizes, or a kind that is not taken; splits, classes and labels that
            do not fit together; or more than the memory holds.
    """
    parts = _listed(path)
    files = [each for listed in parts.values() for each in listed]
    headers = _headers(files, path, reader)
    size = reader.image_size or (headers[0].rows, headers[0].columns)
    channels = max(each.channels for each in headers)
    needed = len(files) * size[0] * size[1] * channels
    # As they are read, and as a copy that is split.
    reader.require(2 * needed, f"{path} with {len(files):,} images of {size[0]}x{size[1]}x{channels}")
    labels = _labels(files, path)
    found, start = {}, 0
    with reader.counting(f"reading {path.name}", len(files)) as done:
        for part, listed in parts.items():
            images = np.empty((len(listed), *size, channels), np.uint8)
            for place, each in enumerate(listed):
                with _opened(each.path) as image:
                    images[place] = pixels(image, each.path, reader.image_size, channels)
                done(1)
            found[part] = Part(images, labels[start : start + len(listed)])
            start += len(listed)
    return Raw(found, levels=255)  # in image files white is 255, also in binary ones


def _listed(path: Path) -> dict[str, list[Listed]]:
    """The files of each split, or of all images."""
    images, folders = _content(path)
    named = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if not named:
        return {ALL: _classes(path)}
    if others := [each for each in folders if each not in named] + images:
        raise InputError(
            f"{path} has {others[0].name} beside its splits {', '.join(sorted(each.name for each in named))}: move it "
            "into one of them"
        )
    if len(set(named.values())) < len(named):
        raise InputError(f"{path} has two folders of one split: keep one of {', '.join(e.name for e in sorted(named))}")
    order = sorted(named, key=lambda each: ("train", "validation", "test").index(named[each]))
    parts = {named[each]: _classes(each) for each in order}
    check_parts(parts, path)
    return parts


def _classes(path: Path) -> list[Listed]:
    """The files of a folder with the names of their classes."""
    images, folders = _content(path)
    table = path / TABLE
    if images and folders:
        raise InputError(
            f"{path} has images beside the folder {folders[0].name}: put each image into its class' folder"
        )
    if folders and table.is_file():
        raise InputError(f"{table} lies beside folders of classes: leave one of the two")
    if not images and not folders:
        raise InputError(f"{path} has no images ({', '.join(sorted(SUFFIXES))}): name a folder that has some")
    if images:
        if not table.is_file():
            return [Listed(each) for each in images]
        labels = _table(table, images)
        return [Listed(each, labels[each.name], ROWS) for each in images]
    found = []
    for folder in folders:
        within, deeper = _content(folder)
        if deeper:
            raise InputError(
                f"{folder} is a class and has a folder {deeper[0].name}: put the images into the class' folder"
            )
        if not within:
            raise InputError(f"{folder} is a class without images: delete it, or add some")
        found += [Listed(each, folder.name, FOLDERS) for each in within]
    return found


def _content(path: Path) -> tuple[list[Path], list[Path]]:
    """Images and folders in a folder, sorted by name."""
    try:
        entries = sorted(each for each in path.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); name a folder of images") from error
    folders = [each for each in entries if each.is_dir()]
    return [each for each in entries if each.suffix.lower() in SUFFIXES and not each.is_dir()], folders


def _table(path: Path, images: list[Path]) -> dict[str, str]:
    """Labels by file name."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read ({' '.join(str(error).split())}); write it as file,label") from error
    columns, *rest = [row for _, row in rows] or [[]]
    if not rest or not {"file", "label"} <= set(columns):
        raise InputError(f"{path} has the columns {', '.join(columns) or 'none'}: give file,label and a row an image")
    found: dict[str, str] = {}
    for line, row in rows[1:]:
        if len(row) > len(columns):
            raise InputError(
                f"{path} has {len(row)} cells in line {line}, but {len(columns)} columns: put a name or label that has "
                "a comma in double quotes"
            )
        cells = dict(zip(columns, row, strict=False))  # a row may lack the last ones
        name, label = cells.get("file", ""), cells.get("label", "")
        if name in found:
            raise InputError(f"{path} names {name!r} twice: leave one")
        if not label:
            raise InputError(f"{path} has no label for {name!r}: give one")
        found[name] = label
    there = {each.name for each in images}
    if strange := sorted(set(found) - there):
        raise InputError(f"{path} names {strange[0]!r}, which is no image beside it: correct it")
    if missing := sorted(there - set(found)):
        raise InputError(f"{path} has no row for {missing[0]}: give each image a label")
    return found


def _labels(files: list[Listed], path: Path) -> NDArray[np.int64]:
    if len(origins := {each.origin for each in files}) > 1:
        raise InputError(f"{path} has splits with {' and with '.join(sorted(origins))}: label all in one way, or none")
    names = [each.label for each in files]
    if origins == {NOTHING}:
        return np.full(len(files), -1, np.int64)
    return numbered(names) if origins == {ROWS} else places(names)


def _headers(files: list[Listed], path: Path, reader: Reader) -> list[Header]:
    found = []
    with reader.counting(f"looking through {path.name}", len(files)) as done:
        for each in files:
            with _opened(each.path) as image:
                found.append(header(image, each.path))
            done(1)
            first, last = found[0], found[-1]
            if not reader.image_size and (last.rows, last.columns) != (first.rows, first.columns):
                raise InputError(
                    f"{each.path} has {last.rows}x{last.columns} pixels, but {files[0].path.name} has "
                    f"{first.rows}x{first.columns}: give an image size (--image-size {first.rows} {first.columns})"
                )
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file; what goes wrong with it, also while it is decoded, is an ``InputError`` that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the memory is asked for by size
            with Image.open(path) as image:
                yield image
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no image that can be read: fix it, or delete it") from error
    except Exception as error:  # decoders of formats raise what they like
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:120]
        raise InputError(f"{path} cannot be read ({reason}): fix it, or delete it") from error
