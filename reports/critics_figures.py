"""The critics report's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from discrete_vae.data import Dataset
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from discrete_vae.tasks.critic import AdversarialTask
from reports.critics_measures import values
from reports.critics_settings import POINTS
from reports.kit.figures import COLOURS, DASHES, bare, figure

EXTENT = 2.4
"""The surfaces are drawn from minus to plus this."""
GRID = 161
SHOWN = 500
"""Points of the data, and twice as many of a generator's."""
LEAST = 1e-30
"""No gradient is drawn below this."""
IMAGES = (5, 8)
"""Rows and columns of images."""
MAP = mpl.colormaps["cividis"]


def surfaces(out: Path, models: Mapping[tuple[str, str], AdversarialTask], data: Mapping[str, Dataset]) -> None:
    """Lines of equal value of the critics ``models[constraint, data set]``, and the data on top."""
    rows, columns = (list(dict.fromkeys(key[i] for key in models)) for i in (0, 1))
    ticks = np.linspace(-EXTENT, EXTENT, GRID)
    points = torch.cartesian_prod(*[torch.from_numpy(ticks).float()] * 2)
    with figure(out, "critics_surfaces", height=4.5) as drawing:
        panels = drawing.subplots(len(rows), len(columns), squeeze=False)
        for row, line in zip(rows, panels, strict=True):
            for column, axes in zip(columns, line, strict=True):
                critic = models[row, column]
                where = next(critic.parameters()).device
                level = values(critic.value, points.to(where)).view(GRID, GRID).T.cpu().numpy()
                axes.set_rasterization_zorder(0)
                axes.contourf(ticks, ticks, level, levels=24, cmap=MAP, zorder=-1)
                axes.contour(ticks, ticks, level, levels=24, colors="white", linestyles="solid", linewidths=0.3)
                real = data[column].train.pixels[:SHOWN].cpu().numpy()
                axes.plot(*real.T, ".", color=COLOURS[2], markersize=1.2)
                axes.set(aspect="equal", xlim=(-EXTENT, EXTENT), ylim=(-EXTENT, EXTENT))
                bare(axes)
        _heads(panels, rows, [POINTS[column] for column in columns])


def scatter(
    out: Path, models: Mapping[tuple[str, str], AdversarialTask], data: Mapping[str, Dataset], seed: int
) -> None:
    """Points of the generators ``models[constraint, data set]`` on the data."""
    rows, columns = (list(dict.fromkeys(key[i] for key in models)) for i in (0, 1))
    with figure(out, "critics_points", height=4.6, width=4.6) as drawing:
        panels = drawing.subplots(len(rows), len(columns), squeeze=False)
        for row, line in zip(rows, panels, strict=True):
            for column, axes in zip(columns, line, strict=True):
                made = _drawn(models[row, column], 2 * SHOWN, seed).numpy()
                axes.plot(*made.T, ".", color=COLOURS[0], markersize=1.6, alpha=0.5, label="made", rasterized=True)
                real = data[column].train.pixels[:SHOWN].cpu().numpy()
                axes.plot(*real.T, ".", color=COLOURS[2], markersize=1.6, label="data", rasterized=True)
                axes.set(aspect="equal", xlim=(-2, 2), ylim=(-2, 2))
                bare(axes)
        _heads(panels, rows, [POINTS[column] for column in columns])
        drawing.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, markerscale=5)


def layers(out: Path, norms: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Gradient by layer ``norms[constraint]``, beside histograms of all the critic's weights."""
    with figure(out, "critics_layers", height=2.4) as drawing:
        first, *rest = drawing.subplots(1, 1 + len(weights), width_ratios=[2.2, *[1] * len(weights)])
        for i, (name, norm) in enumerate(norms.items()):
            floor = norm.clamp(min=LEAST).numpy()
            first.plot(range(1, len(norm) + 1), floor, color=COLOURS[i], linestyle=DASHES[i], marker=".", label=name)
        first.set(yscale="log", xlabel="layer, from the input", ylabel="gradient norm")
        first.legend()
        for i, (axes, (name, weight)) in enumerate(zip(rest, weights.items(), strict=True)):
            axes.hist(weight.numpy(), bins=41, density=True, color=COLOURS[i])
            axes.set(xlabel="weight", title=name, yticks=[])


def pictures(out: Path, models: Mapping[str, AdversarialTask], seed: int) -> None:
    """Images of each generator, drawn from its probabilities."""
    rows, columns = IMAGES
    with figure(out, "critics_samples", height=1.55, width=6.5) as drawing:
        panels = drawing.subplots(1, len(models), squeeze=False)[0]
        for axes, (name, task) in zip(panels, models.items(), strict=True):
            images = _drawn(task, rows * columns, seed).view(rows, columns, 28, 28)
            grid = images.transpose(1, 2).reshape(rows * 28, columns * 28)
            axes.imshow(1 - grid.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(name)
            bare(axes)


def curves(out: Path, history: pd.DataFrame) -> None:
    """The critic's distance by epoch on the training and the validation images: columns row, epoch, split, value."""
    rows = list(dict.fromkeys(history["row"]))
    with figure(out, "critics_curves", height=2.3) as drawing:
        panels = drawing.subplots(1, len(rows), squeeze=False)[0]
        for axes, row in zip(panels, rows, strict=True):
            for i, split in enumerate(("train", "validation")):
                found = history[(history["row"] == row) & (history["split"] == split)]
                mean = found.groupby("epoch")["value"].mean()
                axes.plot(mean.index, mean, color=COLOURS[2 * i], linestyle=DASHES[i], marker=".", label=split)
            axes.set(xlabel="epoch", title=row.replace(", ", ",\n"))
            axes.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel("critic's distance")
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)


def weights(task: AdversarialTask) -> Tensor:
    """All of a critic's weights, without the biases: ``[M]``."""
    found: Sequence[Tensor] = [each for each in task.critic.parameters() if each.shape[-2] > 1]
    return torch.cat([each.detach().cpu().flatten() for each in found])


def curve(row: str, runs: Sequence[Run]) -> pd.DataFrame:
    """The tidy history of the critic's distance."""
    frames = [run.history().assign(row=row, seed=run.config.seed, run=run.config.name) for run in runs]
    found = pd.concat(frames, ignore_index=True)
    return found[found["metric"] == "wasserstein"]


def _drawn(task: AdversarialTask, count: int, seed: int) -> Tensor:
    where = next(task.parameters()).device
    with torch.no_grad():
        return task.draw(count, Noise([seeded(seed, "figure", device=where)])).squeeze(0).float().cpu()


def _heads(panels: object, rows: Sequence[str], columns: Sequence[str]) -> None:
    for axes, title in zip(panels[0], columns, strict=True):  # type: ignore[index]
        axes.set_title(title)
    for line, title in zip(panels, rows, strict=True):  # type: ignore[call-overload]
        line[0].set_ylabel(title)
