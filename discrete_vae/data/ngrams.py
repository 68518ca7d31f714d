"""N-gram statistics of strings of symbols, and how close a generator's strings come to real ones.

Strings are whole numbers ``[M, L]`` below the number of symbols K, of which the last, K - 1, pads. A string ends with
its last symbol that is no padding; one mark of its end, the symbol K - 1, belongs to it, the padding beyond does not.
Padding between other symbols, as untrained generators put it, is a symbol like any other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.errors import InputError

PART = 50_000
"""Strings whose n-grams are counted at once."""


def lengths(strings: Tensor, symbols: int) -> Tensor:
    """Lengths of strings ``[M, L]``, up to the last symbol that is no padding: int64 ``[M]``."""
    position = torch.arange(1, strings.shape[1] + 1, device=strings.device)
    return (position * (strings != symbols - 1)).amax(1)


def distribution(strings: Tensor, symbols: int, order: int) -> Tensor:
    """Relative frequencies of the n-grams of ``order`` n in all windows of strings ``[M, L]``: float64 ``[K^n]``.

    All zero where no string, with the mark of its end, has n symbols.

    Raises:
        InputError: more than 2^24 n-grams.
    """
    if order < 1 or symbols**order > 2**24:
        raise InputError(f"{order}-grams of {symbols} symbols are not tabulated; give an order of 1 to a few")
    marked = F.pad(strings.long(), (0, 1), value=symbols - 1)
    if marked.shape[1] < order:
        return torch.zeros(symbols**order, dtype=torch.float64, device=strings.device)
    codes = _codes(marked.unfold(1, order, 1), symbols)
    start = torch.arange(codes.shape[1], device=strings.device)
    inside = start + order <= lengths(strings, symbols)[:, None] + 1
    counts = codes[inside].bincount(minlength=symbols**order).double()
    return counts / counts.sum().clamp(min=1)


def jensen_shannon(first: Tensor, second: Tensor) -> float:
    """Jensen-Shannon divergence of two distributions ``[X]`` in nats, from 0 to log 2 (Lin, 1991).

    log 2, as of distributions that have nothing in common, if one of them is all zero.
    """
    if not (first.any() and second.any()):
        return math.log(2)
    middle = (first + second) / 2

    def divergence(p: Tensor) -> Tensor:
        return torch.xlogy(p, p).sub(torch.xlogy(p, middle)).sum()

    return float((divergence(first) + divergence(second)).div(2).clamp(0, math.log(2)))


class NGram:
    """The maximum-likelihood Markov chain of order n - 1: each symbol depends on the n - 1 before it.

    Fitted on strings ``[M, L]`` of K ``symbols``, each preceded by n - 1 marks of the start and followed by one of the
    end. Every context that sampling can reach occurs in the strings. If all strings have L symbols, as those that are
    cut from running text, their end is not modelled, and the model's strings have L symbols, too.

    Raises:
        InputError: no strings, an order n below 1, or one whose contexts are too many to be numbered.
    """

    def __init__(self, strings: Tensor, symbols: int, order: int) -> None:
        if order < 1 or not len(strings):
            raise InputError(f"a model of {order}-grams of {len(strings)} strings; give at least 1 of each")
        if (symbols + 1) ** order > 2**63:
            raise InputError(f"an order of {order} is too high for {symbols} symbols; give a lower one")
        self.symbols, self.order, self.length = symbols, order, strings.shape[1]
        # Part by part: the windows of all strings take a hundred times the memory of the strings.
        parts = [strings[start : start + PART].cpu() for start in range(0, len(strings), PART)]
        found = [self._counted(part) for part in parts]
        pairs, counts = (torch.cat(each) for each in zip(*found, strict=True))
        self.contexts, row = torch.unique(pairs // symbols, return_inverse=True)
        self.counts = torch.zeros(len(self.contexts), symbols, dtype=torch.int64)
        """How often each context ``[C]`` was followed by each symbol: int64 ``[C, K]``."""
        self.counts.index_put_((row, pairs % symbols), counts, accumulate=True)
        self.full = all(bool((lengths(part, symbols) == self.length).all()) for part in parts)
        """Whether strings have L symbols."""
        counts = self.counts.clone()
        if self.full:  # ends are left to contexts that nothing else followed
            counts[:, -1] *= counts[:, :-1].sum(1) == 0
        cumulative = counts.cumsum(1).double()
        self._cumulative = cumulative / cumulative[:, -1:]

    def _counted(self, strings: Tensor) -> tuple[Tensor, Tensor]:
        """Contexts with the symbol that follows, ``context * K + symbol``, and how often each: int64 ``[X]``."""
        order, symbols = self.order, self.symbols
        # The mark of the start is a symbol of its own in contexts.
        marked = F.pad(F.pad(strings.long(), (0, 1), value=symbols - 1), (order - 1, 0), value=symbols)
        inside = torch.arange(self.length + 1) <= lengths(strings, symbols)[:, None]
        windows = marked.unfold(1, order, 1)[inside]
        pairs = _codes(windows[:, :-1], symbols + 1) * symbols + windows[:, -1]
        found, counts = torch.unique(pairs, return_counts=True)
        return found, counts

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Strings of the model that end within L symbols, or of L symbols where it is ``full``: uint8 ``[count, L]``.

        Others are drawn anew. The model's strings are on average as long as those it was fitted on, so at least
        one in L + 1 is short enough.
        """
        kept: list[Tensor] = []
        missing = count
        while missing:
            drawn = self._draw(missing, generator)
            kept.append(drawn[drawn[:, -1] == self.symbols - 1, :-1])
            if self.full:
                kept[-1] = kept[-1][kept[-1][:, -1] != self.symbols - 1]
            missing -= len(kept[-1])
        return torch.cat(kept or [torch.empty(0, self.length)]).to(torch.uint8)

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Strings cut after L + 1 symbols: int64 ``[count, L + 1]``, which end within L if the last one pads."""
        base, end = self.symbols + 1, self.symbols - 1
        drawn = torch.full((count, self.length + 1), end)
        start = torch.full((1, self.order - 1), self.symbols)
        context = _codes(start, base).repeat(count)
        running = torch.arange(count)
        for position in range(self.length + (not self.full)):
            chances = self._cumulative[torch.searchsorted(self.contexts, context)]
            uniform = torch.rand(len(running), 1, generator=generator, dtype=torch.float64)
            symbol = (chances <= uniform).sum(1)
            drawn[running, position] = symbol
            going = symbol != end
            running = running[going]
            context = (context[going] * base + symbol[going]) % base ** (self.order - 1)
        return drawn


def _codes(windows: Tensor, base: int) -> Tensor:
    """Windows ``[..., n]`` read as numbers in ``base``: int64 ``[...]``."""
    place = base ** torch.arange(windows.shape[-1] - 1, -1, -1, device=windows.device)
    return (windows * place).sum(-1)
