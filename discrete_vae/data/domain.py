"""What one observation of a data set is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """``size`` numbers, each one of ``symbols`` symbols (0, 1, ...), or real where that is None.

    A generator of observations gives ``size`` categorical variables of ``symbols`` categories, or as many reals.
    """

    size: int
    symbols: int | None


@dataclass(frozen=True)
class Shape:
    """Of images, whose numbers come row by row, the channels of a pixel side by side."""

    rows: int
    columns: int
    channels: int = 1

    @property
    def size(self) -> int:
        """Numbers of an image."""
        return self.rows * self.columns * self.channels
