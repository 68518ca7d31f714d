"""ListOps with latent trees: which strategies find the trees from the values alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from reports.kit.context import ReportContext
from reports.kit.declared import counted
from reports.kit.figures import figure, legend_below, styles
from reports.kit.own_loops import SECONDS, OwnRun, StrategyRow, collected, last, means, seconds_of
from reports.kit.report import Report
from reports.kit.results import Metric, by_name, compared, metrics_table
from reports.kit.table import Table
from reports.listops.training import Setting, Trees, flat, gold, train, uniform

PAPERS = "Liu et al. 2023; Nangia and Bowman 2018"
ROWS = (
    StrategyRow("ST", "straight-through"),
    StrategyRow("ST-Gumbel-Softmax", "straight-through-gumbel-softmax", {"temperature": 1.0}),
    StrategyRow("Gumbel-Softmax", "gumbel-softmax", {"temperature": 1.0}),
    StrategyRow("ReinMax", "reinmax", {"temperature": 1.1}),
    StrategyRow("RLOO (4)", "rloo", {"draws": 4}),
    StrategyRow("REBAR", "rebar"),
)
LOCAL = StrategyRow("local expectation", "local-expectation")
"""It decodes every move of every symbol."""
GAUSS_NEWTON = StrategyRow("Gauss-Newton", "gauss-newton-local-expectation", {"averaged": "nothing"})
"""It pushes every move through the composer, and each expression has its own: no mean over a batch replaces these."""
CURVES = "accuracy_by_steps"


@dataclass(frozen=True)
class Given:
    """A row whose trees are given."""

    label: str
    trees: Trees


GIVEN = (Given("gold trees", gold), Given("uniform trees", uniform), Given("no tree", flat))
"""An upper bound, and baselines for a parser."""


@dataclass(frozen=True)
class Preset:
    """How much is computed."""

    setting: Setting
    seeds: Sequence[int]
    rows: Sequence[StrategyRow] = ROWS
    given: Sequence[Given] = GIVEN

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        steps, seeds = f"{self.setting.steps:,} steps", counted(len(self.seeds), "seed")
        return f"{steps}, {seeds}, {len(self.rows)} strategies and {len(self.given)} kinds of given trees"

    @property
    def labels(self) -> list[str]:
        """All rows of the table."""
        return [row.label for row in self.rows] + [row.label for row in self.given]

    def runs(self) -> list[OwnRun]:
        """Every row by seed."""
        told = asdict(self.setting)
        return [
            *(
                OwnRun(
                    row.label,
                    row.strategy,
                    {"options": dict(row.options), **told},
                    seed,
                    partial(train, self.setting, row.build, None, seed),
                )
                for row in self.rows
                for seed in self.seeds
            ),
            *(
                OwnRun(
                    row.label,
                    "given trees",
                    {"trees": row.label, **told},
                    seed,
                    partial(train, self.setting, None, row.trees, seed),
                )
                for row in self.given
                for seed in self.seeds
            ),
        ]


ACCURACY = Metric("validation", "accuracy", scale=100)


def metrics(preset: Preset) -> list[Metric]:
    """The table's columns."""
    per_step = 1e3 / preset.setting.steps
    return [
        Metric("test", "accuracy", "value", "right, per cent", scale=100, digits=1),
        Metric("test", "arcs", "operator", "right, per cent", scale=100, digits=1),
        Metric("train", SECONDS, "ms a step", better=0, scale=per_step, digits=1, spread=False),
    ]


def make(preset: Preset, bench: ReportContext) -> None:
    """Train what is missing, then write numbers, table, figure and text."""
    results, environments = collected(preset.runs(), bench)
    bench.write_results(results)
    seconds = seconds_of(results)
    bench.write_provenance(
        [], seconds, seeds=list(preset.seeds), setting=asdict(preset.setting), measured_on=environments
    )
    draw(preset, bench, results)
    final = last(results)
    values = {"preset": bench.preset, "setting": preset.setting, "seeds": len(preset.seeds)}
    values |= by_name(final, preset.labels)
    cited, text = [row.cited for row in preset.rows], Path(__file__).with_name("text.md")
    bench.write_text("ListOps with latent trees", text, [table(preset, final)], values, [CURVES], cited, PAPERS)


def table(preset: Preset, final: pd.DataFrame) -> Table:
    """A line a row: test accuracy of values and of symbols' operators, and the time of a step."""
    caption = (
        f"Test expressions after {preset.setting.steps:,} steps, by the likeliest tree; "
        f"{compared(len(preset.seeds))}. Operator: "
        "the share of symbols that get their right operator, among those with more than one to their left; without a "
        "tree all get the first. Step: CPU time."
    )
    return metrics_table("results", caption, final, preset.labels, metrics(preset), len(preset.seeds))


def draw(preset: Preset, bench: ReportContext, results: pd.DataFrame) -> None:
    """Validation accuracy by steps; in grey the rows whose trees are given."""
    looks = styles({row.label: row.strategy for row in preset.rows})
    dashes = dict(zip((row.label for row in preset.given), ("-", "--", ":"), strict=False))
    looks |= {label: {"color": "0.6", "linestyle": dash} for label, dash in dashes.items()}
    with figure(bench.out, CURVES, height=3.2) as drawing:
        axes, handles = drawing.subplots(), {}
        for label, look in looks.items():
            found = means(results, ACCURACY, label)
            (handles[label],) = axes.plot(found.index, found, **look)
        axes.set(xlabel="step", ylabel="validation values right, per cent")
        legend_below(drawing, handles)


PAPER = Setting(20_000, 1_000)
PRESETS = {
    "quick": Preset(Setting(100, 50, train=1000, held_out=200), (0,)),
    "laptop": Preset(Setting(5_000, 250), (0, 1, 2)),
    "paper": Preset(PAPER, (0, 1, 2), (*ROWS, LOCAL)),
    "full": Preset(PAPER, (0, 1, 2), (*ROWS, LOCAL, GAUSS_NEWTON)),
}
REPORT = Report("listops", "ListOps with latent trees: which strategies find them from the values alone", PRESETS, make)
