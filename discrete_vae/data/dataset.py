"""Splits that live on the device; a batch is a gather."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from discrete_vae.data.config import Binarisation, DataConfig, check_name
from discrete_vae.data.domain import Shape
from discrete_vae.data.images import THRESHOLD
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

    pixels: Tensor
    """``[M, D]`` uint8 from 0 to ``levels``; float32 of points."""
    labels: Tensor
    """``[M]`` int64; -1 for all where there are none."""
    levels: int = 1
    """1 where the pixels are binary, 255 where they are grayscale or colour."""
    dynamic: bool = False
    """Whether the pixels are binarised afresh each time a batch is gathered."""

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
    """A data set's three splits and the configuration they come from.

    ``load`` and ``read`` make them, and ``Dataset.of`` from tensors. Others, such as those of ``dataclasses.replace``,
    may be inspected, but ``check``, and so training, refuses them.
    """

    config: DataConfig
    train: Split
    validation: Split
    test: Split
    _held: str = field(default="", init=False, repr=False)
    """The fingerprint of the splits as they were made from what the configuration describes."""

    @classmethod
    def of(
        cls,
        name: str,
        train: Split,
        validation: Split,
        test: Split,
        *,
        shape: Sequence[int],
        binarisation: Binarisation = "threshold",
        binarisation_seed: int = 0,
    ) -> Dataset:
        """Own images as a data set of the name ``name``: other content is another data set, whatever its name.

        ``shape`` is rows, columns and, of colour, channels; the pixels of the splits are flat in this order. They are
        binarised as ``binarisation`` says (see ``DataConfig``), unless they are binary. Labels are -1 for all images
        where there are none. Nothing is written to the given tensors.

        Raises:
            InputError: a known data set's name; pixels or labels of another size or kind than these.
        """
        splits = (train, validation, test)
        made = _shape(shape)
        for word, split in zip(SPLITS, splits, strict=True):
            _check_split(word, split, made)
        if len({split.levels for split in splits}) > 1:
            levels = ", ".join(str(split.levels) for split in splits)
            raise InputError(f"the splits have levels {levels}: give all binary pixels (1) or all grayscale ones (255)")
        config = DataConfig(
            dataset=name,
            binarisation=binarisation,
            binarisation_seed=binarisation_seed,
            shape=(made.rows, made.columns, made.channels),
            sizes=(len(train), len(validation), len(test)),
            fingerprint=fingerprint(splits),
        )
        return binarised(config, splits)

    def split(self, name: str) -> Split:
        """The split called ``name``: train, validation or test.

        Raises:
            InputError: another name.
        """
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        check_name("split", name, tuple(splits))
        return splits[name]

    def check(self) -> None:
        """Raise ``InputError`` unless the splits are what the configuration names, whole and unchanged."""
        name, sizes = self.config.dataset, self.config.split_sizes
        splits = (self.train, self.validation, self.test)
        remedy = f"load {name} as it is, or make own data of these splits by Dataset.of(NAME, train, validation, test)"
        if (found := tuple(map(len, splits))) != sizes:
            raise InputError(f"the splits have {_listed(found)} images, but {name} has {_listed(sizes)}: {remedy}")
        for word, split in zip(SPLITS, splits, strict=True):
            if (pixels := split.pixels.shape[-1]) != (size := self.config.domain.size):
                raise InputError(f"{word} has {pixels} pixels an image, but {name} has {size}: {remedy}")
        if not self._held:
            raise InputError(f"this Dataset was made by hand, and nothing says that it is {name}: {remedy}")
        if fingerprint(splits) != self._held:
            raise InputError(f"this Dataset was changed since {name} was loaded: {remedy}")


SPLITS = ("train", "validation", "test")


def binarised(config: DataConfig, splits: Sequence[Split], device: torch.device | str | None = None) -> Dataset:
    """The data set of training, validation and test images as ``config`` describes them, binarised as it says.

    They go to ``device``, or stay where they are. The fixed Bernoulli draw is made on the CPU, so it is the same on
    every device.

    Raises:
        InputError: a binarisation of images that are binary.
    """
    if splits[0].levels == 1 and config.binarisation != "threshold":
        raise InputError(
            f'binarisation "{config.binarisation}" needs grayscale images, {config.dataset} has none: '
            'give binarisation "threshold"'
        )
    generator = torch.Generator().manual_seed(config.binarisation_seed)

    def made(split: Split, binarisation: Binarisation) -> Split:
        pixels, levels = _binarise(split.pixels, split.levels, binarisation, generator)
        there = split.pixels.device if device is None else device
        return Split(pixels.to(there), split.labels.to(there), levels, binarisation == "dynamic")

    held_out: Binarisation = "stochastic" if config.binarisation == "dynamic" else config.binarisation
    train, validation, test = splits
    # Training is drawn last, so that validation and test are the same under "stochastic" and "dynamic".
    validation, test = made(validation, held_out), made(test, held_out)
    train = made(train, config.binarisation)
    dataset = Dataset(config=config, train=train, validation=validation, test=test)
    object.__setattr__(dataset, "_held", fingerprint((train, validation, test)))
    return dataset


def fingerprint(splits: Sequence[Split]) -> str:
    """32 hexadecimal digits of all that the splits hold: their sizes, pixels and labels."""
    digest = hashlib.blake2b(digest_size=16)
    for split in splits:
        pixels, labels = split.pixels.cpu().numpy(), split.labels.cpu().numpy()
        digest.update(f"{pixels.shape} {pixels.dtype} {split.levels} {split.dynamic};".encode())
        binary = split.levels == 1 and pixels.dtype == np.uint8 and pixels.max(initial=0) <= 1  # not so of symbols
        digest.update((np.packbits(pixels) if binary else np.ascontiguousarray(pixels)).data)
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def _binarise(
    pixels: Tensor, levels: int, binarisation: Binarisation, generator: torch.Generator
) -> tuple[Tensor, int]:
    """The pixels that a split holds, and their levels."""
    if levels == 1 or binarisation in ("dynamic", "none"):
        return pixels, levels
    if binarisation == "threshold":
        return (pixels > THRESHOLD).to(torch.uint8), 1
    return bernoulli(pixels.cpu(), generator, levels).to(torch.uint8), 1


def _shape(shape: Sequence[int]) -> Shape:
    if len(shape := tuple(shape)) not in (2, 3) or any(type(each) is not int or each < 1 for each in shape):
        raise InputError(f"shape is {shape}; give rows, columns and, of colour, 3 channels, such as (28, 28)")
    return Shape(*shape)


def _check_split(word: str, split: Split, shape: Shape) -> None:
    if not isinstance(split, Split):
        raise InputError(f"{word} is a {type(split).__name__}; give a Split(pixels, labels, levels)")
    pixels, labels = split.pixels, split.labels
    if pixels.dtype != torch.uint8 or pixels.dim() != 2:
        raise InputError(
            f"{word} has pixels of {pixels.dtype} {list(pixels.shape)}; own data are images: give torch.uint8 of "
            f"[images, {shape.size}]"
        )
    if not len(pixels) or pixels.shape[1] != shape.size:
        raise InputError(
            f"{word} has {len(pixels)} images of {pixels.shape[1]} pixels; give at least one, of the {shape.size} of "
            f"shape {shape}"
        )
    if split.levels not in (1, 255) or int(pixels.max()) > split.levels:
        raise InputError(
            f"{word} has pixels up to {int(pixels.max())} and levels {split.levels}; give levels 1 with pixels 0 and "
            "1, or 255 with grayscale ones"
        )
    if split.dynamic:
        raise InputError(f'{word} is dynamic; give its grayscale images and binarisation "dynamic" instead')
    if labels.dtype != torch.int64 or labels.shape != pixels.shape[:1]:
        raise InputError(
            f"{word} has labels of {labels.dtype} {list(labels.shape)}; give torch.int64 of [{len(pixels)}], -1 for "
            "all where there are none"
        )
    if int(labels.min()) < (-1 if int(labels.max()) == -1 else 0):
        raise InputError(f"{word} has label {int(labels.min())}; give 0 or more, or -1 for all images")


def _listed(sizes: Sequence[int]) -> str:
    return " + ".join(f"{size:,}" for size in sizes)
