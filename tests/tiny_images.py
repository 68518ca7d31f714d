"""Small images for tests that train: own data, which say what they are."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from discrete_vae.data import DataConfig, Dataset, Split, load
from discrete_vae.data.config import Binarisation
from discrete_vae.data.domain import Shape
from discrete_vae.latents.family import Family
from discrete_vae.likelihoods import Bernoulli
from discrete_vae.tasks import Architecture
from discrete_vae.tasks.base import Blueprint


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


def described(rows: int, columns: int, channels: int = 1, binarisation: Binarisation = "threshold") -> DataConfig:
    """Images of a size, for tests that make their own: nothing is read by this configuration."""
    shape, sizes = (rows, columns, channels), (50_000, 500, 500)
    return DataConfig("tiny", binarisation, shape=shape, sizes=sizes, fingerprint="0" * 32)


def blueprint(architecture: Architecture, family: Family, rows: int, columns: int, channels: int = 1) -> Blueprint:
    """Of models of binary images."""
    return Blueprint(architecture, family, Shape(rows, columns, channels), Bernoulli())
