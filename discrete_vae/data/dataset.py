"""Splits that live on the device; a batch is a gather."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.data.config import DataConfig, check_name
from discrete_vae.errors import InputError


def bernoulli(pixels: Tensor, generator: torch.Generator, levels: int) -> Tensor:
    """One draw of Bernoulli(pixels / levels) as a bool tensor of the shape of ``pixels`` (uint8).

    A uniform integer below ``levels`` is less than a pixel with probability pixel / levels: exact, and four
    times as fast as ``torch.bernoulli``.
    """
    return torch.empty_like(pixels).random_(0, levels, generator=generator) < pixels


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split, resident on one device; intensities are ``pixels / levels``.

    Of points in the plane the pixels are the coordinates, of strings the indices of the symbols, both of level 1.
    """

    pixels: Tensor  # [M, D] uint8, 0..levels; float32 of points
    labels: Tensor  # [M] int64
    levels: int = 1  # 1 when the pixels are binary, 255 when they are grayscale
    dynamic: bool = False  # binarised afresh each time a batch is gathered

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, index: Tensor, generators: Sequence[torch.Generator] = ()) -> Tensor:
        """Gather the images at ``index`` [P, B] int64 as float32 [P, B, D] in [0, 1].

        Points come as their coordinates, and strings as the indices of their symbols: 0.0, 1.0, ...

        If the split is dynamic, member p's images are Bernoulli(pixels / levels) drawn with ``generators[p]``
        alone, which must be on the split's device; otherwise ``generators`` is not read.

        Raises:
            InputError: the split is dynamic and there is not one generator a member.
        """
        members, size = index.shape
        # index_select is three times as fast as pixels[index].
        gathered = self.pixels.index_select(0, index.reshape(-1)).view(members, size, -1)
        if self.dynamic:
            if len(generators) != members:
                raise InputError(
                    f"a dynamic split got {len(generators)} generators for {members} members: give one a member"
                )
            draws = [bernoulli(*pair, self.levels) for pair in zip(gathered, generators, strict=True)]
            return torch.stack(draws).to(torch.float32)
        images = gathered.to(torch.float32)
        return images if self.levels == 1 else images.div_(self.levels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set's three splits and the configuration they come from."""

    config: DataConfig
    train: Split
    validation: Split
    test: Split

    def split(self, name: str) -> Split:
        """The split called ``name``: train, validation or test.

        Raises:
            InputError: another name.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        check_name("split", name, tuple(splits))
        return splits[name]
