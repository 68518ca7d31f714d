"""The plane of bias and variance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from reports.kit.figures import DASHES, figure, legend_below, styles

LEAST = 3e-3
"""No bias is drawn below this."""
MARKS = "os^vD<>"
"""One for each kind of dashes."""
PLANE = "gradients_plane"


def plane(out: Path, results: pd.DataFrame, unbiased: Set[str], stages: Sequence[int], draws: int) -> None:
    """Bias against standard deviation, both relative to the exact gradient; a line joins a strategy's temperatures.

    Strategies that claim to have no bias are below the others. A bias that the draws' own noise would hide is drawn at
    the smallest detectable one, with an empty mark.
    """
    looks = styles(dict(zip(results["row"], results["strategy"], strict=True)))
    claims = results["strategy"].isin(unbiased)
    groups = {"biased": results[~claims], "unbiased": results[claims]}
    groups = {title: found for title, found in groups.items() if len(found)}
    heights = [2.5 + 0.09 * found["row"].nunique() for found in groups.values()]  # of axes, and of a legend's lines
    with figure(out, PLANE, height=sum(heights)) as drawing:
        parts = drawing.subfigures(len(groups), 1, squeeze=False, height_ratios=heights)[:, 0]
        for part, (title, found) in zip(parts, groups.items(), strict=True):
            panels = part.subplots(1, len(stages), sharex=True, sharey=True, squeeze=False)[0]
            for axes, stage in zip(panels, stages, strict=True):
                rows = found[found["epoch"] == stage].groupby("row", sort=False)
                handles = {str(row): _draw(axes, own, draws, looks[str(row)]) for row, own in rows}
                axes.set(xscale="log", yscale="log", xlabel="bias", title=f"after {stage} epoch{'s' * (stage != 1)}")
            panels[0].set_ylabel(f"{title}: deviation of one draw")
            legend_below(part, handles)


def _draw(axes: Axes, found: pd.DataFrame, draws: int, look: Mapping[str, Any]) -> Artist:
    style = {**look, "marker": MARKS[DASHES.index(look["linestyle"])], "markersize": 4}
    wide = found.assign(temperature=found["temperature"].fillna(0)).pivot(
        index="temperature", columns="metric", values="value"
    )
    deviation = wide["variance"] ** 0.5
    floor = (2 * deviation / draws**0.5).clip(lower=LEAST)
    bias, hidden = wide["bias"].clip(lower=floor), wide["bias"] < floor
    (line,) = axes.plot(bias, deviation, linewidth=0.9, **style)
    axes.plot(bias[hidden], deviation[hidden], **{**style, "linestyle": "none", "markerfacecolor": "white"})
    return line
