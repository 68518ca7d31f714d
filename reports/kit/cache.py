"""Results as a cache: a run's identity decides its numbers, so what a committed table holds is not trained again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation.yardstick import least
from discrete_vae.files import read_text
from discrete_vae.runs import Run
from discrete_vae.runs.run import EVALUATION, HISTORY
from discrete_vae.runs.spreadsheets import read_csv
from discrete_vae.training import Prune, never
from discrete_vae.training.resuming import pruned_before

NUMBERS = ["run", "split", "samples", "metric", "epoch", "value"]
"""What a table tells of a run: with an epoch, its history; with samples, an evaluation; else what a report measured.

Each once. A table of what is measured in several ways names its models otherwise than ``run``.
"""
NOTHING = pd.DataFrame(columns=NUMBERS)
PROVENANCE = "provenance.json"
ENTRY = ("run", "status", "training_seconds")
"""What every run in it has."""


@dataclass(frozen=True)
class Wants:
    """What a report needs to know of its runs, beside that they have ended."""

    samples: Mapping[str, int] = field(default_factory=dict)
    """Samples of an evaluation, by split."""
    whole: bool = False
    """Whether all of its metrics are needed, and not only what settings may be chosen by (``least``)."""
    epochs: Collection[int] = ()
    """Epochs after which ``metrics`` are needed."""
    metrics: Collection[tuple[str, str]] = ()
    """Each with its split; by default the validation score of the run."""


NOTHING_MORE = Wants()


@dataclass(frozen=True)
class Known(Run):
    """A run whose numbers come from committed tables; no folder stands behind it, and no weights."""

    status_: str = field(compare=False)
    numbers: pd.DataFrame = field(compare=False, repr=False)
    entry: Mapping[str, Any] = field(compare=False, repr=False)
    """Its entry in the provenance that lies beside the tables."""
    source: Path = field(compare=False)
    """The folder of the tables."""

    @property
    def status(self) -> str:
        """As ``Run.status``, at the time of the tables."""
        return self.status_

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end."""
        return self.status_ == "finished"

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why it stopped for good; the tables keep no more than that it did."""
        failed = self.status_ == "failed"
        return {"step": 0, "epoch": 0, "message": f"{self.config.name} failed; see {self.source}"} if failed else None

    @property
    def last_epoch(self) -> int:
        """As ``Run.last_epoch``; the tables need not hold all of the history that tells it."""
        return int(self.entry["last_epoch"]) if "last_epoch" in self.entry else super().last_epoch

    @property
    def step(self) -> int:
        """Updates done; of a run that left early, as far as the tables tell its metrics."""
        if self.finished:
            return self.last_step
        return int(max(self.history()["epoch"], default=0)) * self.steps_per_epoch

    def history(self) -> pd.DataFrame:
        """As ``Run.history``, as far as the tables hold it."""
        return self._history.copy()

    @cached_property
    def _history(self) -> pd.DataFrame:
        return self.numbers[self.numbers["epoch"].notna()].astype({"epoch": int})[HISTORY].drop_duplicates()

    def evaluation(self) -> pd.DataFrame:
        """As ``Run.evaluation``, as far as the tables hold it."""
        return self._evaluation.copy()

    @cached_property
    def _evaluation(self) -> pd.DataFrame:
        found = self.numbers[self.numbers["epoch"].isna() & self.numbers["samples"].notna()]
        return found.astype({"samples": int})[EVALUATION]

    def measured(self) -> dict[tuple[str, str], float]:
        """What a report measured of its weights, by split and metric: numbers without an epoch or samples."""
        found = self.numbers[self.numbers["epoch"].isna() & self.numbers["samples"].isna()]
        return dict(zip(zip(found["split"], found["metric"], strict=True), found["value"], strict=True))

    def tells(self, wants: Wants) -> bool:
        """Whether it failed, or the tables hold all that a report wants to know of it as a finished run.

        A run that its patience ended needs no epochs after its end.
        """
        if self.failure is not None:
            return True
        numbers = self.numbers[self.numbers["value"].notna()]
        had = set(zip(numbers["split"], numbers["samples"], numbers["metric"], strict=True))
        after = set(zip(numbers["split"], numbers["metric"], numbers["epoch"], strict=True))
        epochs = {epoch for epoch in wants.epochs if epoch <= self.last_epoch}
        task, score = self.config.task_class, ("validation", self.config.score_metric)
        wanted = {(*each, metric) for each in wants.samples.items() for metric in least(task, each[1], wants.whole)}
        return (
            self.finished
            and had >= wanted
            and after >= {(*key, epoch) for key in wants.metrics or [score] for epoch in epochs}
        )

    def sessions(self) -> list[dict[str, Any]]:
        """What it was trained on; one of these, where the provenance does not say which (``environments``)."""
        return [dict(each) for each in self.entry["sessions"]]


class Cache:
    """Runs by the tables and the provenance in some folders."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Read the folders; those that hold no provenance are passed over.

        Raises ``InputError`` for a table or a provenance that cannot be read.
        """
        self.known: dict[str, list[tuple[Config, dict[str, Any], pd.DataFrame, Path]]] = {}
        """By a run's name: its configuration, its entry, its numbers and their folder, in the order of the folders."""
        self._named: dict[tuple[str, Path], list[Known]] = {}
        for folder in folders:
            if (folder / PROVENANCE).is_file():
                for config, entry, numbers in _read(folder, _stamps(folder)):
                    self.known.setdefault(entry["run"], []).append((config, entry, numbers, folder))

    def find(
        self,
        configs: Iterable[Config],
        runs: Path,
        prune: Prune = never,
        wants: Wants = NOTHING_MORE,
    ) -> dict[Config, Run]:
        """The runs of these configurations that were pruned, or of which a folder knows enough (``Known.tells``).

        Each comes from the first folder that does. Only the first folder, which is the report's own, says what was
        pruned: another may have the same run to its end. ``runs`` is where they would be trained.
        """
        known = [own for each in dict.fromkeys(configs) if (own := self.of(each, runs))]
        left = pruned_before([first for first, *_ in known], prune)
        told = (next((run for run in own if run in left or run.tells(wants)), None) for own in known)
        return {run.config: run for run in told if run}

    def of(self, config: Config, runs: Path) -> list[Known]:
        """The run of a configuration, as each folder has it; not if its defaults or its own network have changed."""
        return [each for each in self.named(config.name, runs) if each.config == config and each.same_network]

    def named(self, name: str, runs: Path) -> list[Known]:
        """The run of a name, as each folder has it."""
        if (name, runs) not in self._named:
            self._named[name, runs] = [
                Known(runs / name, config, entry["status"], numbers.copy(), deepcopy(entry), folder)
                for config, entry, numbers, folder in self.known.get(name, [])
            ]
        return self._named[name, runs]


def _stamps(folder: Path) -> tuple[tuple[object, ...], ...]:
    """What changes when one of the folder's tables, or its provenance, does."""
    found = [(path.name, path.stat()) for path in sorted([*folder.glob("*.csv"), folder / PROVENANCE]) if path.exists()]
    return tuple(
        (name, told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns) for name, told in found
    )


@lru_cache(maxsize=256)
def _read(folder: Path, stamps: object) -> list[tuple[Config, dict[str, Any], pd.DataFrame]]:
    """The runs of a folder: configuration, entry, numbers. A folder is read again when its ``stamps`` are others."""
    numbers = _numbers(folder)
    return [(config, entry, numbers.get(entry["run"], NOTHING)) for config, entry in _entries(folder)]


def _numbers(folder: Path) -> dict[str, pd.DataFrame]:
    """Numbers by run, of all tables in a folder. Raises ``InputError`` for one that cannot be read."""
    tables = [NOTHING]
    for path in sorted(folder.glob("*.csv")):
        try:
            table = read_csv(path)
            if {"run", "split", "metric", "value"} <= set(table.columns):
                own = table[table["run"].notna()].reindex(columns=NUMBERS)
                tables.append(own.astype({"value": float, "samples": float, "epoch": float}))
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path} cannot be read ({reason}); restore it, or delete its folder") from error
    numbers = pd.concat(tables[1:], ignore_index=True).drop_duplicates() if tables[1:] else NOTHING
    if twice := contradicted(numbers):
        raise InputError(f"the tables in {folder} have two values of {twice}; restore it, or delete it")
    return {str(run): own for run, own in numbers.groupby("run", sort=False)}


def contradicted(numbers: pd.DataFrame) -> str | None:
    """The first metric and run that have two different values; None if there are none."""
    twice = numbers[numbers.duplicated([name for name in NUMBERS if name != "value"])]
    return None if twice.empty else "{metric} of {run}".format(**twice.iloc[0])


def _entries(folder: Path) -> list[tuple[Config, dict[str, Any]]]:
    """The runs of a provenance: configuration, and entry with its ``sessions``.

    Raises ``InputError`` for one that lacks something.
    """
    found = provenance(folder)
    try:
        everywhere, entries = found.get("environments", []), []
        for entry in found.get("runs", []):
            sessions = [everywhere[i] for i in entry.get("environments", range(len(everywhere)))]
            whole = {**entry, "sessions": sessions} | {name: entry[name] for name in ENTRY}
            entries.append((Config.from_dict(entry["configuration"]), whole))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{folder / PROVENANCE} cannot be read ({reason}); restore it, or delete its folder"
        ) from error
    return entries


def provenance(folder: Path) -> dict[str, Any]:
    """The provenance of a report's folder. Raises ``InputError`` if it cannot be read."""
    path = folder / PROVENANCE
    try:
        found: dict[str, Any] = json.loads(read_text(path))
        if not isinstance(found, dict):
            raise ValueError(f"it is a {type(found).__name__}")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); restore it, or name another folder") from error
    return found
