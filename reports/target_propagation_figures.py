"""The target-propagation report's two figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.ticker import MaxNLocator

from reports.kit.figures import COLOURS, DASHES, figure, symbols
from reports.target_propagation_settings import L_DRL, MIRROR, PROBES, THESIS

SIGNALS = (
    THESIS.label,
    "TP, network, Euclidean (Lee et al.)",
    "TP, DRL, second-order",
    L_DRL.label,
    PROBES.label,
    MIRROR.label,
)
"""Whose signals are drawn, if they were trained."""


PANELS = {
    "signal_cosine": "cosine to descent",
    "signal_ratio": "length relative to it",
    "inverse_trace_positive": "images with tr > 0",
    "outside_simplex": "targets outside",
    "mean_correction": "mean correction",
    "kl": "KL (nats)",
    "code_entropy": "code entropy (nats)",
    "active_latents": "active latents",
}
"""Metrics of a run's history that are drawn, and their titles."""


NEAR = 15
"""Nats from the best that the closer look at the learning curves takes in."""


def learning_curves(out: Path, curves: pd.DataFrame, rows: Sequence[str]) -> None:
    """Validation ELBO by epoch, mean and range over seeds: all of it, and a closer look at the best."""
    elbo = curves[curves["metric"] == "elbo"]
    with figure(out, "learning_curves", height=2.6) as drawing:
        for axes, low in zip(drawing.subplots(1, 2), (None, NEAR), strict=True):
            lowest, highest = [], []
            for i, row in enumerate(rows):
                by_epoch = elbo[elbo["row"] == row].groupby("epoch")["value"].agg(["mean", "min", "max"])
                if by_epoch.empty:
                    continue
                colour, dashes = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
                axes.plot(by_epoch.index, by_epoch["mean"], color=colour, linestyle=dashes, label=symbols(row))
                axes.fill_between(
                    by_epoch.index, by_epoch["min"], by_epoch["max"], color=colour, alpha=0.2, linewidth=0
                )
                lowest.append(by_epoch["mean"].iloc[len(by_epoch) // 10])
                highest.append(by_epoch["max"].max())
            if lowest:
                axes.set_ylim(min(lowest) - 5 if low is None else max(highest) - low, max(highest) + 1)
            axes.set(xlabel="epoch", ylabel="validation ELBO (nats)")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            drawing.legend(handles, labels, loc="outside lower center", ncols=3)


def told(signals: pd.DataFrame) -> list[str]:
    """The rows of ``SIGNALS`` that have a signal to show."""
    known = set(signals.loc[signals["metric"] == "signal_cosine", "row"])
    return [row for row in SIGNALS if row in known]


def signals(out: Path, signals: pd.DataFrame, rows: Sequence[str]) -> None:
    """The diagnostics of some rows by epoch, a panel each: of the target signal above, of the code below."""
    with figure(out, "signals", height=4.2) as drawing:
        for axes, (metric, title) in zip(drawing.subplots(2, 4).flat, PANELS.items(), strict=True):
            for i, row in enumerate(rows):
                found = signals[(signals["row"] == row) & (signals["metric"] == metric)]
                mean = found.groupby("epoch")["value"].mean()
                axes.plot(
                    mean.index,
                    mean,
                    color=COLOURS[i % len(COLOURS)],
                    linestyle=DASHES[i % len(DASHES)],
                    label=symbols(row),
                    marker=".",
                    ms=3,
                )
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if rows:
            handles, labels = axes.get_legend_handles_labels()
            drawing.legend(handles, labels, loc="outside lower center", ncols=2)
