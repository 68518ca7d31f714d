"""Numbers of runs that are finished before their report is, kept so that another machine goes on from them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd
from filelock import FileLock

from discrete_vae import runs
from discrete_vae.errors import InputError, nearest
from discrete_vae.files import writable, write_atomically
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import to_csv
from reports.kit.cache import NUMBERS, PROVENANCE, Cache, Known, contradicted, provenance
from reports.kit.provenance import described

KEPT = Path(__file__).parents[1] / "kept"
"""Committed ones, a folder a report; every report looks there for its runs."""
ROWS = "rows.csv"
LOCK = ".lock"
"""Held while the tables are read and written: two may add to them at once."""
KIND = "kept runs"


def keep(where: Path, out: Path, metrics: Collection[str] = ()) -> Sequence[Run]:
    """Add the ended runs in a folder ``where`` to the tables in ``out``; gives all runs in the tables.

    ``where`` may also hold such tables, of another machine. Of each run: its evaluations, and by epoch the metric that
    it is scored by, and ``metrics``, which settings may be chosen by and figures draw. Folders that are not named as
    their configuration are passed over with a warning: copies, and runs of an older version. Raises ``InputError`` for
    a folder of other things or without an ended run, for metrics that no run has, for a run whose numbers or whose end
    contradict those of the tables, and for what cannot be read.
    """
    if os.path.lexists(out / PROVENANCE) and not _is_kept(out):
        raise InputError(f"{out} holds a report; name a folder of its own, such as {KEPT / 'NAME'}")
    with writable(out), FileLock(out / LOCK):
        known, ended = _known(out, where), _ended(where)
        rows = [_numbers(run, metrics) for run in [*known.values(), *ended.values()]]
        if not ended:
            raise InputError(f"{where} holds no run that has ended; name the folder of the runs (--runs)")
        had = {name for run in ended.values() for name in run.history()["metric"]}
        if strange := [name for name in metrics if name not in had]:
            raise nearest(strange[0], sorted(had), "metric")
        numbers = pd.concat(rows, ignore_index=True).drop_duplicates()
        twice = contradicted(numbers) or next(
            (f"end of {name}" for name, run in ended.items() if name in known and known[name].status != run.status),
            None,
        )
        if twice:
            raise InputError(f"{where} has another {twice} than {out}; name another folder (--out), or delete the run")
        told = {"kind": KIND, **described(list((known | ended).values()), (out, where))}
        write_atomically(out / ROWS, to_csv(numbers.astype({"samples": "Int64", "epoch": "Int64"})))
        write_atomically(out / PROVENANCE, json.dumps(told, indent=2) + "\n")
        return list(_known(out, where).values())


def _is_kept(folder: Path) -> bool:
    return os.path.lexists(folder / PROVENANCE) and provenance(folder).get("kind") == KIND


def _known(tables: Path, where: Path) -> dict[str, Run]:
    """The runs in kept tables, by name; none where there are no tables."""
    if _is_kept(tables) and not (tables / ROWS).is_file():
        raise InputError(f"{tables} has no {ROWS} beside its {PROVENANCE}; bring it as well")
    found = Cache([tables])
    return {name: found.named(name, where)[0] for name in found.known}


def _ended(where: Path) -> dict[str, Run]:
    """The ended runs in a folder, by name, of tables that were kept there and of the folders of runs."""
    found = _known(where, where) if _is_kept(where) else {}
    others = []
    for run in runs.find(where):
        if run.folder.name != run.config.name:
            others.append(run.folder.name)
        elif run.finished or run.failure is not None:
            found[run.config.name] = run
    if others:
        warnings.warn(
            f"{len(others)} of the folders in {where} are passed over, such as {others[0]}: they are copies, or an "
            "older version's",
            stacklevel=3,
        )
    return found


def _numbers(run: Run, metrics: Collection[str]) -> pd.DataFrame:
    if isinstance(run, Known):
        return run.numbers[NUMBERS]
    history = run.history()
    history = history[history["metric"].isin({run.config.score_metric, *metrics})]
    return pd.concat([run.evaluation(), history]).assign(run=run.config.name).reindex(columns=NUMBERS)
