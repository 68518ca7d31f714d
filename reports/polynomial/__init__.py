"""The ReinMax paper's toy: polynomial programming, by strategies and powers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.errors import InputError
from reports.kit.context import ReportContext
from reports.kit.declared import counted
from reports.kit.figures import figure, legend_below, styles
from reports.kit.own_loops import SECONDS, Numbers, OwnRun, StrategyRow, collected, last, means, seconds_of
from reports.kit.report import Report
from reports.kit.results import FEWER, Metric, by_name, compared, line, metrics_table
from reports.kit.table import Table
from reports.polynomial.problem import Problem, train

PAPERS = "Liu et al. 2023; Tucker et al. 2017"
ONE_SAMPLE = "local-expectation"
"""Its gradient is exact, whatever the sample: the loss is a sum over variables. One sample is as good as a batch."""
ROWS = (
    StrategyRow("ST", "straight-through"),
    StrategyRow("ST-Gumbel-Softmax", "straight-through-gumbel-softmax", {"temperature": 1.0}),
    StrategyRow("Gumbel-Softmax", "gumbel-softmax", {"temperature": 1.0}),
    StrategyRow("ReinMax", "reinmax", {"temperature": 1.0}),
    StrategyRow("Gauss-Newton", "gauss-newton-local-expectation"),
    StrategyRow("RLOO (4)", "rloo", {"draws": 4}),
    StrategyRow("REBAR", "rebar"),
    StrategyRow("local expectation", ONE_SAMPLE),
)
BATCHES: Mapping[str, int] = {ONE_SAMPLE: 1}
CURVES = "loss_by_iterations"


@dataclass(frozen=True)
class Preset:
    """How much is computed."""

    steps: int
    every: int
    """Steps between two numbers of a curve."""
    powers: Sequence[float]
    seeds: Sequence[int]
    rows: Sequence[StrategyRow] = ROWS

    def __post_init__(self) -> None:
        if self.every < 1 or self.steps % self.every:
            raise InputError(f"every is {self.every}; give a divisor of the steps, {self.steps}")

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        powers, seeds = ", ".join(f"{each:g}" for each in self.powers), counted(len(self.seeds), "seed")
        return f"powers {powers}, {self.steps:,} steps, {seeds}, {len(self.rows)} strategies"

    def runs(self) -> list[OwnRun]:
        """Every row by power and seed."""
        return [
            OwnRun(
                line(row.label, named(power)),
                row.strategy,
                {"options": dict(row.options), "problem": asdict(problem), "steps": self.steps, "every": self.every},
                seed,
                partial(trained, row, problem, self.steps, self.every, seed),
            )
            for power in self.powers
            for row in self.rows
            for problem in [Problem(power, batch=BATCHES.get(row.strategy, Problem.batch))]
            for seed in self.seeds
        ]


def trained(row: StrategyRow, problem: Problem, steps: int, every: int, seed: int) -> Numbers:
    """A run."""
    return train(problem, row.build(), steps, every, seed)


def named(power: float) -> str:
    """A power's head."""
    return f"p = {power:g}"


def excess(power: float) -> Metric:
    """How far the exact loss lies above the least one, in thousandths."""
    return Metric("train", "loss", "loss above the least", named(power), -1, 1e3, 3, offset=-1e3 * Problem(power).least)


def make(preset: Preset, bench: ReportContext) -> None:
    """Train what is missing, then write numbers, table, figure and text."""
    results, environments = collected(preset.runs(), bench)
    bench.write_results(results)
    bench.write_provenance(
        [],
        seconds_of(results),
        seeds=list(preset.seeds),
        steps=preset.steps,
        powers=list(preset.powers),
        measured_on=environments,
    )
    draw(preset, bench, results)
    final = last(results)
    lines = [line(row.label, named(power)) for power in preset.powers for row in preset.rows]
    values = {"preset": bench.preset, "settings": preset, "problem": Problem(2), **by_name(final, lines)}
    cited = [row.cited for row in preset.rows]
    text = Path(__file__).with_name("text.md")
    bench.write_text("Polynomial programming", text, [table(preset, final)], values, [CURVES], cited, PAPERS)


def table(preset: Preset, final: pd.DataFrame) -> Table:
    """A line a row, the final loss in a column a power; and the time of a step."""
    labels, powers = [row.label for row in preset.rows], [named(power) for power in preset.powers]
    by_power = {power: final[final["row"].str.endswith(f", {power}")] for power in powers}
    plain = {power: own.assign(row=own["row"].str.removesuffix(f", {power}")) for power, own in by_power.items()}
    seconds = Metric("train", SECONDS, "ms a step", better=0, scale=1e3 / preset.steps, spread=False)
    parts = [
        metrics_table("", "", plain[named(power)], labels, [excess(power)], len(preset.seeds))
        for power in preset.powers
    ] + [metrics_table("", "", plain[powers[0]], labels, [seconds])]
    caption = (
        f"Exact loss after {preset.steps:,} steps less the least one, in thousandths; "
        f"{compared(len(preset.seeds))}. Step: CPU time at {powers[0]}."
    )
    if any(part.caption for part in parts):
        caption = f"{caption} {FEWER}"
    columns = [parts[0].columns[0], *(part.columns[1] for part in parts)]
    body = [[label, *(part.rows[i][1] for part in parts)] for i, label in enumerate(labels)]  # type: ignore[index]
    return Table("results", caption, columns, body)


def draw(preset: Preset, bench: ReportContext, results: pd.DataFrame) -> None:
    """The exact loss above the least one by steps, a panel a power."""
    looks = styles({row.label: row.strategy for row in preset.rows})
    with figure(bench.out, CURVES, height=2.8) as drawing:
        panels = drawing.subplots(1, len(preset.powers), squeeze=False)[0]
        for axes, power in zip(panels, preset.powers, strict=True):
            handles = {}
            for label, look in looks.items():
                found = means(results, excess(power), line(label, named(power)))
                (handles[label],) = axes.plot(found.index, found, **look)
            axes.set(title=named(power), xlabel="step")
        panels[0].set_ylabel("loss above the least, × 1,000")  # noqa: RUF001
        legend_below(drawing, handles)


PRESETS = {
    "quick": Preset(400, 40, (2.0,), (0,)),
    "laptop": Preset(8000, 400, (1.5, 2.0, 3.0), (0, 1, 2)),
    "paper": Preset(8000, 400, (1.5, 2.0, 3.0), tuple(range(10))),
}
REPORT = Report("polynomial", "the ReinMax paper's toy: binary variables that minimise a polynomial", PRESETS, make)
