"""Known classes."""

from __future__ import annotations

from dataclasses import dataclass

from discrete_vae.errors import InputError, check_range, check_types


@dataclass(frozen=True)
class Supervision:
    """How many classes are known in semi-supervised training, and how much they count.

    Raises ``InputError`` for a value out of range.
    """

    labelled: int = 100
    """Training images whose class is known, as many of each, chosen by the seed."""
    alpha: float = 10.0
    """Weight of the classifier's own loss on them, in nats; an image's bound has some 100 nats."""
    labelled_weight: float = 1.0
    """Weight of a labelled image's bound; that of an image without its class is 1."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range("labelled", self.labelled)
        for name in ("alpha", "labelled_weight"):
            if getattr(self, name) < 0:
                raise InputError(f"{name.replace('_', ' ')} is {getattr(self, name)}; give at least 0")
