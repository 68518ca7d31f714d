"""Validation accuracy along training."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from reports.kit.captions import Entries
from reports.kit.context import ReportContext
from reports.kit.figures import curves, figure, legend_below

CURVES = "semi_supervised_curves"


def draw(bench: ReportContext, entries: Entries, results: pd.DataFrame) -> list[str]:
    """Mean and range over seeds of each row; a shorter row goes on dotted, at its last level."""
    if bench.drawn([CURVES], [run for entry in entries.values() for run in entry.runs]):
        return [CURVES]
    found = []
    for (row, _), entry in entries.items():
        configs = [run.config for run in entry.runs if run.finished]
        epochs = range(1, max((each.epochs for each in configs), default=0) + 1)
        for run in bench.train(configs, epochs=epochs, metrics=[("validation", "accuracy")]):
            history = run.history().query("split == 'validation' and metric == 'accuracy'")
            found.append(history.assign(row=row, seed=run.config.seed, value=100 * history["value"]))
    history = pd.concat(found)
    with figure(bench.out, CURVES, height=3.4) as drawing:
        axes = drawing.subplots()
        lines = curves(axes, history, {row: entry.config.strategy for (row, _), entry in entries.items()})
        last = history["epoch"].max()
        for line in lines.values():
            assert isinstance(line, Line2D)
            line.set(marker="o", markersize=2)
            epoch, value = (float(np.asarray(values)[-1]) for values in line.get_data())
            axes.plot([epoch, last], [value, value], color=line.get_color(), linestyle=":", linewidth=0.9)
        axes.set_ylabel("validation accuracy")
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
        legend_below(drawing, lines)
    return [CURVES]
