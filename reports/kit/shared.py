"""Training of a report that several processes or machines share, row by row."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from discrete_vae.errors import InUse, nearest
from discrete_vae.files import writable
from reports.kit.context import Part, ReportContext

LOCKS = ".rows"
"""Folder among the runs of the files that say which rows some process is at."""


def chosen(parts: Mapping[str, Part], rows: Collection[str]) -> dict[str, Part]:
    """The parts of some rows, all if none are named. Raises ``InputError`` for a row that is not there."""
    if strange := [row for row in rows if row not in parts]:
        raise nearest(strange[0], parts, "row")
    return {row: part for row, part in parts.items() if not rows or row in rows}


def train(parts: Mapping[str, Part], bench: ReportContext) -> Iterator[tuple[str, bool]]:
    """Train and evaluate what is missing of each part, but for those that another process is at.

    Gives each part's label, and whether it is whole now; it is not if another process is at it.
    """
    for label, part in parts.items():
        try:
            with _held(bench, label):
                part(bench)
        except InUse:
            yield label, False
        else:
            yield label, True


@contextlib.contextmanager
def _held(bench: ReportContext, label: str) -> Iterator[None]:
    """Hold a part for this process alone: also while it evaluates, and between its trials and its runs in full.

    Raises ``InUse`` if another process holds it.
    """
    name = sha256("\n".join((bench.report, bench.preset, label)).encode()).hexdigest()[:16]
    lock = FileLock(bench.runs / LOCKS / name, timeout=0)
    with writable(Path(lock.lock_file).parent):
        try:
            lock.acquire()
        except Timeout:  # an OSError too, but not one of the disk
            raise InUse(f"{label} is in use by another process") from None
    try:
        yield
    finally:
        lock.release()
