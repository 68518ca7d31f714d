"""What says that other processes disturbed a measurement: in a row's head, below a table, and on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from reports.benchmarks.load import TRIES
from reports.kit.latex import Latex, escape

Metrics = Mapping[str, float]
Measured = Mapping[str, Metrics]
"""Metrics by the name of a row."""
SAID = f"other processes disturbed the measurement in each of {TRIES} tries."


def disturbed(*metrics: Metrics | None) -> bool:
    """Whether one of the measurements was; those that were not taken were not."""
    return any(each.get("disturbed") for each in metrics if each)


def mark(text: object, *metrics: Metrics | None) -> Latex:
    """A row's head, with a star where a measurement of the row was disturbed."""
    return Latex(f"{escape(text)}{'$^{*}$' * disturbed(*metrics)}")


def note(*metrics: Metrics | None) -> Latex:
    """What the star of ``mark`` says, at the end of a caption; nothing where there is none."""
    return Latex(f" $^{{*}}$: {SAID}" * disturbed(*metrics))


def markdown_note(*metrics: Metrics | None) -> str:
    """The same below a Markdown table."""
    return f"\n\\*: {SAID}\n" * disturbed(*metrics)


def tell_disturbed(found: Measured, room: Path) -> None:
    """Print which measurements, kept in ``room``, other processes disturbed in every try."""
    console = Console(highlight=False, soft_wrap=True)
    marked = {name: metrics for name, metrics in found.items() if disturbed(metrics)}
    for name, metrics in marked.items():
        floor = (
            f"; times of the same work spread by {metrics['floor_spread']:.0%} (interquartile range over median) and "
            f"drifted by {metrics['floor_drift']:.0%}"
            if "floor_spread" in metrics
            else ""
        )
        console.print(f"disturbed: {name}: others took {metrics['other_load']:.1f} cores{floor}", markup=False)
    if marked:
        console.print(
            f"{len(marked)} of {len(found)} measurements were disturbed and are marked; to take them again, remove "
            f"{room} and repeat the command when the machine does nothing else",
            markup=False,
        )
