"""Omniglot, 50 alphabets drawn by 20 people each (Lake, Salakhutdinov, Tenenbaum 2015), in three forms.

``omniglot`` is that of the IWAE authors (Burda et al. 2016), ``chardata.mat`` of github.com/yburda/iwae: 28 x 28
intensities, which are rounded to k / 255. Of its 24,345 training images, in the order that the authors' seed 123 gives,
the last 1,345 are for validation; 8,070 are the test.

``omniglot-original`` is ``images_background.zip`` and ``images_evaluation.zip`` of github.com/brendenlake/omniglot, in
the folder ``python``: 105 x 105, dark ink. Here an intensity is the share of ink in one of 28 x 28 equal squares, which
are 3.75 pixels wide, rounded to k / 255. Of the 19,280 background images, in a fixed random order, the last 2,000 are
for validation; the 13,180 of evaluation are the test, whose alphabets do not occur in training.

``omniglot-small`` is ``images_background_small1.zip`` and ``images_background_small2.zip`` of the same folder: the
authors' two minimal splits, of five alphabets each, of which two are in both. Of the 4,840 drawings, shrunk as above
and in a fixed random order, the last 600 are the test, and 600 more are for validation: of the same alphabets as
training.

The label is the alphabet. The files are told by their content: the SHA-1 under which git stores them. Omniglot is under
the MIT licence (Brenden Lake, 2015).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from discrete_vae.data.images import Images
from discrete_vae.data.known import KNOWN
from discrete_vae.errors import InputError

MATRIX, BACKGROUND, EVALUATION = "chardata.mat", "images_background.zip", "images_evaluation.zip"
MINIMAL = ("images_background_small1.zip", "images_background_small2.zip")
BLOBS: Mapping[str, Mapping[str, str]] = {
    "omniglot": {MATRIX: "016a3536ffe5e1d38e42563a18d7a78bfaf643ec"},
    "omniglot-original": {
        BACKGROUND: "71fd167eb6fdd312049395fbd247147a4b234231",
        EVALUATION: "8ccde0ed1565641f1fa8c57cdc6ff634e15fc5c1",
    },
    "omniglot-small": {
        MINIMAL[0]: "9f7a8841ab7aa328da78606307b624eeec5ba0a1",
        MINIMAL[1]: "8352587b51522d3881049c0c6452ccf865445341",
    },
}
"""The files of each form, and git's names of their content."""
HOMES = {
    "omniglot": "datasets/OMNIGLOT of github.com/yburda/iwae",
    "omniglot-original": "python of github.com/brendenlake/omniglot",
    "omniglot-small": "python of github.com/brendenlake/omniglot",
}
SIDE, DRAWN, QUARTERS = 28, 105, 4
"""Pixels of a side here and in the original; 28 squares of 15 quarters of a pixel are 105 pixels."""
OVERLAPS = np.zeros((SIDE, DRAWN), np.float32)
"""Quarters of a pixel that a square's side shares with each pixel of the original."""
np.add.at(
    OVERLAPS, (np.arange(DRAWN * QUARTERS) * SIDE // (DRAWN * QUARTERS), np.arange(DRAWN * QUARTERS) // QUARTERS), 1
)
ORDER = 123
"""The seed of the authors' order, and of ours for the original."""
Contents = Mapping[str, bytes]
"""Contents of a form's files, by name."""
Part = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Images ``[M, 784]`` and labels ``[M]``."""
Drawing = tuple[str, ...]
"""Alphabet, character and file."""


def read(name: str, folder: Path) -> Images:
    """The images of a form (pixels 0..255) from its files in ``folder``: training and validation, then the test.

    Raises:
        InputError: a file is missing or not the known one, or scipy is, which reads ``chardata.mat``.
    """
    contents = {file: _content(folder / file, blob, name) for file, blob in BLOBS[name].items()}
    sizes = KNOWN[name].sizes
    (train, train_labels), (test, test_labels) = FORMS[name](contents, folder)
    order = np.random.RandomState(ORDER).permutation(len(train))
    images = Images(np.concatenate([train[order], test]), np.concatenate([train_labels[order], test_labels]))
    if (found := (len(train), len(test))) != (sizes.train + sizes.validation, sizes.test):
        raise InputError(
            f"{folder} has {found[0]:,} + {found[1]:,} images of {name}, not {sizes}: put the original there"
        )
    return images


def original(contents: Contents, folder: Path) -> list[Part]:
    """Background and evaluation."""
    train, test = (archive(contents[file], folder / file) for file in (BACKGROUND, EVALUATION))
    names, test_names = ([alphabet for alphabet, *_ in part] for part in (train, test))
    number = {each: place for place, each in enumerate(sorted({*names, *test_names}))}
    return [
        (np.stack(list(part.values())), np.array([number[alphabet] for alphabet, *_ in part], np.uint8))
        for part in (train, test)
    ]


def minimal(contents: Contents, folder: Path) -> list[Part]:
    """The drawings of both minimal splits, each once, in a random order: the last are the test."""
    drawings: dict[Drawing, NDArray[np.uint8]] = {}
    for file in MINIMAL:
        drawings |= archive(contents[file], folder / file)
    names = sorted(drawings)
    number = {each: place for place, each in enumerate(sorted({alphabet for alphabet, *_ in names}))}
    images, labels = (
        np.stack([drawings[each] for each in names]),
        np.array([number[each[0]] for each in names], np.uint8),
    )
    order = np.random.RandomState(ORDER).permutation(len(names))
    test = order[-KNOWN["omniglot-small"].sizes.test :]
    rest = order[: -len(test)]
    return [(images[rest], labels[rest]), (images[test], labels[test])]


def matrix(content: bytes) -> list[Part]:
    """Images ``[M, 784]`` and labels ``[M]`` for training and test, in the order of the file ``chardata.mat``.

    Its columns are images, whose 784 numbers run down the columns of pixels, as everywhere in MATLAB.

    Raises:
        InputError: scipy is not installed, or numbers are no intensities or alphabets.
    """
    try:
        loadmat = import_module("scipy.io").loadmat
    except ImportError as error:
        raise InputError(
            f"{MATRIX} is read by scipy, which is not installed: pip install 'discrete-vae[reports]'"
        ) from error
    held: dict[str, Any] = loadmat(io.BytesIO(content))

    def part(images: str, labels: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        columns = np.asarray(held[images], np.float64).T.reshape(-1, SIDE, SIDE)
        rows = columns.transpose(0, 2, 1).reshape(-1, SIDE * SIDE)
        if not 0 <= rows.min() <= rows.max() <= 1:
            raise InputError(f"{MATRIX} has {images} from {rows.min()} to {rows.max()}, not intensities from 0 to 1")
        return np.rint(rows * 255).astype(np.uint8), alphabets(np.asarray(held[labels]), labels)

    return [part("data", "target"), part("testdata", "testtarget")]


def alphabets(target: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """The place of an image's alphabet ``[M]``, from a column of 50 that has a one there, or its number from 1.

    Raises:
        InputError: an image that has no alphabet, or several.
    """
    if len(target) == 1 and target.min() >= 1:
        return np.asarray(target[0] - 1, np.uint8)
    if not ((target == 1).sum(0) == 1).all() or len(target) == 1:
        raise InputError(f"{MATRIX} has a {name} of {target.shape} that names no alphabet for each image")
    return np.asarray(target.argmax(0), np.uint8)


def archive(content: bytes, path: Path) -> dict[Drawing, NDArray[np.uint8]]:
    """The images ``[784]`` of an archive, sorted by alphabet, character and file.

    Raises:
        InputError: an entry that is no drawing of 105 x 105.
    """
    images = {}
    with zipfile.ZipFile(io.BytesIO(content)) as entries:
        for name in sorted(each for each in entries.namelist() if each.endswith(".png")):
            with Image.open(io.BytesIO(entries.read(name))) as drawing:
                pixels = np.asarray(drawing.convert("L"))
            if pixels.shape != (DRAWN, DRAWN):
                raise InputError(
                    f"{path} has {name} of {pixels.shape[0]}x{pixels.shape[1]} pixels: put the original there"
                )
            images[tuple(name.split("/")[-3:])] = shrunk(pixels < 128).reshape(-1)
    return images


def shrunk(ink: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Ink ``[105, 105]`` -> its share in each of 28 x 28 squares, times 255 and rounded: the same on every machine."""
    area = (DRAWN * QUARTERS // SIDE) ** 2  # of a square, in sixteenths of a pixel
    covered = (OVERLAPS @ ink.astype(np.float32) @ OVERLAPS.T).astype(np.int64)  # float32 is exact up to 2^24
    return np.asarray((510 * covered + area) // (2 * area), np.uint8)


FORMS: Mapping[str, Callable[[Contents, Path], list[Part]]] = {
    "omniglot": lambda contents, folder: matrix(contents[MATRIX]),
    "omniglot-original": original,
    "omniglot-small": minimal,
}
"""Readers of a form's training and test images; the first are then put in order."""


def git_blob(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _content(path: Path, blob: str, name: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): name the folder that holds {path.name}, of {HOMES[name]}"
        ) from error
    if (found := git_blob(content)) != blob:
        raise InputError(
            f"{path} is not {path.name} of {name} (git calls its content {found[:12]}..., not {blob[:12]}...): put the "
            f"original there, of {HOMES[name]}"
        )
    return content
