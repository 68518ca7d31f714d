"""Own images and text: from a path to a data set whose configuration is computed from what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from discrete_vae.data import arrays, hugging_face, image_folder, text_file
from discrete_vae.data.config import (
    Binarisation,
    DataConfig,
    check_image_size,
    check_name,
    check_own_name,
    check_seed,
    check_shares,
    sentence,
)
from discrete_vae.data.dataset import SPLITS, Dataset, Split, binarised, fingerprint
from discrete_vae.data.domain import Shape
from discrete_vae.data.known import KNOWN
from discrete_vae.data.raw import ALL, Counting, Part, Raw, Reader, Require, silent, unlimited
from discrete_vae.errors import InputError, nearest


@dataclass(frozen=True)
class Source:
    """A form that own images may have."""

    what: str
    understands: Callable[[Path], bool]
    read: Callable[[Path, Reader], Raw]


SOURCES = (
    Source("a file .npz or .npy", arrays.understands, arrays.read),
    Source("a text file .txt", text_file.understands, text_file.read),
    Source("a folder that Hugging Face datasets saved", hugging_face.understands, hugging_face.read),
    Source("a folder of images", image_folder.understands, image_folder.read),
)
"""The first that understands a path reads it."""
FILES = (*arrays.SUFFIXES, text_file.SUFFIX)
"""How the names of files end that hold own data."""
DEFAULT = DataConfig()


def read(
    path: Path | str,
    *,
    name: str | None = None,
    binarisation: Binarisation = "threshold",
    binarisation_seed: int = 0,
    split_seed: int = DEFAULT.split_seed,
    validation: float = DEFAULT.validation,
    test: float = DEFAULT.test,
    image_size: Sequence[int] = (),
    device: torch.device | str = "cpu",
    progress: Counting = silent,
    require: Require = unlimited,
) -> Dataset:
    """Own images at ``path``: a folder of images, a file ``.npz`` or ``.npy``, or a saved Hugging Face data set.

    Or own text, a file ``.txt``. ``arrays``, ``image_folder``, ``hugging_face`` and ``text_file`` say what they may
    hold. Without a test split, the share ``test`` of the images becomes one, and so with ``validation``;
    ``split_seed`` draws them, each image in one split. The data set is called ``name``, by default as the file or
    folder. ``progress`` shows how far reading is, e.g. ``TerminalProgress.counting``; ``require`` is asked for the
    memory before the pixels are read.

    Raises:
        InputError: nothing is there, or nothing that is understood; what the source's ``read`` raises; a name that is
            taken; shares that leave a split empty, or that have no effect because the source has such a split.
    """
    source = source_of(Path(path))
    path = Path(os.path.abspath(path))
    name = _name_of(path) if name is None else name
    check_own_name(name)
    check_name("binarisation", binarisation, get_args(Binarisation))
    check_seed("split_seed", split_seed)
    shares = float(validation), float(test)
    check_shares(*shares)
    if size := tuple(image_size):
        check_image_size(size)
    raw = source.read(path, Reader(size, progress, require))
    parts = _split(raw, split_seed, *shares, path)
    splits = [_flat(parts[split], raw.levels) for split in SPLITS]
    config = DataConfig(
        dataset=name,
        binarisation=binarisation,
        binarisation_seed=binarisation_seed,
        split_seed=split_seed,
        validation=shares[0],
        test=shares[1],
        image_size=size,
        shape=parts["train"].pixels.shape[1:],
        sizes=tuple(map(len, splits)),
        symbols=raw.symbols,
        fingerprint=fingerprint(splits),
        source=str(path),
    )
    return binarised(config, splits, device)


def again(
    config: DataConfig,
    place: Path | None,
    device: torch.device | str,
    progress: Counting = silent,
    require: Require = unlimited,
) -> Dataset:
    """The own images of a configuration, from where they were read, or from ``place``, where they lie now.

    ``place`` is the new path of the folder or file, whatever it is called now, or that of the folder that holds it
    under its old name. The fingerprint decides.

    Raises:
        InputError: they are not there, or have other content; or they came from no file.
    """
    if place is None and not config.source:
        raise InputError(
            f"{config.dataset} was made by Dataset.of, and lies in no file: hand that Dataset over, or save it as .npz "
            "and read this"
        )
    path = Path(config.source) if place is None else place
    if not os.path.exists(path):
        raise InputError(f"{config.dataset} is not at {path} any more: {_moved(config)}")
    inside = path / Path(config.source).name
    candidates = [inside, path] if place is not None and os.path.exists(inside) else [path]
    failures = []
    for candidate in candidates:
        try:
            return _same(config, candidate, device, progress, require)
        except InputError as error:
            failures.append(error)
    if candidates == [path] and path.is_dir() and not _was_folder(config):
        raise InputError(f"{config.dataset} is not in {path}, which has no {inside.name}: {_moved(config)}")
    raise failures[0]


def _was_folder(config: DataConfig) -> bool:
    """Whether the source of own data was a folder, by its name."""
    return Path(config.source).suffix.lower() not in FILES


def _moved(config: DataConfig) -> str:
    """The remedy for own data that are not where they were."""
    name = Path(config.source).name
    return f"name where it lies now (--folder PATH, its own new path or that of the folder that holds {name})"


def _same(config: DataConfig, path: Path, device: torch.device | str, progress: Counting, require: Require) -> Dataset:
    """The own images of a configuration at ``path``. Raises ``InputError`` for other content."""
    found = read(
        path,
        name=config.dataset,
        binarisation=config.binarisation,
        binarisation_seed=config.binarisation_seed,
        split_seed=config.split_seed,
        validation=config.validation,
        test=config.test,
        image_size=config.image_size,
        device=device,
        progress=progress,
        require=require,
    )
    if found.config != config:
        same_content = found.config.fingerprint == config.fingerprint
        remedy = "put those of the images into its config.json" if same_content else "put that back, or train a new run"
        raise InputError(
            f"{path} is not the {config.dataset} that the run was trained on, it has "
            f"{_differences(config, found.config)}: {remedy}"
        )
    return found


def source_of(path: Path) -> Source:
    """The form that is at a path. Raises ``InputError`` if nothing is, or nothing that is understood."""
    try:
        there = path.exists()
    except OSError as error:
        raise InputError(f"{path} cannot be reached ({error.strerror}): name another path") from error
    for source in SOURCES if there else ():
        if source.understands(path):
            return source
    forms = f"a path is {', '.join(each.what for each in SOURCES[:-1])}, or {SOURCES[-1].what}"
    if there:
        raise InputError(f"dataset {str(path)!r} is not understood: {forms}; a known name is one of {', '.join(KNOWN)}")
    raise InputError(f"{sentence(nearest(str(path), KNOWN, 'dataset'))} As a path, nothing is there: {forms}")


def _name_of(path: Path) -> str:
    """The name of the data at a path: that of the file or folder, with invalid characters replaced."""
    stem = path.stem if path.suffix.lower() in FILES else path.name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:60] or "images"
    return f"own-{name}" if name.casefold() in KNOWN else name


def _split(raw: Raw, seed: int, validation: float, test: float, path: Path) -> dict[str, Part]:
    """The three splits: those of the source, and the missing ones drawn from what there is to train on."""
    parts = {part: each for part, each in raw.parts.items() if part != ALL}
    rest = raw.parts[ALL] if ALL in raw.parts else parts.pop("train")
    wanted = {name: share for name, share in (("validation", validation), ("test", test)) if name not in parts}
    for name, share, default in (("validation", validation, DEFAULT.validation), ("test", test, DEFAULT.test)):
        if name in parts and share != default:
            raise InputError(f"{name} is {share:g}, which has no effect: {path} has its own {name} split; leave it off")
    if not wanted and seed != DEFAULT.split_seed:
        raise InputError(f"split seed is {seed}, which has no effect: {path} has its own splits; leave it off")
    counts = {name: max(1, round(share * len(rest.pixels))) for name, share in wanted.items()}
    if sum(counts.values()) >= len(rest.pixels):
        raise InputError(
            f"{path} has {len(rest.pixels)} {'strings' if raw.symbols else 'images'}, too few to split: give at least "
            f"{sum(counts.values()) + 1}"
        )
    if not wanted:
        return {"train": rest, **parts}
    # RandomState's permutations are the same in every version of NumPy.
    order = np.random.RandomState(np.random.MT19937(seed)).permutation(len(rest.pixels))
    for name, count in counts.items():
        parts[name], order = _pick(rest, order[:count]), order[count:]
    return {"train": _pick(rest, order), **parts}


def _pick(part: Part, places: NDArray[np.int64]) -> Part:
    return Part(part.pixels[places], part.labels[places])


def _flat(part: Part, levels: int) -> Split:
    pixels = torch.from_numpy(np.ascontiguousarray(part.pixels).reshape(len(part.pixels), -1))
    return Split(pixels, torch.from_numpy(part.labels), levels)


def _differences(wanted: DataConfig, found: DataConfig) -> str:
    """How own data differ from a configuration: in the numbers of images, their shape, their content."""
    told = []
    if found.sizes != wanted.sizes:
        if sum(found.sizes) != sum(wanted.sizes):
            told.append(f"{sum(found.sizes):,} images in place of {sum(wanted.sizes):,}")
        else:
            told.append(
                f"{_listed(found.sizes)} images for training, validation and test in place of {_listed(wanted.sizes)} "
                f"(validation {wanted.validation:g}, test {wanted.test:g})"
            )
    if found.shape != wanted.shape:
        told.append(f"images of shape {Shape(*found.shape)} in place of {Shape(*wanted.shape)}")
    if found.fingerprint != wanted.fingerprint:
        digits = 8 if found.fingerprint[:8] != wanted.fingerprint[:8] else None
        content = "other content" if told else "other images or labels"
        told.append(f"{content} (fingerprint {found.fingerprint[:digits]}, not {wanted.fingerprint[:digits]})")
    return " and ".join(told)


def _listed(sizes: Sequence[int]) -> str:
    return " + ".join(f"{size:,}" for size in sizes)
