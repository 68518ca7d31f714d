"""The interface of a tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from PIL import Image


class Tracker(Protocol):
    """The log of one run. Any method may raise: training goes on without the tracker."""

    empty: bool
    """Whether the log begins anew, since it was never there or is gone: then all is logged again."""

    def hyperparameters(self, values: Mapping[str, Any]) -> None:
        """The configuration, flat, once."""

    def scalars(self, epoch: int, values: Mapping[str, float]) -> None:
        """The numbers of an epoch, by ``split/metric``."""

    def images(self, epoch: int, images: Mapping[str, Image.Image]) -> None:
        """Images of the model after an epoch, in grayscale or colour."""

    def flush(self) -> str:
        """Write what was given; gives the position to open the log at later."""

    def close(self, failed: bool) -> None:
        """Close the log; ``failed`` says whether the run has failed."""
