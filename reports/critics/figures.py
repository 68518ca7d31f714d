"""The critics report's figures: of the first seed, but for norms and curves, which are means."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.artist import Artist
from matplotlib.axes import Axes

from discrete_vae.config import Config
from discrete_vae.runs import Run
from reports.critics.measures import model, values
from reports.kit.context import ReportContext
from reports.kit.figures import COLOURS, DASHES, bare, figure, legend_below

SHOWN = 500
"""Points of the data, and twice as many of a generator's."""
LEAST = 1e-30
"""No gradient is drawn below this."""
IMAGES = (5, 8)
"""Rows and columns of images."""
Runs = Mapping[tuple[str, ...], Run]
"""By the parts of a row's name."""
OF_WEIGHTS = ["critics_surfaces", "critics_points", "critics_layers", "critics_samples"]
"""Figures of trained networks."""


def draw(bench: ReportContext, configs: Mapping[tuple[str, ...], Config], results: pd.DataFrame) -> None:
    """All figures of trained networks, by row."""
    runs = {row: bench.train([config], weights=True)[0] for row, config in configs.items()}
    kinds = {kind: {row: run for row, run in runs.items() if row[0] == kind} for kind, *_ in runs}
    planes(bench, "critics_surfaces", kinds["critic alone"], surface, 2.4)
    planes(bench, "critics_points", kinds["generator"], scatter, 2.0)
    layers(bench, kinds["deep critic"], results)
    pictures(bench, kinds["images"])


def planes(
    bench: ReportContext, name: str, runs: Runs, paint: Callable[[ReportContext, Run, Axes], None], extent: float
) -> None:
    """A column a data set and a row a constraint: what is painted of a run, and the data on top."""
    columns, rows = (list(dict.fromkeys(key[i] for key in runs)) for i in (1, 2))
    with figure(bench.out, name, height=4.5, width=2.1 * len(columns) + 0.2) as drawing:
        grid = drawing.subplots(len(rows), len(columns), squeeze=False)
        for (_, column, row), run in runs.items():
            axes = grid[rows.index(row), columns.index(column)]
            paint(bench, run, axes)
            real = bench.dataset(run.config.data).train.pixels[:SHOWN].cpu().numpy()
            axes.plot(*real.T, ".", color=COLOURS[2], markersize=1.4, rasterized=True)
            axes.set(aspect="equal", xlim=(-extent, extent), ylim=(-extent, extent))
            axes.set(title=column if row == rows[0] else "", ylabel=row if column == columns[0] else "")
            bare(axes)


def surface(bench: ReportContext, run: Run, axes: Axes) -> None:
    """Lines of equal value of a critic."""
    ticks = np.linspace(-2.4, 2.4, 161)
    points = torch.cartesian_prod(*[torch.from_numpy(ticks).float()] * 2).to(bench.device)
    level = values(model(bench, run).value, points).view(len(ticks), -1).T.cpu().numpy()
    axes.set_rasterization_zorder(0)
    axes.contourf(ticks, ticks, level, levels=24, cmap=mpl.colormaps["cividis"], zorder=-1)
    axes.contour(ticks, ticks, level, levels=24, colors="white", linestyles="solid", linewidths=0.3)


def scatter(bench: ReportContext, run: Run, axes: Axes) -> None:
    """Points of a generator."""
    axes.plot(
        *bench.draw(run, 2 * SHOWN, "figure").T, ".", color=COLOURS[0], markersize=1.6, alpha=0.5, rasterized=True
    )


def layers(bench: ReportContext, runs: Runs, results: pd.DataFrame) -> None:
    """Gradient by layer of deep critics, beside histograms of all weights of the first two."""
    with figure(bench.out, "critics_layers", height=2.4) as drawing:
        first, *rest = drawing.subplots(1, 3, width_ratios=[2.2, 1, 1])
        for i, (row, run) in enumerate(runs.items()):
            norms = results[results["row"] == ", ".join(row)].groupby("metric", sort=False)["value"].mean()
            style = {"color": COLOURS[i], "linestyle": DASHES[i], "marker": ".", "label": row[1]}
            first.plot(range(1, len(norms) + 1), norms.clip(lower=LEAST), **style)
            if i < len(rest):
                weights = [each for each in model(bench, run).critic.parameters() if each.shape[-2] > 1]  # no biases
                flat = torch.cat([each.detach().cpu().flatten() for each in weights])
                rest[i].hist(flat.numpy(), bins=41, density=True, color=COLOURS[i])
                rest[i].set(xlabel="weight", title=row[1], yticks=[])
        first.set(yscale="log", xlabel="layer, from the input", ylabel="gradient norm")
        first.legend()


def pictures(bench: ReportContext, runs: Runs) -> None:
    """Images of each generator, drawn from its probabilities."""
    rows, columns = IMAGES
    with figure(bench.out, "critics_samples", height=1.55) as drawing:
        for axes, (row, run) in zip(drawing.subplots(1, len(runs)), runs.items(), strict=True):
            grid = bench.draw(run, rows * columns, "figure").view(rows, columns, 28, 28).transpose(1, 2)
            image = 1 - grid.reshape(rows * 28, columns * 28).numpy()
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(", ".join(row[1:]))
            bare(axes)


def curves(bench: ReportContext, history: pd.DataFrame) -> None:
    """The critic's distance by epoch on the training and the validation images: columns row, epoch, split, value."""
    rows, handles = list(dict.fromkeys(history["row"])), dict[str, Artist]()
    with figure(bench.out, "critics_curves", height=2.3) as drawing:
        for axes, row in zip(drawing.subplots(1, len(rows)), rows, strict=True):
            for i, split in enumerate(("train", "validation")):
                found = history[(history["row"] == row) & (history["split"] == split)]
                style = {"color": COLOURS[2 * i], "linestyle": DASHES[i], "marker": "."}
                (handles[split],) = axes.plot(found.groupby("epoch")["value"].mean(), **style)
            axes.set(xlabel="epoch", ylabel="critic's distance", title=row.replace(", ", ",\n"))
            axes.xaxis.get_major_locator().set_params(integer=True)
        legend_below(drawing, handles)
