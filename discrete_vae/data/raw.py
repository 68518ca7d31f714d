"""Own images as a source holds them, before they are split and binarised; and how reading reports its progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from discrete_vae.errors import InputError

ALL = "all"
"""The part of a source without splits."""
SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
"""Names of splits in sources, with the split."""
MOST_CLASSES = 100_000
"""A label as large as this is an identifier, not the number of a class."""
Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows progress through so many things, as ``TerminalProgress.counting`` does; gives a function of the number done."""
Require = Callable[[int, str], None]
"""Raises ``InputError`` unless so many bytes of memory are free for what is named."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images of one split, or of a source without splits."""

    pixels: NDArray[np.uint8]  # [M, rows, columns, channels] 0..255, or 0/1
    labels: NDArray[np.int64]  # [M] 0, 1, ..., or -1 for all


@dataclass(frozen=True, eq=False)
class Raw:
    """A source's images: one part, ``ALL``, or train and perhaps validation and test."""

    parts: Mapping[str, Part]
    levels: int  # 1 when the pixels are binary or symbols, 255 when they are grayscale or coloured
    symbols: str = ""  # of text, whose pixels are their places


@dataclass(frozen=True)
class Reader:
    """How a source is read: the size of its images (empty leaves them), and functions for progress and memory."""

    image_size: tuple[int, ...]
    counting: Counting
    require: Require


@contextlib.contextmanager
def silent(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """The ``Counting`` that shows nothing."""
    yield lambda count: None


def unlimited(size: int, what: str) -> None:
    """The ``Require`` that takes any size."""


def numbered(names: list[str]) -> NDArray[np.int64]:
    """Labels by name: ``dense`` of whole numbers from 0, else the ``places`` of the names."""
    if all(name.isascii() and name.isdigit() and len(name) < 10 for name in names):
        return dense(np.array([int(name) for name in names], np.int64))
    return places(names)


def dense(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels from 0 as they are if all are below ``MOST_CLASSES``, else the place of each among all, sorted.

    Identifiers such as 1073741824 would otherwise ask for as many classes.
    """
    if labels.max(initial=0) < MOST_CLASSES:
        return labels
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int64)


def places(names: list[str]) -> NDArray[np.int64]:
    """The place of each name among all, sorted."""
    order = {name: place for place, name in enumerate(sorted(set(names)))}
    return np.array([order[name] for name in names], np.int64)


def check_parts(parts: Mapping[str, object], path: object) -> None:
    """Raise ``InputError`` for splits without one to train on."""
    if ALL not in parts and "train" not in parts:
        raise InputError(f"{path} has images for {' and '.join(parts)}, but none for training: add train")
