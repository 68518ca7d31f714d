"""Training of a report that several processes or machines share, row by row."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256

from discrete_vae.errors import InputError, InUse
from discrete_vae.files import held
from reports.kit.context import Missing, Part, ReportContext

LOCKS = ".rows"
"""Folder among the runs of the files that say which rows some process is at."""


def chosen(parts: Mapping[str, Part], rows: Collection[str], bench: ReportContext) -> dict[str, Part]:
    """The parts of some rows in their order, all if none are named. Raises ``InputError`` for one that is not there."""
    for row in rows:
        if row not in parts:
            close = difflib.get_close_matches(row, parts, n=1)
            shown = f"python -m reports rows {bench.file or bench.report} --preset {bench.preset} shows them all"
            raise InputError(f"unknown row {row!r}; {f'did you mean {close[0]!r}? ' * bool(close)}{shown}")
    return {row: parts[row] for row in rows or parts}


def free(parts: Mapping[str, Part], bench: ReportContext) -> list[str]:
    """The parts that no other process is at now."""
    found = list[str]()
    for label in parts:
        with contextlib.suppress(InUse), hold(bench, label):
            found.append(label)
    return found


def ended(part: Part, bench: ReportContext) -> bool:
    """Whether nothing of a part is left to train or to evaluate; failed runs have ended too."""
    try:
        part(replace(bench, dry=True))
    except Missing:
        return False
    return True


def train(parts: Mapping[str, Part], bench: ReportContext) -> Iterator[tuple[str, bool]]:
    """Train and evaluate what is missing of each part, but for those that another process is at.

    Gives each part's label when it is left, and whether it has ended.
    """
    for label, part in parts.items():
        with contextlib.suppress(InUse), hold(bench, label):
            part(bench)
        yield label, ended(part, bench)


def hold(bench: ReportContext, label: str) -> contextlib.AbstractContextManager[None]:
    """Hold a part for this process alone: also while it evaluates, and between its trials and its runs in full."""
    name = sha256("\n".join((bench.report, bench.preset, label)).encode()).hexdigest()[:16]
    return held(bench.runs / LOCKS / name, f"row {label!r}")
