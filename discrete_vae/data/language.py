"""Sets of strings of which each is valid or not, beyond doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from discrete_vae.data import ngrams
from discrete_vae.data.domain import Domain
from discrete_vae.errors import InputError

ORDERS = (1, 2, 3, 4)
"""Of the n-grams that ``Language.scores`` compares."""
Grow = Callable[[Iterator[float]], str]
"""One random string, of any length, from numbers uniform on [0, 1)."""


@dataclass(frozen=True)
class Language:
    """Strings of 1 to ``length`` symbols that a grammar allows, padded to ``length``.

    A symbol is one character; the last of ``symbols`` pads.
    """

    symbols: str
    length: int
    grammatical: Callable[[str], bool]
    """Whether a string without padding, of any length, is of the grammar."""
    grow: Grow

    @property
    def domain(self) -> Domain:
        """A string is ``length`` symbols."""
        return Domain(self.length, len(self.symbols))

    @property
    def pad(self) -> str:
        """The symbol that fills a string up."""
        return self.symbols[-1]

    def draw(self, count: int, generator: torch.Generator) -> list[str]:
        """Random valid strings without their padding; those that grow too long are drawn anew."""
        numbers = _uniform(generator)
        strings: list[str] = []
        while len(strings) < count:
            string = self.grow(numbers)
            if len(string) <= self.length:
                strings.append(string)
        return strings

    def observations(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Random valid strings as indices ``[count, L]`` uint8, and zeros ``[count]`` int64: there are no classes."""
        return self.encode(self.draw(count, generator)), torch.zeros(count, dtype=torch.int64)

    def valid(self, string: str) -> bool:
        """Whether ``string``, padded or not, is of the language: not empty, nothing but padding after padding."""
        core = string.rstrip(self.pad)
        return len(string) <= self.length and self.pad not in core and self.grammatical(core)

    def validity(self, indices: Tensor) -> Tensor:
        """Whether each string of ``indices`` ``[M, L]`` is valid: bool ``[M]`` on the CPU."""
        strings = self.decode(indices)
        verdicts = {string: self.valid(string) for string in set(strings)}
        return torch.tensor([verdicts[string] for string in strings], dtype=torch.bool)

    def shares(self, sample: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """What of a generator's strings ``[M, L]`` is as it should be.

        - ``valid``: share of the sample that is of the language.
        - ``unique``: number of different valid strings over M.
        - ``novel``, where strings ``training`` ``[M'', L]`` are given: number of those not among them, over M.

        Raises:
            InputError: strings of another shape or other symbols than the language's, or none.
        """
        if not len(sample):
            raise InputError("a sample of 0 strings has no scores; give at least 1")
        validity = self.validity(sample)
        different = set(self.decode(sample.cpu()[validity]))
        found = {"valid": validity.double().mean().item(), "unique": len(different) / len(sample)}
        if training is not None:
            found["novel"] = len(different.difference(self.decode(training))) / len(sample)
        return found

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
        for string in strings:
            if len(string) > self.length:
                raise InputError(f"{string!r} has {len(string)} symbols; give at most {self.length}")
            if strange := set(string).difference(self.symbols):
                raise InputError(f"{string!r} has {min(strange)!r}; give symbols of {self.symbols!r}")
        padded = "".join(string.ljust(self.length, self.pad) for string in strings)
        index = np.zeros(128, np.uint8)
        index[[ord(symbol) for symbol in self.symbols]] = range(len(self.symbols))
        found = index[np.frombuffer(padded.encode(), np.uint8)]
        return torch.from_numpy(found.reshape(len(strings), self.length))

    def decode(self, indices: Tensor) -> list[str]:
        """The strings of whole-number ``indices`` ``[M, L]``, without the padding at their ends.

        Raises:
            InputError: the indices are of another shape, or not of a symbol.
        """
        if indices.ndim != 2 or indices.shape[1] != self.length:
            raise InputError(f"strings of shape {tuple(indices.shape)} are given; give [M, {self.length}]")
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(self.symbols):
            raise InputError(
                f"indices go from {int(indices.min())} to {int(indices.max())}; give 0 to {len(self.symbols) - 1}"
            )
        characters = np.frombuffer(self.symbols.encode(), np.uint8)[indices.cpu().numpy().astype(np.int64)]
        return [string.rstrip(self.pad) for string in characters.view(f"S{self.length}").ravel().astype(str).tolist()]


def _uniform(generator: torch.Generator) -> Iterator[float]:
    """Numbers uniform on [0, 1), in double precision, without end."""
    while True:
        yield from torch.rand(16_384, generator=generator, dtype=torch.float64).tolist()
