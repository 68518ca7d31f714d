"""What one observation of a data set is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Domain:
    """``size`` numbers, each one of ``symbols`` symbols (0, 1, ...), or real where that is None.

    A generator of observations gives ``size`` categorical variables of ``symbols`` categories, or as many reals.
    """

    size: int
    symbols: int | None
