"""Figure 5 of Jang et al. 2017: how much faster a step is that samples the class than one that sums over all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from discrete_vae.config import Config
from discrete_vae.tasks import Architecture, Supervision
from reports import throughput
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.figures import COLOURS, DASHES, figure
from reports.kit.latex import Latex, number, render, symbols
from reports.kit.markdown import code
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import MISSING, Panel, table
from reports.measure import SINGLE, Case
from reports.throughput_tables import mark, markdown_note, note

PRINTED = {10: 2.0, 100: 9.9}
"""Speed of Gumbel-Softmax over that of marginalisation, by the number of classes."""
ALL = "marginalisation"
PAPERS = "Kingma et al. 2014b; Jang et al. 2017"
Found = Mapping[int, Mapping[str, float]]
"""Metrics by the number of classes."""


@dataclass(frozen=True)
class Preset:
    """How long is measured, and for which numbers of classes."""

    seconds: float
    """Of each number; the slowest is measured five times at least."""
    classes: Sequence[int] = (5, 10, 20, 50, 100, 200, 500, 1000)
    base: Config = Config(  # noqa: RUF009
        ALL,
        task="semi-supervised",
        architecture=Architecture(latents=1),
        supervision=Supervision(labelled=1000),
    )

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return f"{', '.join(map(str, self.classes))} classes, {self.seconds:g} seconds each at least"

    def cases(self) -> dict[int, Case]:
        """By the number of classes."""
        return {
            count: Case(
                dataclasses.replace(
                    self.base, architecture=dataclasses.replace(self.base.architecture, categories=count)
                ),
                loop="classes",
                seconds=self.seconds,
                threads=torch.get_num_threads(),
            )
            for count in self.classes
        }


def make(preset: Preset, bench: ReportContext) -> None:
    """Measure what is missing, each number of classes in a process of its own, and write table, figure and document."""
    cases = preset.cases()
    measured = throughput.measure_all({f"K = {count}": case for count, case in cases.items()}, bench)
    throughput.tell_disturbed(measured, bench)
    bench.write_results(pd.concat([_tidy(bench, row, each) for row, each in measured.items()], ignore_index=True))
    found = {count: measured[f"K = {count}"].metrics for count in cases}
    environments = [each.environment for each in measured.values()]
    machine = environments[0]["machine"]
    threads = next(iter(measured.values())).case.threads or 1
    bench.write("speed_by_classes_table.tex", speed_table(preset, found, machine, threads))
    bench.write("speed-by-classes.md", markdown(found))
    draw(bench, found)
    bench.write_provenance(
        [],
        machine=machine,
        measured_in=[each for i, each in enumerate(environments) if each not in environments[:i]],
        cases={row: each.case.to_dict() for row, each in measured.items()},
    )
    write_document(preset, bench)


def write_document(preset: Preset, bench: ReportContext) -> None:
    """Write the document around table and figure."""
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


def _tidy(bench: ReportContext, row: str, measurement: throughput.Measurement) -> pd.DataFrame:
    """One number a line, the strategy that it is of in its column."""
    frame = throughput.tidy(bench, row, measurement)
    own = frame["metric"].str.partition(" ")
    return frame.assign(metric=own[0], strategy=own[2].where(own[2] != "", frame["strategy"]))


def speed_table(preset: Preset, found: Found, machine: str, threads: int) -> Latex:
    """Milliseconds of a step, and how many times as fast as marginalisation."""
    body: list[list[object]] = [
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
    caption = Latex(
        "A training step of the semi-supervised task against the number of classes $K$, batch "
        f"{preset.base.batch_size}: medians of steps taken in turn in one process, and of the ratios within a turn, "
        "taken again where other processes disturbed them. GS: Gumbel-Softmax, SF: score function; printed: "
        "Gumbel-Softmax in Jang et al. Peak: of all five together. "
        f"{threads} thread{'s' * (threads > 1)}; {symbols(machine)}.{note(*found.values())}"
    )
    panel = Panel(Latex("r" * 12), heads, body)
    return table("speed-by-classes", caption, [panel], size="footnotesize", separation="4pt")


def markdown(found: Found) -> str:
    """The ratios for the README."""
    lines = []
    for count, metrics in found.items():
        printed = f"{PRINTED[count]:.1f}" if count in PRINTED else ""
        lines.append(
            [
                f"{count}{' *' * bool(metrics.get('disturbed'))}",
                *(f"{metrics[f'speed {name}']:.1f}" for name in SINGLE),
                printed,
            ]
        )
    return markdown_table(["classes", *map(code, SINGLE), "printed"], lines, left=0) + markdown_note(*found.values())


def draw(bench: ReportContext, found: Found) -> None:
    """Speed over that of marginalisation against the number of classes, both axes logarithmic."""
    counts = list(found)
    with figure(bench.out, "speed_by_classes", height=2.8, width=4.6) as drawing:
        axes = drawing.subplots()
        for i, name in enumerate(SINGLE):
            values = [found[count][f"speed {name}"] for count in counts]
            axes.plot(counts, values, color=COLOURS[i], linestyle=DASHES[i], marker="o", markersize=3, label=name)
        printed = [count for count in PRINTED if count in counts]
        axes.plot(
            printed, [PRINTED[count] for count in printed], "x", color=COLOURS[5], label="printed, Gumbel-Softmax"
        )
        axes.axhline(1.0, color="0.7", linewidth=0.8, zorder=0)
        axes.set(xscale="log", yscale="log", xlabel="classes K", ylabel="speed, times marginalisation")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.minorticks_off()
        axes.legend()


PRESETS = {"quick": Preset(5.0), "full": Preset(30.0)}
REPORT = Report(
    "speed-by-classes", "Figure 5 of Jang et al. 2017: sampling a class or summing over all of them", PRESETS, make
)
