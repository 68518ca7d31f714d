"""The data sets that are known by name: how large they are.

Their files are known to ``sources``, ``omniglot`` and ``corpora``.
"""

from __future__ import annotations

from dataclasses import dataclass

from discrete_vae.data.corpora import CORPORA
from discrete_vae.data.domain import Domain, Shape, Sizes
from discrete_vae.data.strings import Strings
from discrete_vae.data.synthetic import SYNTHETIC, Synthetic


@dataclass(frozen=True)
class Known:
    """Fixed properties of a data set."""

    sizes: Sizes
    shape: Shape | None = None
    """Shape of images; points and strings have none."""


SIZES = Sizes(50_000, 10_000, 10_000)
"""Sizes of MNIST and its like: the last of the training file is for validation. Data that are made take the same."""
DIGITS = Known(SIZES, Shape(28, 28))
BUNDLED: dict[str, Known] = {
    "binarised-mnist": DIGITS,
    "binarised-mnist-1000": Known(Sizes(1_000, 1_000, 1_000), Shape(28, 28)),
}
"""In the package's own file; the smaller has the first images of each split."""
KNOWN: dict[str, Known] = {
    **BUNDLED,
    "mnist": DIGITS,
    "fashion-mnist": DIGITS,
    "omniglot": Known(Sizes(23_000, 1_345, 8_070), Shape(28, 28)),
    "omniglot-original": Known(Sizes(17_280, 2_000, 13_180), Shape(28, 28)),
    "omniglot-small": Known(Sizes(3_640, 600, 600), Shape(28, 28)),
    **{name: Known(SIZES) for name in SYNTHETIC},
    **{name: Known(corpus.sizes) for name, corpus in CORPORA.items()},
}
Judge = Synthetic | Strings
"""Writes and scores samples of data that are no images."""
JUDGES: dict[str, Judge] = {**SYNTHETIC, **{name: corpus.strings for name, corpus in CORPORA.items()}}


def domain(name: str, real: bool) -> Domain:
    """The domain of a known data set; pixels are real numbers or binary."""
    return JUDGES[name].domain if name in JUDGES else images(KNOWN[name].shape or Shape(1, 1), real)


def images(shape: Shape, real: bool) -> Domain:
    """Images of a shape, whose pixels are real numbers or binary."""
    return Domain(shape.size, None if real else 2, shape)
