"""Experiment trackers: where else, beside its folder, a run's history is shown."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from discrete_vae.errors import InputError, nearest
from discrete_vae.trackers.base import Tracker

TRACKERS = {name: f"discrete_vae.trackers.{name}" for name in ("tensorboard", "wandb", "mlflow")}
"""The module of each, which is imported only when asked for: it needs the extra of its name."""


@dataclass(frozen=True)
class Kind:
    """A tracker's name and its module, whose ``open_tracker`` opens the log of a run."""

    name: str

    def __post_init__(self) -> None:
        """Raises ``InputError`` for a name that is not known, and where the tracker's package does not work here."""
        if self.name not in TRACKERS:
            raise nearest(self.name, TRACKERS, "tracker")
        try:
            importlib.import_module(TRACKERS[self.name])
        except Exception as error:  # versions that do not fit raise anything
            reason = " ".join(str(error).split())
            raise InputError(
                f"tracker {self.name} cannot be imported ({reason}); pip install 'discrete-vae[{self.name}]'"
            ) from error

    def open(self, folder: Path, run: str, position: str) -> Tracker:
        """The log of a run in a folder of its own, as it was when ``Tracker.flush`` gave ``position``; "" for none."""
        opened: Tracker = importlib.import_module(TRACKERS[self.name]).open_tracker(folder, run, position)
        return opened


def kind_of(log: str | Kind | None) -> Kind | None:
    """A tracker by its name, or as it is. Raises what ``Kind`` does."""
    return Kind(log) if isinstance(log, str) else log


__all__ = ["TRACKERS", "Kind", "Tracker", "kind_of"]
