"""Cells of metrics, and what says that other processes disturbed a measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rich.console import Console

from reports.benchmarks.load import TRIES
from reports.kit.prose import Prose, escape
from reports.kit.table import DASH, Cell, Number

Metrics = Mapping[str, float]
Measured = Mapping[str, Metrics]
"""Metrics by the name of a row."""
WHOLE = {"products", "examples_per_second", "peak_mib", "decoded_per_second"}
"""Metrics without digits behind the point."""


def cells(metrics: Metrics | None, *names: str, digits: int = 2) -> list[Cell]:
    """Metrics, with a dash for what was not measured."""
    return [
        Number(metrics[name], digits=0 if name in WHOLE else digits) if metrics and name in metrics else DASH
        for name in names
    ]


def disturbed(*metrics: Metrics | None) -> bool:
    """Whether one of the measurements was; those that were not taken were not."""
    return any(each.get("disturbed") for each in metrics if each)


def mark(text: object, *metrics: Metrics | None) -> Prose:
    """A row's head, with a star where a measurement of the row was disturbed."""
    return Prose(escape(text) + r" \*" * disturbed(*metrics))


def note(metrics: Iterable[Metrics | None]) -> str:
    """What the star of ``mark`` says, at the end of a caption; nothing where there is none."""
    return f" \\*: other processes disturbed the measurement in each of {TRIES} tries." * disturbed(*metrics)


def tell_disturbed(found: Measured, room: Path) -> None:
    """Print which measurements, kept in ``room``, other processes disturbed in every try."""
    console = Console(highlight=False, soft_wrap=True)
    marked = {name: metrics for name, metrics in found.items() if disturbed(metrics)}
    for name, metrics in marked.items():
        said = f"disturbed: {name}: others took {metrics['other_load']:.1f} cores"
        if "floor_spread" in metrics:
            said += (
                f"; times of the same work spread by {metrics['floor_spread']:.0%} (interquartile range over median)"
            )
            said += f" and drifted by {metrics['floor_drift']:.0%}"
        console.print(said, markup=False)
    if marked:
        console.print(
            f"{len(marked)} of {len(found)} measurements were disturbed and are marked; to take them again, remove "
            f"{room} and repeat the command when the machine does nothing else",
            markup=False,
        )
