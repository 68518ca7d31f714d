"""What data a run is trained on."""

from dataclasses import dataclass
from typing import Literal, get_args

from discrete_vae.data.domain import Domain
from discrete_vae.data.images import COLUMNS, ROWS
from discrete_vae.data.synthetic import SYNTHETIC
from discrete_vae.errors import InputError, nearest

DatasetName = Literal[
    "binarised-mnist",
    "mnist",
    "fashion-mnist",
    "8-gaussians",
    "25-gaussians",
    "swiss-roll",
    "expressions",
    "molecules",
]
Binarisation = Literal["threshold", "stochastic", "dynamic", "none"]


@dataclass(frozen=True)
class DataConfig:
    """A data set and how its pixels become binary.

    - ``threshold``: 1 where pixel > 127 (intensity above 0.5), the thesis' choice.
    - ``stochastic``: Bernoulli(pixel / 255), drawn once (Salakhutdinov and Murray, 2008).
    - ``dynamic``: the training images are drawn afresh at each visit (Burda et al., 2016); validation and
      test are the fixed draw of ``stochastic``.
    - ``none``: grayscale intensities pixel / 255.

    Points in the plane and strings of symbols, the rows of ``SYNTHETIC``, have no pixels and leave both at the
    defaults.

    Raises:
        InputError: an unknown name, a seed out of range, binarised MNIST with anything but ``threshold``, or a data set
            that has no pixels with a binarisation or its seed.
    """

    dataset: DatasetName = "binarised-mnist"
    """Images: binarised-mnist is bundled, mnist and fashion-mnist want --folder or --download. Points in the plane and
    strings of symbols are made: 8-gaussians, 25-gaussians and swiss-roll, expressions and molecules."""
    binarisation: Binarisation = "threshold"
    """How grayscale pixels become binary: at 0.5, drawn once, drawn afresh each epoch, or not at all."""
    binarisation_seed: int = 0
    """Of the fixed Bernoulli draw; read under ``stochastic`` and ``dynamic`` only."""

    def __post_init__(self) -> None:
        check_name("dataset", self.dataset, get_args(DatasetName))
        check_name("binarisation", self.binarisation, get_args(Binarisation))
        if self.dataset == "binarised-mnist" and self.binarisation != "threshold":
            raise InputError(
                f'binarisation "{self.binarisation}" needs grayscale images, binarised-mnist has none: '
                'choose dataset "mnist", or binarisation "threshold"'
            )
        seed = self.binarisation_seed
        if self.dataset in SYNTHETIC and (self.binarisation != "threshold" or seed != 0):
            raise InputError(
                f'binarisation "{self.binarisation}" with seed {seed!r} needs images, {self.dataset} has none: '
                'leave binarisation at "threshold" and its seed at 0, or choose dataset "mnist"'
            )
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise InputError(f"binarisation_seed {seed!r} is no seed: give an integer from 0 to 2**63 - 1")
        if seed and self.binarisation not in ("stochastic", "dynamic"):
            raise InputError(
                f'binarisation seed is {seed}, which has no effect with binarisation "{self.binarisation}"; leave it '
                'at 0, or choose "stochastic" or "dynamic"'
            )

    @property
    def domain(self) -> Domain:
        """What one observation is, e.g. 784 binary pixels, 2 real coordinates, or 16 of 9 symbols."""
        if self.dataset in SYNTHETIC:
            return SYNTHETIC[self.dataset].domain
        return Domain(ROWS * COLUMNS, None if self.binarisation == "none" else 2)


def check_name(field: str, value: object, known: tuple[str, ...]) -> None:
    """Raise an InputError that names the nearest known name, unless ``value`` is one of ``known``."""
    if value not in known:
        raise nearest(str(value), known, field)
