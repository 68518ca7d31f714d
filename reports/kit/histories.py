"""Histories of runs: metrics by epoch, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from discrete_vae.runs import Run
from reports.kit.context import ReportContext
from reports.kit.figures import WIDTH, curves, figure, legend_below
from reports.kit.tidy import history_rows


def learning_curves(
    bench: ReportContext,
    rows: Mapping[str, Sequence[Run]],
    panels: Mapping[str, str],
    name: str = "learning_curves",
) -> list[str]:
    """Write ``NAME.csv``, validation metrics of the rows' runs by epoch, and draw them, a panel each with its title.

    Where committed tables lack a part of their runs' history, their picture is copied; other runs are trained for it.
    Gives the names of the figures, none if no run finished.
    """
    found = {run: row for row, runs in rows.items() for run in runs if run.finished}
    frames = [history_rows(row, run, panels) for run, row in found.items()]
    if not all(map(_whole, found, frames)):
        if bench.drawn([name], found):
            return [name]
        last = max(run.config.epochs for run in found)
        metrics = [("validation", panel) for panel in panels]
        runs = bench.train([run.config for run in found], epochs=range(1, last + 1), metrics=metrics)
        frames = [history_rows(row, run, panels) for run, row in zip(runs, found.values(), strict=True)]
    if not frames:
        return []
    history = pd.concat(frames, ignore_index=True)
    bench.write_results(history, f"{name}.csv")
    strategies = {row: runs[0].config.strategy for row, runs in rows.items() if runs}
    with figure(bench.out, name, height=2.8, width=min(WIDTH, 4.5 * len(panels))) as drawing:
        for axes, (metric, title) in zip(
            drawing.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            lines = curves(axes, history[history["metric"] == metric], strategies)
            axes.set(title=title, ylabel="nats an image")
        legend_below(drawing, lines, columns=2)
    return [name]


def _whole(run: Run, rows: pd.DataFrame) -> bool:
    """Whether a run's rows of some metrics have every epoch; a metric that the run does not have is none of them."""
    epochs = set(range(1, run.last_epoch + 1))
    return len(rows) > 0 and all(set(own["epoch"]) == epochs for _, own in rows.groupby("metric"))
