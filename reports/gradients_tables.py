"""The gradients report's table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from reports.kit.latex import Latex, number
from reports.kit.tables import Panel, table

if TYPE_CHECKING:
    from reports.gradients import Row

COLUMNS = ("bias", "variance", "cosine")


def gradients_table(results: pd.DataFrame, rows: Sequence[Row], stages: Sequence[int], draws: int) -> Latex:
    """Each strategy at its defaults: bias, deviation and cosine at every stage, and the time of its step."""
    body = []
    for label, values in defaults(results, rows).items():
        cells = []
        for stage in stages:
            bias, variance, cosine = (float(values[stage, metric]) for metric in COLUMNS)
            noise = 2 * (variance / draws) ** 0.5
            cells += [_short(bias) if bias > noise else Latex(f"$<$\\,{_short(max(noise, 0.001))}")]
            cells += [_short(variance), _short(cosine)]
        step = number(float(values.xs("step_over_gumbel_softmax", level="metric").median()), 1)
        body.append([label, *cells, step])
    heads = " & ".join(rf"\multicolumn{{3}}{{c}}{{after {stage} epoch{'s' * (stage != 1)}}}" for stage in stages)
    rules = "".join(rf"\cmidrule(lr){{{2 + 3 * i}-{4 + 3 * i}}}" for i in range(len(stages)))
    names = " & ".join("bias & variance & cosine" for _ in stages)
    caption = Latex(
        "The gradient in the logits beside the exact one, by summing over all states. Bias: norm of the mean error "
        "relative to the exact gradient's, without the share of the draws' own noise; $<$: no bias is detectable, "
        "and a smaller one than this would be hidden. Variance: of one draw, relative to the exact gradient's square. "
        "Cosine: of one draw, for all images together. "
        "Step: time of estimate and gradient on 100 images, in those of Gumbel-Softmax. Every strategy is at its "
        "defaults, but decoupled straight-through samples at a temperature of 1.5, and feedback of target propagation "
        "is of second order. NVIL divides its gradient by the deviation of its signal, and that factor is its bias."
    )
    panel = Panel(
        Latex("l" + "rrr" * len(stages) + "r"),
        [Latex(rf"& {heads} & \\"), Latex(rules), Latex(rf"& {names} & step \\")],
        body,
    )
    return table("gradients", caption, [panel], size="scriptsize", separation="3.5pt")


def defaults(results: pd.DataFrame, rows: Sequence[Row]) -> dict[str, pd.Series[float]]:
    """What was measured of each strategy at its defaults, by epoch and metric, in the order of the rows.

    A strategy that came after the measurement has none.
    """
    kept: dict[str, Row] = {}
    for row in rows:
        kept.setdefault(row.label, row)
    found = {}
    for label, row in kept.items():
        own = results[results["row"] == label]
        if row.temperature is not None:
            own = own[own["temperature"] == row.temperature]
        if len(own):
            found[label] = own.set_index(["epoch", "metric"])["value"]
    return found


CLOSEST = 3
"""How many strategies are named for their cosine."""


def closest(results: pd.DataFrame, rows: Sequence[Row], stages: Sequence[int]) -> str:
    """Which single draws point best at each stage."""
    found, told = defaults(results, rows), []
    for stage in stages:
        cosines = {label: float(values[stage, "cosine"]) for label, values in found.items()}
        best = sorted(cosines, key=lambda label: -cosines[label])[:CLOSEST]
        named = ", ".join(f"{label} {cosines[label]:.2f}" for label in best)
        told.append(f"after {stage} epoch{'s' * (stage != 1)} {named}")
    return f"Highest cosine of one draw to the exact gradient, among strategies at their defaults: {'; '.join(told)}."


def _short(value: float) -> Latex:
    """Two or three digits, whatever the size."""
    return number(value, 3 if abs(value) < 0.1 else 2 if value < 10 else 1 if value < 100 else 0)
