"""Sets of strings with a grammar, which decides whether a string is valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.data.strings import Strings

Grow = Callable[[Iterator[float]], str]
"""One random string, of any length, from numbers uniform on [0, 1)."""


@dataclass(frozen=True)
class Language(Strings):
    """Strings of 1 to ``length`` symbols that a grammar allows, padded to ``length``; they are grown, not read."""

    grammatical: Callable[[str], bool]
    """Whether a string without padding, of any length, is of the grammar."""
    grow: Grow

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

    def meaning(self, string: str) -> str | None:
        """The string itself, if it is valid."""
        return string if self.valid(string) else None


def _uniform(generator: torch.Generator) -> Iterator[float]:
    """Numbers uniform on [0, 1), in double precision, without end."""
    while True:
        yield from torch.rand(16_384, generator=generator, dtype=torch.float64).tolist()
