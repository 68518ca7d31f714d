"""The data that a run is trained on."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from discrete_vae.data.domain import Domain, Shape, Sizes
from discrete_vae.data.known import BUNDLED, JUDGES, KNOWN, Judge, domain, images
from discrete_vae.data.text import Text
from discrete_vae.errors import InputError, nearest

Binarisation = Literal["threshold", "stochastic", "dynamic", "none"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Valid names of own data."""
FINGERPRINT = re.compile(r"[0-9a-f]{32}")
LARGEST = 2**31
"""More than rows, columns or images of any data that fit a memory."""
READ = {"hidden": True}
"""Marks fields that are read from the data and not chosen: they are no options of the command line."""


@dataclass(frozen=True)
class DataConfig:
    """A data set, how its pixels become binary and, where it is not known by name, what is in it.

    - ``threshold``: 1 where pixel > 127 (intensity above 0.5), the thesis' choice.
    - ``stochastic``: Bernoulli(pixel / 255), drawn once (Salakhutdinov and Murray, 2008).
    - ``dynamic``: the training images are drawn afresh at each visit (Burda et al., 2016); validation and
      test are the fixed draw of ``stochastic``.
    - ``none``: grayscale intensities pixel / 255, or those of the three colours.

    Points in the plane and strings of symbols, the rows of ``SYNTHETIC`` and ``CORPORA``, have no pixels and leave both
    at the defaults.

    ``discrete_vae.data.read`` and ``Dataset.of`` make the configuration of own data. These are told apart by their
    name, their sizes and a digest of their content; where they lie is no part of it.

    Raises:
        InputError: an unknown name without shape, sizes and fingerprint, or a known one with them; a value out of
            range; binarised MNIST with anything but ``threshold``; an option without effect on the data set, such as a
            binarisation of points or a split of data that come with theirs.
    """

    dataset: str = "binarised-mnist"
    """A data set's name, or the path of own images: a folder, or a file .npz or .npy; or of a text, .txt.
    binarised-mnist is bundled, and so is binarised-mnist-1000, the first 1,000 images of each of its splits; mnist and
    fashion-mnist need --folder or --download (fashion-mnist may also come from the operating system's package of it),
    omniglot, omniglot-original and omniglot-small need --folder. Points in the plane and strings of symbols are made:
    8-gaussians, 25-gaussians and swiss-roll, expressions and molecules. Real strings are read from installed packages
    or --folder: moses and moses-scaffolds (molecules), text and text-64 (English)."""
    binarisation: Binarisation = "threshold"
    """How pixels become binary: at 0.5, drawn once, drawn afresh each epoch, or not at all (none), which likelihoods of
    256 levels take by default."""
    binarisation_seed: int = 0
    """Seed of the fixed Bernoulli draw; read under ``stochastic`` and ``dynamic`` only."""
    split_seed: int = 0
    """Own images: seed of the random choice of those for validation and test, where the data have no such splits."""
    validation: float = 0.1
    """Own images: the share for validation, where the data have no such split."""
    test: float = 0.1
    """Own images: the share for the test, where the data have no such split."""
    image_size: tuple[int, ...] = ()
    """Own images: rows and columns to scale them to, cut at the centre; by default they stay as they are. Own text: 1
    and the symbols of a string, by default 32."""
    shape: tuple[int, ...] = field(default=(), metadata=READ)
    """Own images: rows, columns, channels."""
    sizes: tuple[int, ...] = field(default=(), metadata=READ)
    """Own images: numbers of images for training, validation and test."""
    symbols: str = field(default="", metadata=READ)
    """Own text: its symbols, the last of which pads; the shape is 1, the length of a string, 1."""
    fingerprint: str = field(default="", metadata=READ)
    """Own images: digest of all images and labels, split and scaled, before they are binarised."""
    source: str = field(default="", compare=False, metadata=READ)
    """Own images: the path where they were read."""

    def __post_init__(self) -> None:
        self._check_types()
        if self.known:
            self._check_known()
        else:
            self._check_own()
        check_name("binarisation", self.binarisation, get_args(Binarisation))
        if self.dataset in BUNDLED and self.binarisation != "threshold":
            raise InputError(
                f'binarisation "{self.binarisation}" needs grayscale images, {self.dataset} has none: '
                'choose dataset "mnist", or binarisation "threshold"'
            )
        seed = self.binarisation_seed
        if self.judge is not None and (self.binarisation != "threshold" or seed != 0):
            raise InputError(
                f'binarisation "{self.binarisation}" with seed {seed!r} needs images, {self.dataset} has none: '
                'leave binarisation at "threshold" and its seed at 0, or choose dataset "mnist"'
            )
        check_seed("binarisation_seed", seed)
        if seed and self.binarisation not in ("stochastic", "dynamic"):
            raise InputError(
                f'binarisation seed is {seed}, which has no effect with binarisation "{self.binarisation}"; leave it '
                'at 0, or choose "stochastic" or "dynamic"'
            )

    @property
    def known(self) -> bool:
        """Whether the data set is known by its name."""
        return self.dataset in KNOWN

    @property
    def domain(self) -> Domain:
        """The domain of one observation, e.g. 784 binary pixels, 2 real coordinates, or 16 of 9 symbols."""
        real = self.binarisation == "none"
        if self.known:
            return domain(self.dataset, real)
        return images(Shape(*self.shape), real) if self.judge is None else self.judge.domain

    @property
    def judge(self) -> Judge | None:
        """Writes and scores samples of points or strings; None for images."""
        return Text(self.symbols, self.shape[1]) if self.symbols else JUDGES.get(self.dataset)

    @property
    def image_shape(self) -> Shape:
        """Rows, columns and channels of an image. Raises ``InputError`` for points and strings."""
        if (shape := self.domain.shape) is None:
            raise InputError(f"{self.dataset} are no images and have no rows and columns; choose a data set of images")
        return shape

    @property
    def split_sizes(self) -> Sizes:
        """Observations for training, validation and test."""
        return KNOWN[self.dataset].sizes if self.known else Sizes(*self.sizes)

    def _check_types(self) -> None:
        for name in ("dataset", "symbols", "fingerprint", "source"):
            if type(value := getattr(self, name)) is not str:
                if name == "dataset":
                    raise nearest(str(value), KNOWN, name)
                raise InputError(f"{name} is {value!r}; give a text")
        for name in ("validation", "test"):
            if type(value := getattr(self, name)) is int:
                object.__setattr__(self, name, float(value))  # equal shares are one configuration
        for name in ("image_size", "shape", "sizes"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))

    def _check_known(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in OWN and value != each.default:
                shown = list(value) if isinstance(value, tuple) else value
                raise InputError(
                    f"{each.name.replace('_', ' ')} is {shown}, which has no effect with {self.dataset}, whose images "
                    f"and splits are fixed; leave it off{_FOR_OWN}"
                )

    def _check_own(self) -> None:
        missing = [name for name in ("shape", "sizes", "fingerprint") if not getattr(self, name)]
        if missing:
            raise InputError(
                f"{sentence(nearest(self.dataset, KNOWN, 'dataset'))} Own images are read by "
                f"discrete_vae.data.read(path), or --dataset PATH, which gives them {missing[0]}"
            )
        check_own_name(self.dataset)
        _check_numbers("shape", self.shape, 3, "rows, columns and channels")
        if self.shape[2] not in (1, 3):
            raise InputError(f"shape is {list(self.shape)}; give 1 channel (grayscale) or 3 (colour)")
        _check_numbers("sizes", self.sizes, 3, "the numbers of images for training, validation and test")
        if self.image_size:
            check_image_size(self.image_size)
            if self.image_size != self.shape[:2]:
                raise InputError(
                    f"image size is {list(self.image_size)}, but the images are of {list(self.shape[:2])}; read them "
                    "again with this size"
                )
        if self.symbols and (not self.symbols.isascii() or len(set(self.symbols)) < max(2, len(self.symbols))):
            raise InputError(f"symbols is {self.symbols[:80]!r}; give different characters of ASCII, the last to pad")
        if not FINGERPRINT.fullmatch(self.fingerprint):
            raise InputError(f"fingerprint is {self.fingerprint[:80]!r}; give the 32 digits that `read` found")
        check_seed("split_seed", self.split_seed)
        check_shares(self.validation, self.test)


OWN = ("split_seed", "validation", "test", "image_size", "shape", "sizes", "symbols", "fingerprint", "source")
"""Fields that only own data have."""
_FOR_OWN = ", or give own images by --dataset PATH"


def check_name(field: str, value: object, known: tuple[str, ...]) -> None:
    """Raise an InputError that names the nearest known name, unless ``value`` is one of ``known``."""
    if value not in known:
        raise nearest(str(value), known, field)


def sentence(error: InputError) -> str:
    """An error's text with an end, before another sentence."""
    return f"{error}" if str(error).endswith("?") else f"{error}."


def check_own_name(name: str) -> None:
    """Raise ``InputError`` for an invalid name of own data, such as a known data set's, which tables would confuse."""
    if name.casefold() in KNOWN:
        raise InputError(f"own data cannot be called {name!r}, which is a known data set's name; give another name")
    if not NAME.fullmatch(name):
        raise InputError(
            f"own data cannot be called {name[:80]!r}; give letters, digits, dots, dashes and underscores, up to 64"
        )


def check_seed(name: str, seed: Any) -> None:
    """Raise ``InputError`` for what is no seed."""
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise InputError(f"{name} {seed!r} is no seed: give an integer from 0 to 2**63 - 1")


def check_shares(validation: Any, test: Any) -> None:
    """Raise ``InputError`` for shares that leave a split empty."""
    for name, share in (("validation", validation), ("test", test)):
        if type(share) is not float or not math.isfinite(share) or not 0 < share < 1:
            raise InputError(f"{name} is {share!r}; give a share of the images between 0 and 1, such as 0.1")
    if validation + test >= 1:
        raise InputError(
            f"validation is {validation:g} and test {test:g}, which leaves nothing to train on; give less than 1 in all"
        )


def check_image_size(size: Any) -> None:
    """Raise ``InputError`` for what are no rows and columns."""
    _check_numbers("image size", size, 2, "rows and columns, such as 32 32")


def _check_numbers(name: str, values: Any, count: int, what: str) -> None:
    right = isinstance(values, tuple) and len(values) == count
    if not right or any(type(each) is not int or not 1 <= each < LARGEST for each in values):
        shown = list(values) if isinstance(values, tuple) else values
        raise InputError(f"{name} is {str(shown)[:80]}; give {what}, whole numbers from 1")
