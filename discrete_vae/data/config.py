"""What data a run is trained on."""

from dataclasses import dataclass
from typing import Literal, get_args

from discrete_vae.errors import InputError, nearest

DatasetName = Literal["binarised-mnist", "mnist", "fashion-mnist"]
Binarisation = Literal["threshold", "stochastic", "dynamic", "none"]


@dataclass(frozen=True)
class DataConfig:
    """A data set and how its pixels become binary.

    - ``threshold``: 1 where pixel > 127 (intensity above 0.5), the thesis' choice.
    - ``stochastic``: Bernoulli(pixel / 255), drawn once (Salakhutdinov and Murray, 2008).
    - ``dynamic``: the training images are drawn afresh at each visit (Burda et al., 2016); validation and
      test are the fixed draw of ``stochastic``.
    - ``none``: grayscale intensities pixel / 255.

    Raises:
        InputError: an unknown name, a seed out of range, or binarised MNIST with anything but ``threshold``.
    """

    dataset: DatasetName = "binarised-mnist"
    """Images; binarised-mnist is bundled, the others want --folder or --download."""
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
        if type(seed) is not int or not 0 <= seed < 2**63:
            raise InputError(f"binarisation_seed {seed!r} is no seed: give an integer from 0 to 2**63 - 1")


def check_name(field: str, value: object, known: tuple[str, ...]) -> None:
    """Raise an InputError that names the nearest known name, unless ``value`` is one of ``known``."""
    if value not in known:
        raise nearest(str(value), known, field)
