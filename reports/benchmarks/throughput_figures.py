"""The throughput report's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from reports.benchmarks.marks import Metrics
from reports.kit.figures import COLOURS, DASHES, figure


def curve(axes: Axes, i: int, label: str, x: Sequence[int], y: Sequence[float]) -> None:
    """The ``i``-th curve of a figure."""
    axes.plot(x, y, color=COLOURS[i], linestyle=DASHES[i], marker="o", markersize=3, label=label)


def logarithmic(axes: Axes, ticks: Sequence[int]) -> None:
    """Both axes logarithmic, with plain numbers at them."""
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(ticks, [str(each) for each in ticks])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()


def draw_population(out: Path, found: Mapping[int, Metrics]) -> None:
    """Time for a member against the size of the population."""
    members = list(found)
    with figure(out, "population", height=2.4, width=3.8) as drawing:
        axes = drawing.subplots()
        curve(axes, 0, "step", members, [metrics["member_ms"] for metrics in found.values()])
        curve(axes, 1, "floor", members, [metrics["floor_ms"] / p for p, metrics in found.items()])
        axes.set_xscale("log", base=2)
        axes.set_xticks(members, [str(each) for each in members])
        axes.set(xlabel="runs side by side, P", ylabel="ms a step and run")
        axes.set_ylim(bottom=0)
        axes.legend()


def draw_growth(out: Path, found: Mapping[str, Mapping[int, Metrics]]) -> None:
    """Step and floor against each size."""
    with figure(out, "growth", height=2.1) as drawing:
        panels: Sequence[Axes] = drawing.subplots(1, len(found), squeeze=False)[0]
        for axes, (name, own) in zip(panels, found.items(), strict=True):
            for i, metric in enumerate(("step_ms", "floor_ms")):
                curve(axes, i, metric.removesuffix("_ms"), list(own), [metrics[metric] for metrics in own.values()])
            logarithmic(axes, list(own))
            axes.set(xlabel=name)
        panels[0].set_ylabel("ms a step")
        panels[0].legend()
