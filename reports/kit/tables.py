"""Tables: tidy rows in, booktabs out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from reports.kit.latex import Latex, escape, number, render

COLUMNS = ["report", "row", "strategy", "parameters", "seed", "split", "samples", "metric", "value", "run"]
MISSING = Latex("--")
RULE = Latex(r"\midrule")

Row = Sequence[object]
"""The cells of a row; what is not ``Latex`` is escaped."""


def evaluation_rows(report: str, row: str, run: Run, samples: Mapping[str, int]) -> pd.DataFrame:
    """The tidy rows of a run: all that its folder has of an evaluation with ``samples[split]`` samples a split.

    A run that did not finish has none.
    """
    known: dict[str, Any] = {
        "report": report,
        "row": row,
        "strategy": run.config.strategy,
        "parameters": changes(run.config),
        "seed": run.config.seed,
        "run": run.config.name,
    }
    rows = run.evaluation() if run.finished else run.evaluation().head(0)
    # The relaxed reconstruction always stands on one sample an image.
    made = (rows["samples"] == rows["split"].map(samples)) | (rows["metric"] == "reconstruction_relaxed")
    rows = rows[made & rows["split"].isin(list(samples))]
    return rows.assign(**known).reindex(columns=COLUMNS)


def history_rows(row: str, run: Run, metrics: Collection[str], split: str = "validation") -> pd.DataFrame:
    """The tidy rows of metrics by epoch, as far as a run has them; a run that did not finish has none."""
    history = run.history() if run.finished else run.history().head(0)
    found = history[(history["split"] == split) & history["metric"].isin(list(metrics))]
    known: dict[str, Any] = {"strategy": run.config.strategy, "seed": run.config.seed, "run": run.config.name}
    return found.assign(row=row, **known).reindex(columns=[*COLUMNS, "epoch"])


def changes(config: Config) -> str:
    """What differs from the defaults, but for strategy and seed, as JSON on one line."""
    return json.dumps({name: value for name, value in config.changes.items() if name not in ("strategy", "seed")})


def configuration(strategy: str, parameters: str) -> Config:
    """The configuration of a line of a tidy table, but for its seed: the inverse of ``changes``."""
    return Config.from_dict({"strategy": strategy, **json.loads(parameters)})


def by_seed(results: pd.DataFrame, row: str, split: str, metric: str) -> dict[int, float]:
    """One metric of one row of a table, by seed; empty where it was not measured."""
    found = results[(results["row"] == row) & (results["split"] == split) & (results["metric"] == metric)]
    return {int(seed): float(value) for seed, value in zip(found["seed"], found["value"], strict=True)}


def mean_ci(values: statistics.Seeds, bold: bool = False) -> Latex:
    """``-103.12 ± 0.24``, the mean over seeds and its 95% interval; no interval for one seed, a dash for none."""
    if not values:
        return MISSING
    found = statistics.interval(list(values.values()))
    text = str(number(found.mean)).strip("$")
    if found.half_width is not None:
        text += rf" \pm {found.half_width:.2f}"
    return Latex(rf"$\mathbf{{{text}}}$" if bold else f"${text}$")


def compared(one: statistics.Seeds, other: statistics.Seeds, p_value: float | None = None) -> Latex | None:
    r"""``+2.31 \pm 0.20 nats (paired p = 0.0001)``: one less the other over the seeds of both; None for no such seed.

    ``p_value`` stands in the test's place where it was corrected for others, which the text then says.
    """
    if not (seeds := sorted(one.keys() & other.keys())):
        return None
    found = statistics.interval([one[seed] - other[seed] for seed in seeds])
    text = f"{found.mean:+.2f}".replace("-", "$-$")
    if found.half_width is None or len(seeds) < statistics.MINIMUM_SEEDS:
        return Latex(rf"{text} nats ({len(seeds)} seed{'s' * (len(seeds) > 1)}, no test)")
    p = statistics.paired_p(one, other) if p_value is None else p_value
    level = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return Latex(rf"{text} $\pm$ {found.half_width:.2f} nats (paired ${level}${' after Holm' * (p_value is not None)})")


def p_text(p: float) -> Latex:
    """Two digits, or an upper bound."""
    return Latex("$<$\\,$0.0001$" if p < 1e-4 else f"${p:.2g}$")


@dataclass(frozen=True)
class Panel:
    """One tabular: its column alignment, the LaTeX lines of its head, and its rows; ``RULE`` stands for a rule."""

    alignment: Latex
    header: Sequence[Latex]
    rows: Sequence[Row | Latex] = field(default_factory=list)

    def lines(self) -> list[Latex]:
        """The LaTeX lines between the outer rules."""
        body = [row if isinstance(row, Latex) else cells(row) for row in self.rows]
        return [*self.header, RULE, *body]


def cells(row: Row) -> Latex:
    """A row's cells, escaped and joined."""
    return Latex(" & ".join(escape(cell) for cell in row) + r" \\")


def table(
    label: str,
    caption: Latex,
    panels: Sequence[Panel],
    *,
    size: str = "small",
    separation: str = "5pt",
    placement: str = "htbp",
) -> Latex:
    """A table with a caption, ready for \\input into any document that loads booktabs."""
    return render(
        "table.tex",
        label=Latex(label),
        caption=caption,
        panels=panels,
        size=size,
        separation=separation,
        placement=placement,
    )
