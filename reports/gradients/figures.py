"""The gradients report's figure: the plane of bias and variance."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from reports.kit.figures import COLOURS, figure

LEAST = 3e-3
"""No bias is drawn below this."""
MARKS = "os^vD<>pXP*"


def plane(out: Path, results: pd.DataFrame, unbiased: Set[str], stages: Sequence[int], draws: int) -> None:
    """Bias against standard deviation, both relative to the exact gradient; a line joins a strategy's temperatures.

    Strategies that claim to have no bias are below the others. What the draws' own noise would hide is drawn where it
    begins to, with an empty mark.
    """
    claims = results["strategy"].isin(unbiased)
    groups = {"biased": results[~claims], "unbiased": results[claims]}
    groups = {title: found for title, found in groups.items() if len(found)}
    with figure(out, "gradients_plane", height=3.1 * len(groups)) as drawing:
        parts = drawing.subfigures(len(groups), 1, squeeze=False)[:, 0]
        for part, (title, found) in zip(parts, groups.items(), strict=True):
            panels = part.subplots(1, len(stages), sharex=True, sharey=True, squeeze=False)[0]
            for axes, stage in zip(panels, stages, strict=True):
                for i, (row, own) in enumerate(found[found["epoch"] == stage].groupby("row", sort=False)):
                    style: dict[str, Any] = {
                        "color": COLOURS[i % len(COLOURS)],
                        "marker": MARKS[i // len(COLOURS) % len(MARKS)],
                    }
                    _draw(axes, own, draws, str(row), style)
                axes.set(xscale="log", yscale="log", xlabel="bias", title=f"after {stage} epoch{'s' * (stage != 1)}")
            panels[0].set_ylabel(f"{title}: deviation of one draw")
            handles, labels = panels[0].get_legend_handles_labels()
            part.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=7)


def _draw(axes: Axes, found: pd.DataFrame, draws: int, label: str, style: dict[str, Any]) -> None:
    wide = found.pivot_table(index="temperature", columns="metric", values="value", dropna=False)
    if found["temperature"].isna().all():
        wide = found.set_index("metric")["value"].to_frame().T
    deviation = wide["variance"] ** 0.5
    floor = (2 * deviation / draws**0.5).clip(lower=LEAST)
    bias, hidden = wide["bias"].clip(lower=floor), wide["bias"] < floor
    axes.plot(bias, deviation, markersize=4, linewidth=0.9, label=label, **style)
    axes.plot(bias[hidden], deviation[hidden], markersize=4, linewidth=0, markerfacecolor="white", **style)
