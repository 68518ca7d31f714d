"""Random numbers for a population: member p's numbers come from generator p alone.

A strategy draws what it needs from a ``Noise`` and so never knows whether it trains one run or many. Uniform numbers
are the only ones asked of the generators (they are what the CPU draws fastest); the rest are exact transforms.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor


def seeded(seed: int, *stream: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one purpose of one run, e.g. ``seeded(3, "noise", epoch)``.

    Streams are told apart by a hash, so that a run's initial weights, data order and noise are independent of each
    other and of every other seed's, and a resumed run finds the numbers of any epoch without replaying the others.
    """
    digest = hashlib.blake2b(repr((seed, *stream)).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)


class Noise:
    """Draws of shape ``[P, ...]`` from P generators, or of any shape from one (or from torch's global generator).

    It draws on the given device, or that of its generator; without either, where it is asked to (``on``): strategies
    ask for their logits' device.
    """

    def __init__(
        self,
        generators: Sequence[torch.Generator | None] = (None,),
        device: torch.device | str | None = None,
    ) -> None:
        self.generators = generators
        self.device = device or (generators[0].device if generators[0] is not None else None)

    def on(self, device: torch.device) -> Self:
        """The same source; one that has no device of its own draws on this one."""
        if self.device is not None:
            return self
        bound = copy.copy(self)
        bound.device = device
        return bound

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform on the grid ``{0, 2^-24, ..., 1 - 2^-24}`` (``2^-53`` in float64): ``[*shape]``.

        Raises ``ValueError`` if several generators do not match the first dimension.
        """
        if len(self.generators) == 1:
            if self.generators[0] is None:  # not given as None, which keeps compiled functions to one shape
                return torch.rand(*shape, device=self.device, dtype=dtype)
            return torch.rand(*shape, generator=self.generators[0], device=self.device, dtype=dtype)
        if len(self.generators) != shape[0]:
            raise ValueError(f"{len(self.generators)} generators cannot fill a population of {shape[0]}")
        values = torch.empty(*shape, device=self.device, dtype=dtype)
        for member, generator in zip(values, self.generators, strict=True):
            torch.rand(*shape[1:], generator=generator, out=member)
        return values

    def gumbel(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard Gumbel numbers, always finite, in any floating ``dtype``: ``[*shape]``.

        ``-log(E)`` with ``E = -log(1 - u)`` exponential. The usual ``-log(-log(u + eps) + eps)`` is biased in both
        tails; here the only touch is that the grid's lowest point, which stands for ``u < 2^-24``, is taken at the
        middle of its cell, so float32 values lie within [-2.81, 17.33]. Half precisions are cast from float32.
        """
        work = torch.promote_types(dtype, torch.float32)
        half_cell = torch.finfo(work).eps / 4
        # 1 - u is exact on the grid, so log does for log1p, which takes three times as long.
        exponential = (1 - self.uniform(shape, work)).log_().neg_().clamp_min_(half_cell)
        return exponential.log_().neg_().to(dtype)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal numbers by Box and Muller (1958): ``[*shape]``."""
        pairs = self.uniform((*shape, 2), torch.promote_types(dtype, torch.float32))
        radius = pairs[..., 0].neg().log1p_().mul_(-2).sqrt_()
        return (radius * pairs[..., 1].mul(2 * math.pi).cos_()).to(dtype)


class CommonNoise(Noise):
    """Common random numbers: after ``again`` the same numbers are drawn once more.

    Evaluations of one objective at several samples are compared. With common noise in the layers behind them, their
    differences vary less, and their means do not change. ``uniform`` raises ``ValueError`` for another shape than the
    first one's.
    """

    def __init__(self, source: Noise, dimension: int) -> None:
        """``dimension`` is that of the batch, counted from the front, in every shape that is asked for."""
        super().__init__(source.generators, source.device)
        self.source, self.dimension = source, dimension
        self.drawn: list[Tensor] = []
        self.place, self.times = 0, 1

    def again(self, times: int = 1) -> Self:
        """Start from the first number, for ``times`` batches one after the other, each of which gets the same.

        A request whose rows are no multiple of ``times`` is not of single images, and is drawn as it is.
        """
        self.place, self.times = 0, times
        return self

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        once, times = _once(shape, self.dimension, self.times)
        if self.place == len(self.drawn):
            self.drawn.append(self.source.uniform(once, dtype))
        drawn = self.drawn[self.place]
        self.place += 1
        if list(drawn.shape) != once or drawn.dtype != dtype:
            raise ValueError(f"numbers of shape {tuple(drawn.shape)} were drawn before, not {tuple(once)}")
        return drawn if times == 1 else torch.cat([drawn] * times, self.dimension)


class SeparateNoise(Noise):
    """For several batches one after the other along ``dimension``: each draws by itself from the same source."""

    def __init__(self, source: Noise, dimension: int, times: int) -> None:
        super().__init__(source.generators, source.device)
        self.source, self.dimension, self.times = source, dimension, times

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        once, times = _once(shape, self.dimension, self.times)
        return torch.cat([self.source.uniform(once, dtype) for _ in range(times)], self.dimension)


def _once(shape: Sequence[int], dimension: int, times: int) -> tuple[list[int], int]:
    """The shape of one of ``times`` batches, and how many there are: one, if the rows are no multiple of ``times``."""
    once = list(shape)
    times = 1 if once[dimension] % times else times
    once[dimension] //= times
    return once, times
