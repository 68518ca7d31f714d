"""Figure 5 of Jang et al. 2017: how much faster a step is that samples the class than one that sums over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from discrete_vae.config import Config
from discrete_vae.tasks import Architecture, Supervision
from reports.benchmarks import measurements
from reports.benchmarks.case import SINGLE, Case
from reports.benchmarks.marks import Measured, Metrics, cells, mark, note, tell_disturbed
from reports.benchmarks.measurements import Measurement
from reports.benchmarks.throughput_cases import on
from reports.benchmarks.throughput_figures import curve, logarithmic
from reports.kit.context import ReportContext, strategies
from reports.kit.figures import COLOURS, figure
from reports.kit.prose import code
from reports.kit.report import Report
from reports.kit.table import DASH, Cell, Column, Number, Table

PRINTED = {10: 2.0, 100: 9.9}
"""Speed of Gumbel-Softmax over that of marginalisation, by the number of classes."""
ALL = "marginalisation"
UNWATCHED = "which depend little on what else the machine does"
PAPERS = "Kingma et al. 2014b; Jang et al. 2017"


@dataclass(frozen=True)
class Preset:
    """How long is measured, and for which numbers of classes."""

    seconds: float
    """Seconds for each number of classes; the slowest is measured five times at least."""
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
    """Measure what is missing, each number of classes in a process of its own, and write tables, figure and text."""
    measured = measurements.measure_all(preset.cases(), bench)
    tell_disturbed({row: each.metrics for row, each in measured.items()}, bench.runs / measurements.ROOM)
    measurements.write(measured, [_tidy(bench, *each) for each in measured.items()], [], bench)
    show(preset, bench)


def _tidy(bench: ReportContext, row: str, measurement: Measurement) -> pd.DataFrame:
    """One number a line, the strategy that it is of in its column."""
    frame = measurements.tidy(bench, row, measurement)
    own = frame["metric"].str.partition(" ")
    return frame.assign(metric=own[0], strategy=own[2].where(own[2] != "", frame["strategy"]))


def show(preset: Preset, bench: ReportContext) -> None:
    """Write tables, figure and documents of the results that the folder has."""
    results, provenance = measurements.written(bench)
    settings, shape = provenance["settings"], preset.base.architecture
    names = results["metric"] + " " + results["strategy"]
    own = results["metric"].isin(["speed", "step_ms"])
    found = measurements.by_row(results.assign(metric=results["metric"].where(~own, names)))
    draw(bench, {count: found[_row(count)] for count in preset.classes})
    values = {
        "batch": preset.base.batch_size,
        "labelled": min(preset.base.batch_size, preset.base.supervision.labelled),
        "hidden": "-".join(map(str, shape.hidden)),
        "style": shape.style,
    }
    used = [preset.base, *(preset.base.refitted(strategy=name, options=None) for name in SINGLE)]
    title, text = "Speed against the number of classes after Jang et al.", Path(__file__).with_suffix(".md")
    made = tables(preset, found, settings)
    bench.write_text(title, text, made, values, ["speed_by_classes"], strategies(used), PAPERS)


def tables(preset: Preset, found: Measured, settings: Mapping[str, Any]) -> list[Table]:
    """Milliseconds of a step, and how many times as fast as marginalisation."""
    threads = next(iter(settings["cases"].values()))["threads"] or 1
    watched = all("disturbed" in metrics for metrics in found.values())
    load = "taken again where other processes disturbed them" if watched else UNWATCHED
    caption = (
        "Milliseconds of a training step of the semi-supervised task against the number of classes, batch "
        f"{preset.base.batch_size}: medians of steps taken in turn in one process. Peak: of all five together. "
        f"{on(threads)}; {settings['machine']}."
    )
    speed = (
        f"Speed of a step, times marginalisation: medians of the ratios within a turn, {load}. Printed: Gumbel-Softmax "
        "in Jang et al."
    )
    times: list[list[Cell]] = []
    speeds: list[list[Cell]] = []
    for count in preset.classes:
        metrics = found[_row(count)]
        own = (f"step_ms {name}" for name in (ALL, *SINGLE))
        times.append([mark(count, metrics), *cells(metrics, *own, "peak_mib", digits=1)])
        printed = Number(PRINTED[count], digits=1) if count in PRINTED else DASH
        speeds.append([mark(count, metrics), *cells(metrics, *(f"speed {name}" for name in SINGLE), digits=1), printed])
    single, marked = [Column(code(name)) for name in SINGLE], note(found.values())
    return [
        Table("times", caption + marked, [Column("classes"), Column(ALL), *single, Column("peak, MiB")], times),
        Table("speeds", speed + marked, [Column("classes"), *single, Column("printed")], speeds),
    ]


def draw(bench: ReportContext, found: Mapping[int, Metrics]) -> None:
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
