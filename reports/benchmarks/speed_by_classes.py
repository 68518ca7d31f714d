"""Figure 5 of Jang et al. 2017: how much faster a step is that samples the class than one that sums over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch

from discrete_vae.config import Config
from discrete_vae.tasks import Architecture, Supervision
from reports.benchmarks import measurements
from reports.benchmarks.case import SINGLE, Case
from reports.benchmarks.marks import Metrics, disturbed, mark, markdown_note, note, tell_disturbed
from reports.benchmarks.measurements import Measurement
from reports.benchmarks.throughput_cases import on
from reports.benchmarks.throughput_figures import curve, logarithmic
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.figures import COLOURS, figure
from reports.kit.latex import Latex, number, render, symbols
from reports.kit.markdown import Markdown, code
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, Panel, table

PRINTED = {10: 2.0, 100: 9.9}
"""Speed of Gumbel-Softmax over that of marginalisation, by the number of classes."""
ALL = "marginalisation"
UNWATCHED = "which depend little on what else the machine does"
PAPERS = "Kingma et al. 2014b; Jang et al. 2017"
Found = Mapping[int, Metrics]
"""By the number of classes."""


@dataclass(frozen=True)
class Preset:
    """How long is measured, and for which numbers of classes."""

    seconds: float
    """Of each number; the slowest is measured five times at least."""
    classes: Sequence[int] = (5, 10, 20, 50, 100, 200, 500, 1000)
    base: Config = Config(  # noqa: RUF009
        ALL, task="semi-supervised", architecture=Architecture(latents=1), supervision=Supervision(labelled=1000)
    )

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{', '.join(map(str, self.classes))} classes, {self.seconds:g} seconds each at least"

    def cases(self) -> dict[str, Case]:
        """By the names of the rows."""
        threads, shape = torch.get_num_threads(), self.base.architecture
        configs = [replace(self.base, architecture=replace(shape, categories=count)) for count in self.classes]
        made = [Case(each, loop="classes", seconds=self.seconds, threads=threads) for each in configs]
        return dict(zip(map(_row, self.classes), made, strict=True))


def _row(count: int) -> str:
    return f"K = {count}"


def make(preset: Preset, bench: ReportContext) -> None:
    """Measure what is missing, each number of classes in a process of its own, and write table, figure and document."""
    measured = measurements.measure_all(preset.cases(), bench)
    tell_disturbed({row: each.metrics for row, each in measured.items()}, bench.runs / measurements.ROOM)
    settings = measurements.write(measured, [_tidy(bench, *each) for each in measured.items()], [], bench)
    found = {count: measured[_row(count)].metrics for count in preset.classes}
    draw(bench, found)
    words(preset, bench, found, settings)


def words(preset: Preset, bench: ReportContext, found: Found, settings: Mapping[str, Any]) -> None:
    """Write tables and document."""
    threads = next(iter(settings["cases"].values()))["threads"] or 1
    bench.write("speed_by_classes_table.tex", speed_table(preset, found, settings["machine"], threads))
    bench.write("speed-by-classes.md", markdown(found))
    architecture = preset.base.architecture
    source = render(
        "speed_by_classes.tex",
        batch=preset.base.batch_size,
        labelled=min(preset.base.batch_size, preset.base.supervision.labelled),
        hidden="-".join(map(str, architecture.hidden)),
        style=architecture.style,
    )
    used = [preset.base, *(preset.base.refitted(strategy=name, options=None) for name in SINGLE)]
    parts = ["speed_by_classes_table.tex", "speed_by_classes.pdf"]
    bench.write_document(source, parts, strategies(used), PAPERS)


def _tidy(bench: ReportContext, row: str, measurement: Measurement) -> pd.DataFrame:
    """One number a line, the strategy that it is of in its column."""
    frame = measurements.tidy(bench, row, measurement)
    own = frame["metric"].str.partition(" ")
    return frame.assign(metric=own[0], strategy=own[2].where(own[2] != "", frame["strategy"]))


def by_classes(results: pd.DataFrame, preset: Preset) -> Found:
    """The metrics that a table of results was made of."""
    names = results["metric"].where(
        ~results["metric"].isin(["speed", "step_ms"]), results["metric"] + " " + results["strategy"]
    )
    found = measurements.by_row(results.assign(metric=names))
    return {count: found[_row(count)] for count in preset.classes}


def speed_table(preset: Preset, found: Found, machine: str, threads: int) -> Latex:
    """Milliseconds of a step, and how many times as fast as marginalisation."""
    body = [
        [
            mark(count, metrics),
            *(number(metrics[f"step_ms {name}"], 1) for name in (ALL, *SINGLE)),
            *(number(metrics[f"speed {name}"], 1) for name in SINGLE),
            number(PRINTED[count], 1) if count in PRINTED else MISSING,
            number(metrics["peak_mib"], 0),
        ]
        for count, metrics in found.items()
    ]
    short = "GS & ST-GS & ReinMax & SF"
    heads = [
        Latex(r" & \multicolumn{5}{c}{ms a step} & \multicolumn{5}{c}{speed, times marginalisation} & peak \\"),
        Latex(r"\cmidrule(lr){2-6} \cmidrule(lr){7-11}"),
        Latex(rf"$K$ & marginal. & {short} & {short} & printed & MiB \\"),
    ]
    watched = all("disturbed" in metrics for metrics in found.values())
    load = "taken again where other processes disturbed them" if watched else UNWATCHED
    caption = Latex(
        "A training step of the semi-supervised task against the number of classes $K$, batch "
        f"{preset.base.batch_size}: medians of steps taken in turn in one process, and of the ratios within a turn, "
        f"{load}. GS: Gumbel-Softmax, SF: score function; printed: "
        "Gumbel-Softmax in Jang et al. Peak: of all five together. "
        f"{on(threads)}; {symbols(machine)}.{note(*found.values())}"
    )
    panel = Panel(Latex("r" * 12), heads, body)
    return table("speed-by-classes", caption, [panel], size="footnotesize", separation="4pt")


def markdown(found: Found) -> str:
    """The ratios for the README."""
    lines = [
        [
            Markdown(str(count) + r" \*" * disturbed(metrics)),
            *(f"{metrics[f'speed {name}']:.1f}" for name in SINGLE),
            f"{PRINTED[count]:.1f}" if count in PRINTED else "",
        ]
        for count, metrics in found.items()
    ]
    return markdown_table(["classes", *map(code, SINGLE), "printed"], lines, left=0) + markdown_note(*found.values())


def draw(bench: ReportContext, found: Found) -> None:
    """Speed over that of marginalisation against the number of classes, both axes logarithmic."""
    with figure(bench.out, "speed_by_classes", height=2.8, width=4.6) as drawing:
        axes = drawing.subplots()
        for i, name in enumerate(SINGLE):
            curve(axes, i, name, list(found), [metrics[f"speed {name}"] for metrics in found.values()])
        printed = {count: speed for count, speed in PRINTED.items() if count in found}
        axes.plot(list(printed), list(printed.values()), "x", color=COLOURS[5], label="printed, Gumbel-Softmax")
        axes.axhline(1.0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(xlabel="classes K", ylabel="speed, times marginalisation")
        logarithmic(axes, list(found))
        axes.legend()


PRESETS = {"quick": Preset(5.0), "full": Preset(30.0)}
REPORT = Report(
    "speed-by-classes", "Figure 5 of Jang et al. 2017: sampling a class or summing over all of them", PRESETS, make
)
