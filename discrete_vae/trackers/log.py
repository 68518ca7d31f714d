"""The log that follows runs: whatever their folders hold and the tracker has not seen yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from discrete_vae.data import Dataset
from discrete_vae.files import parse_json, read_text, write_atomically
from discrete_vae.runs.run import Run
from discrete_vae.trackers import Kind
from discrete_vae.trackers.base import Tracker
from discrete_vae.trackers.pictures import pictures

NOTHING: dict[str, Any] = {"epoch": 0, "pictured": 0, "position": ""}
"""Content of ``logged.json`` before the first writing: the last epoch of which numbers and images are logged, and the
tracker's position."""


class Log:
    """Brings a tracker's logs of runs up to what is on the disk.

    Each has its folder ``RUN/TRACKER``, and in it ``logged.json``. Only epochs up to a run's newest checkpoint are
    logged: later ones are trained again after a kill, unless the run has failed for good. A tracker that raises is told
    of once and left alone from then on; a later session logs what it missed.
    """

    def __init__(self, kind: Kind, data: Dataset, device: torch.device, tell: Callable[[str], None]) -> None:
        self.kind, self.data, self.device, self.tell = kind, data, device, tell
        self.opened: dict[Run, tuple[Tracker, dict[str, Any]]] = {}
        self.failed = False

    def follow(self, runs: Sequence[Run]) -> None:
        """Log what is new of runs that this process holds."""
        for run in runs:
            self._guarded(partial(self._follow, run))

    def close(self) -> None:
        """Close the logs of all runs."""
        opened, self.opened = self.opened, {}
        for run, (tracker, _) in opened.items():
            self._guarded(partial(_close, run, tracker))

    def _guarded(self, act: Callable[[], object]) -> None:
        if self.failed:
            return
        try:
            act()
        except Exception as error:  # whatever a tracker raises: the training is worth more
            self.failed = True
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.tell(
                f"{self.kind.name} failed ({reason}); training goes on without it, and the same command logs the rest"
            )

    def _follow(self, run: Run) -> None:
        history = run.history()
        last = run.step // run.steps_per_epoch
        if run.failure is not None:  # nothing is trained again
            last = max(history["epoch"], default=0)
        folder = run.folder / self.kind.name
        path = folder / "logged.json"
        if run not in self.opened:
            folder.mkdir(exist_ok=True)
            logged = _logged(path)
            opened = self.kind.open(folder, run.config.name, logged["position"])
            if opened.empty:
                logged = dict(NOTHING)
                opened.hyperparameters(dict(flat(run.config.to_dict())))
            self.opened[run] = opened, logged
        tracker, logged = self.opened[run]
        new = history[(history["epoch"] > logged["epoch"]) & (history["epoch"] <= last)]
        for epoch in sorted(set(new["epoch"])):
            rows = new[new["epoch"] == epoch]
            names = rows["split"] + "/" + rows["metric"]
            tracker.scalars(int(epoch), dict(zip(names, rows["value"].astype(float), strict=True)))
        kept = run.kept_epoch
        if kept > logged["pictured"]:
            tracker.images(kept, pictures(run, self.data, self.device))
        logged |= {"epoch": max(int(last), logged["epoch"]), "pictured": max(kept, logged["pictured"])}
        logged["position"] = tracker.flush()
        write_atomically(path, json.dumps(logged) + "\n")


def _close(run: Run, tracker: Tracker) -> None:
    tracker.close(run.failure is not None)


def _logged(path: Path) -> dict[str, Any]:
    """What is logged, by ``logged.json``; nothing where that is missing or damaged."""
    try:
        found = parse_json(read_text(path))
        return {name: type(value)(found[name]) for name, value in NOTHING.items()}
    except (OSError, ValueError, LookupError, TypeError):
        return dict(NOTHING)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values by their names joined with dots."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
