"""Small images for tests that train: own data, which say what they are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from discrete_vae.data import Dataset, Split, load


@cache
def middle(train: int = 50_000, held_out: int = 500) -> Dataset:
    """The middle 6 x 6 pixels of binarised MNIST, with so many images to train on and for validation and test."""
    whole = load()
    splits = cut(whole.train, train), cut(whole.validation, held_out), cut(whole.test, held_out)
    return Dataset.of("middle-of-mnist", *splits, shape=(6, 6))


def cut(split: Split, images: int) -> Split:
    """The middle 6 x 6 pixels of the first images of a split."""
    pixels = split.pixels[:images].view(-1, 28, 28)[:, 11:17, 11:17].flatten(1)
    return replace(split, pixels=pixels, labels=split.labels[:images])
