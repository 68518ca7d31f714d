"""Numbers of runs that are finished before their report is, kept so that another machine goes on from them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

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
KIND = "kept runs"


def keep(where: Path, out: Path, metrics: Collection[str] = ()) -> Sequence[Run]:
    """Add the ended runs in a folder ``where`` to the tables in ``out``; gives all runs in the tables.

    ``where`` may also hold such tables, of another machine. Of each run: its evaluations, and by epoch the metric that
    it is scored by, and ``metrics``, which settings may be chosen by and figures draw. Raises ``InputError`` for a
    folder of other things or without an ended run, for metrics that no run has, for numbers of a run that contradict
    those of the tables, and for what cannot be read.
    """
    with writable(out):
        if os.path.lexists(out / PROVENANCE) and not _is_kept(out):
            raise InputError(f"{out} holds a report; name a folder of its own, such as {KEPT / 'NAME'}")
        known = _known(out, where)
    if os.path.lexists(where / PROVENANCE) and _is_kept(where):
        ended: dict[str, Run] = _known(where, where)
    else:
        ended = {run.config.name: run for run in runs.find(where) if run.finished or run.failure is not None}
    rows = [_numbers(run, metrics) for run in [*known.values(), *ended.values()]]
    if not ended:
        raise InputError(f"{where} holds no run that has ended; name the folder of the runs (--runs)")
    had = {name for run in ended.values() for name in run.history()["metric"]}
    if strange := [name for name in metrics if name not in had]:
        raise nearest(strange[0], sorted(had), "metric")
    numbers = pd.concat(rows, ignore_index=True).drop_duplicates()
    if twice := contradicted(numbers):
        raise InputError(f"{where} has another {twice} than {out}; name another folder (--out), or delete the run")
    whole = known | ended
    told = {"kind": KIND, **described(list(whole.values()), (out, where))}
    write_atomically(out / ROWS, to_csv(numbers.astype({"samples": "Int64", "epoch": "Int64"})))
    write_atomically(out / PROVENANCE, json.dumps(told, indent=2) + "\n")
    return list(whole.values())


def _is_kept(folder: Path) -> bool:
    return bool(provenance(folder).get("kind") == KIND)


def _known(tables: Path, where: Path) -> dict[str, Run]:
    """The runs in kept tables, by name."""
    found = Cache([tables])
    return {name: found.named(name, where)[0] for name in found.known}


def _numbers(run: Run, metrics: Collection[str]) -> pd.DataFrame:
    if isinstance(run, Known):
        return run.numbers[NUMBERS]
    history = run.history()
    history = history[history["metric"].isin({run.config.score_metric, *metrics})]
    return pd.concat([run.evaluation(), history]).assign(run=run.config.name).reindex(columns=NUMBERS)
