"""The domain of a data set's observations."""

from dataclasses import dataclass
from typing import NamedTuple


class Sizes(NamedTuple):
    """Observations of each split."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Shape:
    """An image's rows, columns and channels, 1 of grayscale and 3 of colour; pixels are stored flat in this order."""

    rows: int
    columns: int
    channels: int = 1

    @property
    def size(self) -> int:
        """Numbers of one image."""
        return self.rows * self.columns * self.channels

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.channels}"


@dataclass(frozen=True)
class Domain:
    """``size`` numbers, each one of ``symbols`` symbols (0, 1, ...), or real where that is None.

    A generator of observations gives ``size`` categorical variables of ``symbols`` categories, or as many reals.
    Observations that are images have a ``shape`` of this size; points and strings have none.
    """

    size: int
    symbols: int | None
    shape: Shape | None = None
