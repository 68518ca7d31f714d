"""The gradients report's figure: the plane of bias and variance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from reports.figures import COLOURS, figure

LEAST = 3e-3
"""No bias is drawn below this."""
MARKS = "os^vD<>pXP*"


def plane(out: Path, results: pd.DataFrame, stages: Sequence[int], draws: int) -> None:
    """Bias against standard deviation, both relative to the exact gradient; a line joins a strategy's temperatures.

    What the draws' own noise would hide is drawn where it begins to, with an empty mark.
    """
    rows = list(dict.fromkeys(results["row"]))
    with figure(out, "gradients_plane", height=4.2) as drawing:
        panels = drawing.subplots(1, len(stages), sharex=True, sharey=True, squeeze=False)[0]
        for axes, stage in zip(panels, stages, strict=True):
            for i, row in enumerate(rows):
                found = results[(results["row"] == row) & (results["epoch"] == stage)]
                wide = found.pivot_table(index="temperature", columns="metric", values="value", dropna=False)
                if found["temperature"].isna().all():
                    wide = found.set_index("metric")["value"].to_frame().T
                deviation = wide["variance"] ** 0.5
                floor = (2 * deviation / draws**0.5).clip(lower=LEAST)
                bias, hidden = wide["bias"].clip(lower=floor), wide["bias"] < floor
                colour, mark = COLOURS[i % len(COLOURS)], MARKS[i // len(COLOURS) % len(MARKS)]
                axes.plot(bias, deviation, marker=mark, markersize=3.5, linewidth=0.8, color=colour, label=row)
                axes.plot(bias[hidden], deviation[hidden], mark, markersize=3.5, color=colour, markerfacecolor="white")
            axes.set(xscale="log", yscale="log", xlabel="bias", title=f"after {stage} epoch{'s' * (stage != 1)}")
        panels[0].set_ylabel("standard deviation of one draw")
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=6.5)
