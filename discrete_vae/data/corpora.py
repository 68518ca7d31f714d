"""The sets of strings that are read from files and not grown, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from discrete_vae.data import moses, text
from discrete_vae.data.domain import Sizes
from discrete_vae.data.strings import Strings


@dataclass(frozen=True)
class Corpus:
    """Strings that are read, from a folder or, with none named, from where a package installed them."""

    strings: Strings
    sizes: Sizes
    read: Callable[[Path | None], tuple[Tensor, Tensor, Tensor]]
    """Training, validation and test ``[M, L]`` uint8."""
    files: tuple[str, ...]
    """Their names."""


_MOSES = Sizes(1_574_663, 10_000, 10_000)
_TEXT, _TEXT_64 = (text.Text(text.SYMBOLS, length) for length in (32, 64))
CORPORA: dict[str, Corpus] = {
    "moses": Corpus(moses.MOLECULES, _MOSES, partial(moses.read, test="test.csv"), ("train.csv", "test.csv")),
    "moses-scaffolds": Corpus(
        moses.MOLECULES, _MOSES, partial(moses.read, test="test_scaffolds.csv"), ("train.csv", "test_scaffolds.csv")
    ),
    "text": Corpus(_TEXT, Sizes(109_295, 10_000, 10_000), partial(text.read, text=_TEXT), (text.FILE,)),
    "text-64": Corpus(_TEXT_64, Sizes(44_647, 10_000, 10_000), partial(text.read, text=_TEXT_64), (text.FILE,)),
}
