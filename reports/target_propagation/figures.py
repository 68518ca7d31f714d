"""The target-propagation report's two figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from reports.kit.figures import curves, figure, legend_below
from reports.target_propagation.tables import DIAGNOSTICS

INVERSES = ("DRL", "L-DRL", "probes", "mirror")
SIGNALS = ("encoder, Euclidean (thesis)", "network, Euclidean (Lee et al.)", *map("{}, second-order".format, INVERSES))
"""Variants whose signals are drawn, if they were trained."""
NEAR = 15
"""Nats from the best that the closer look at the learning curves takes in."""


def learning_curves(out: Path, history: pd.DataFrame) -> None:
    """Validation ELBO by epoch: all of it, and a closer look at the best."""
    elbo = history[history["metric"] == "elbo"]
    rows = dict(zip(elbo["row"], elbo["strategy"], strict=True))
    with figure(out, "learning_curves", height=2.6) as drawing:
        for axes in drawing.subplots(1, 2):
            drawn = curves(axes, elbo, rows)
            axes.set(ylabel="validation ELBO (nats)")
        if rows:
            axes.set_ylim(elbo["value"].max() - NEAR, elbo["value"].max() + 1)
        legend_below(drawing, drawn)


def signals(out: Path, history: pd.DataFrame) -> None:
    """The diagnostics of some rows by epoch, a panel each."""
    told = history[history["row"].isin(history.loc[history["metric"] == "signal_cosine", "row"])]
    known = dict(zip(told["row"], told["strategy"], strict=True))
    rows = {row: known[row] for each in SIGNALS if (row := f"TP, {each}") in known}
    with figure(out, "signals", height=4.2) as drawing:
        panels = [(metric, *shown) for metric, shown in DIAGNOSTICS.items() if metric != "elbo"]
        for axes, (metric, title, scale, _) in zip(drawing.subplots(2, 4).flat, panels, strict=True):
            found = told[told["metric"] == metric]
            drawn = curves(axes, found.assign(value=scale * found["value"]), rows)
            axes.set_title(title)
            axes.locator_params("x", nbins=4)
        legend_below(drawing, drawn, columns=2)
