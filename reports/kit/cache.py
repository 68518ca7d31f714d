"""Results as a cache: a run's identity decides its numbers, so what a committed table holds is not trained again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.files import read_text
from discrete_vae.runs import Run
from discrete_vae.runs.run import EVALUATION, HISTORY
from discrete_vae.runs.spreadsheets import read_csv

NUMBERS = ["run", "split", "samples", "metric", "epoch", "value"]
"""What a table tells of a run: with an epoch, its history; with samples, an evaluation; else what a report measured."""
NOTHING = pd.DataFrame(columns=NUMBERS)
PROVENANCE = "provenance.json"


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
    def step(self) -> int:
        """Updates done; of a run that left early, as far as the tables tell its metrics."""
        if self.finished:
            return self.total_steps
        return int(max(self.history()["epoch"], default=0)) * self.steps_per_epoch

    def history(self) -> pd.DataFrame:
        """As ``Run.history``, as far as the tables hold it."""
        return self.numbers[self.numbers["epoch"].notna()].astype({"epoch": int})[HISTORY].drop_duplicates()

    def evaluation(self) -> pd.DataFrame:
        """As ``Run.evaluation``, as far as the tables hold it."""
        found = self.numbers[self.numbers["epoch"].isna() & self.numbers["samples"].notna()]
        return found.astype({"samples": int})[EVALUATION].drop_duplicates()

    def measured(self) -> dict[tuple[str, str], float]:
        """What a report measured of its weights, by split and metric: numbers without an epoch or samples."""
        found = self.numbers[self.numbers["epoch"].isna() & self.numbers["samples"].isna()]
        return dict(zip(zip(found["split"], found["metric"], strict=True), found["value"], strict=True))

    def tells(self, samples: Mapping[str, int], epochs: Collection[int]) -> bool:
        """Whether the tables hold these evaluations of a finished run, and validation metrics after these epochs."""
        if self.failure is not None:
            return True
        history = self.history()
        after = set(history.loc[history["split"] == "validation", "epoch"])
        made = self.evaluation()  # of which a table may leave out metrics
        evaluated = set(zip(made["split"], made["samples"], strict=True))
        return self.finished and evaluated.issuperset(samples.items()) and after.issuperset(epochs)

    def sessions(self) -> list[dict[str, Any]]:
        """What it was trained on; one of these, where the provenance does not say which (``environments``)."""
        return [dict(each) for each in self.entry["sessions"]]


class Cache:
    """What the tables and the provenance in some folders say of runs."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Read the folders; those that hold no provenance are passed over.

        Raises ``InputError`` for a table or a provenance that cannot be read.
        """
        self.entries: dict[str, tuple[dict[str, Any], Path]] = {}
        tables = []
        for folder in folders:
            if not (folder / PROVENANCE).is_file():
                continue
            known = provenance(folder)
            everywhere = known.get("environments", [])
            for entry in known.get("runs", []):
                told = [everywhere[i] for i in entry.get("environments", range(len(everywhere)))]
                self.entries.setdefault(entry["run"], (entry | {"sessions": told}, folder))
            for path in sorted(folder.glob("*.csv")):
                table = read_csv(path)
                if {"run", "split", "metric", "value"} <= set(table.columns):
                    tables.append(table[table["run"].notna()].reindex(columns=NUMBERS))
        numbers = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=NUMBERS)
        self.numbers = dict(iter(numbers.groupby("run", sort=False)))

    def find(self, config: Config, runs: Path) -> Known | None:
        """The run of a configuration, as the tables have it; ``runs`` is where it would be trained."""
        found = self.named(config.name, runs)
        return found if found and found.config == config else None  # otherwise a default has changed since

    def named(self, name: str, runs: Path) -> Known | None:
        """The run of a name."""
        if (found := self.entries.get(name)) is None:
            return None
        entry, source = found
        config = Config.from_dict(entry["configuration"])
        return Known(runs / name, config, entry["status"], self.numbers.get(name, NOTHING), entry, source)


def provenance(folder: Path) -> dict[str, Any]:
    """What the numbers of a report's folder stand on. Raises ``InputError`` if it cannot be read."""
    path = folder / PROVENANCE
    try:
        found: dict[str, Any] = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); restore it, or name another folder") from error
    return found


def kept(path: Path, *names: str) -> dict[str, Any]:
    """A measurement that the runs' folder has, with what it has under these names.

    Raises ``InputError`` if it cannot be read or lacks one of them.
    """
    try:
        found = json.loads(read_text(path))
        if not isinstance(found, dict) or not found.keys() >= set(names):
            raise ValueError(f"it has no {', '.join(names)}")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it to measure again") from error
    return found
