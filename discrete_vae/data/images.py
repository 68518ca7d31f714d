"""The images and labels of a data set as its files hold them, before any split."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ROWS = COLUMNS = 28
THRESHOLD = 127
"""A pixel above it is on: intensity pixel / 255 > 0.5."""


@dataclass(frozen=True, eq=False)
class Images:
    """All images in file order: the training file, then the test file."""

    pixels: NDArray[np.uint8]  # [M, D] 0..255 grayscale, or 0/1
    labels: NDArray[np.uint8]  # [M] class 0..9
