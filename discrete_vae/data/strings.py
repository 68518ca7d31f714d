"""Sets of strings of symbols: how they are written as numbers, and how a generator's are scored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from discrete_vae.data import ngrams
from discrete_vae.data.domain import Domain
from discrete_vae.errors import InputError

ORDERS = (1, 2, 3, 4)
"""Orders of the n-grams that ``Strings.scores`` compares."""


@dataclass(frozen=True)
class Strings:
    """Strings of 1 to ``length`` symbols, padded to ``length``.

    A symbol is one character; the last of ``symbols`` pads.
    """

    symbols: str
    length: int

    @property
    def domain(self) -> Domain:
        """A string is ``length`` symbols."""
        return Domain(self.length, len(self.symbols))

    @property
    def pad(self) -> str:
        """The symbol that fills a string up."""
        return self.symbols[-1]

    def meaning(self, string: str) -> str | None:
        """The meaning of a string, equal for equivalent strings; None for one that is not valid.

        Here every string is valid and stands for itself.
        """
        return string

    def meanings(self, indices: Tensor) -> list[str | None]:
        """The meaning of each string of ``indices`` ``[M, L]``."""
        strings = self.decode(indices)
        found = {string: self.meaning(string) for string in set(strings)}
        return [found[string] for string in strings]

    def validity(self, indices: Tensor) -> Tensor:
        """Whether each string of ``indices`` ``[M, L]`` is valid: bool ``[M]`` on the CPU."""
        return torch.tensor([each is not None for each in self.meanings(indices)], dtype=torch.bool)

    def shares(self, sample: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """Shares of a generator's strings ``[M, L]`` that are as they should be.

        - ``valid``: share of the sample that is of the set.
        - ``unique``: number of different valid strings, by what they stand for, over M.
        - ``novel``, where strings ``training`` ``[M'', L]`` are given: number of those not among them, over M.

        Raises:
            InputError: strings of another shape or other symbols than the set's, or none.
        """
        if not len(sample):
            raise InputError("a sample of 0 strings has no scores; give at least 1")
        meanings = self.meanings(sample)
        valid = [each for each in meanings if each is not None]
        different = set(valid)
        found = {"valid": len(valid) / len(sample), "unique": len(different) / len(sample)}
        if training is not None:
            found["novel"] = self.unseen(different, training) / len(sample)
        return found

    def unseen(self, different: Collection[str], training: Tensor) -> int:
        """Number of the ``different`` strings that are not among ``training`` ``[M, L]``."""
        seen = set(self._rows(training))
        return sum(string.ljust(self.length, self.pad).encode() not in seen for string in different)

    def scores(self, sample: Tensor, held_out: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """``shares``, and how strings ``[M, L]`` compare with real ones that a generator has not seen ``[M', L]``.

        ``js_1`` to ``js_4``: Jensen-Shannon divergence of the n-grams' distributions, in nats.
        """
        found = self.shares(sample, training)
        for order in ORDERS:
            pair = (ngrams.distribution(each.cpu(), len(self.symbols), order) for each in (sample, held_out))
            found[f"js_{order}"] = ngrams.jensen_shannon(*pair)
        return found

    def write(self, strings: Tensor) -> list[str]:
        """Strings ``[M, L]`` as lines of text."""
        return self.decode(strings)

    def encode(self, strings: Sequence[str]) -> Tensor:
        """Indices of the symbols of ``strings``, padded: ``[M, L]`` uint8.

        Raises:
            InputError: a string is too long or has another symbol.
        """
        padded = "".join(string.ljust(self.length, self.pad) for string in strings)
        if len(padded) > self.length * len(strings):
            string = next(each for each in strings if len(each) > self.length)
            raise InputError(f"{string!r} has {len(string)} symbols; give at most {self.length}")
        if strange := set(padded).difference(self.symbols):
            string = next(each for each in strings if strange.intersection(each))
            raise InputError(f"{string!r} has {min(strange.intersection(string))!r}; give symbols of {self.symbols!r}")
        index = np.zeros(128, np.uint8)
        index[[ord(symbol) for symbol in self.symbols]] = range(len(self.symbols))
        found = index[np.frombuffer(padded.encode(), np.uint8)]
        return torch.from_numpy(found.reshape(len(strings), self.length))

    def decode(self, indices: Tensor) -> list[str]:
        """The strings of whole-number ``indices`` ``[M, L]``, without the padding at their ends.

        Raises:
            InputError: the indices are of another shape, or not of a symbol.
        """
        return [row.decode().rstrip(self.pad) for row in self._rows(indices)]

    def _rows(self, indices: Tensor) -> list[bytes]:
        """The strings of ``indices`` ``[M, L]`` with their padding, as ASCII. Raises ``InputError`` as ``decode``."""
        if indices.ndim != 2 or indices.shape[1] != self.length:
            raise InputError(f"strings of shape {tuple(indices.shape)} are given; give [M, {self.length}]")
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(self.symbols):
            raise InputError(
                f"indices go from {int(indices.min())} to {int(indices.max())}; give 0 to {len(self.symbols) - 1}"
            )
        characters = np.frombuffer(self.symbols.encode(), np.uint8)[indices.cpu().numpy().astype(np.uint8)]
        rows: list[bytes] = characters.view(f"S{self.length}").ravel().tolist()
        return rows
