"""The thesis' figures 2.3, 4.6, 5.1 and 5.2, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from discrete_vae.data import Dataset
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.categorical import relaxed_sample
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from reports.kit.figures import COLOURS, DASHES, bare, figure, symbols

IMAGES = tuple(range(5))
"""The first test images, not chosen ones."""
EXAMPLE = (0.02, 0.05, 0.10, 0.20, 0.28, 0.15, 0.10, 0.06, 0.03, 0.01)
"""The categorical distribution of figure 4.6."""
TEMPERATURES = (0.1, 1.0, 5.0, 100.0)


def sigmoid(out: Path) -> None:
    """Figure 2.3: the sigmoid and its derivative."""
    x = np.linspace(-8, 8, 401)
    y = 1 / (1 + np.exp(-x))
    with figure(out, "figure_2_3", height=1.9, width=3.8) as drawing:
        axes = drawing.subplots()
        axes.plot(x, y, color=COLOURS[0])
        axes.plot(x, y * (1 - y), color=COLOURS[2], linestyle=DASHES[1])
        axes.text(3.0, 0.86, "sigmoid", color=COLOURS[0])
        axes.text(2.2, 0.16, "derivative", color=COLOURS[2])
        axes.set(xlabel="x", ylabel="value", xlim=(-8, 8), ylim=(-0.02, 1.02), yticks=[0, 0.25, 0.5, 0.75, 1])


def temperatures(out: Path) -> None:
    """Figure 4.6: the mean of 100 Gumbel-Softmax samples beside the expectation of the categorical."""
    noise = Noise([seeded(0, "figure 4.6")])
    logits = torch.tensor(EXAMPLE).log().expand(100, 1, -1)
    gumbel = noise.gumbel(logits.shape)  # the same noise at every temperature
    with figure(out, "figure_4_6", height=1.75) as drawing:
        panels = drawing.subplots(1, 1 + len(TEMPERATURES), sharey=True)
        categories = np.arange(1, len(EXAMPLE) + 1)
        panels[0].bar(categories, EXAMPLE, color="0.6", width=0.8)
        panels[0].set_title("categorical")
        panels[0].set_ylabel("probability, or mean")
        for axes, temperature in zip(panels[1:], TEMPERATURES, strict=True):
            mean = relaxed_sample(logits, gumbel, temperature).mean((0, 1)).numpy()
            axes.bar(categories, mean, color=COLOURS[0], width=0.8)
            axes.stairs(EXAMPLE, np.arange(len(EXAMPLE) + 1) + 0.5, color="0.25", linewidth=0.8)
            axes.set_title(f"τ = {temperature:g}")
        for axes in panels:
            axes.set_xticks([1, 5, 10])
        panels[2].set_xlabel("category")


def digit(data: Dataset, index: int = 0) -> int:
    """The class of the test image in figure 5.1."""
    return int(data.test.labels[index])


def heat_map(out: Path, run: Run, data: Dataset, index: int = 0) -> None:
    """Figure 5.1: pi of one test image under a run, a row for each latent variable."""
    pi = probabilities(run, data, [index])[0]
    with figure(out, "figure_5_1", height=3.5, width=3.9) as drawing:
        left, right = drawing.subplots(1, 2, width_ratios=[1, 2.2])
        _show(left, _images(data, [index])[0], data)
        left.set_title("test image")
        bare(left)
        image = right.imshow(pi, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        latents, categories = pi.shape
        right.set(xlabel="category", ylabel="latent variable")
        right.set_xticks(range(categories), [str(k + 1) for k in range(categories)])
        ticks = [n for n in range(latents) if n == 0 or (n + 1) % 5 == 0]
        right.set_yticks(ticks, [str(n + 1) for n in ticks])
        right.tick_params(length=0)
        drawing.colorbar(image, ax=right, label="probability π", ticks=[0, 0.5, 1], aspect=30, shrink=0.6)


def reconstructions(out: Path, rows: Mapping[str, Run], data: Dataset) -> None:
    """Figure 5.2: the first five test images above their reconstructions, one row of them a strategy."""
    index = IMAGES[: len(data.test)]
    grids = {"test images": _images(data, index)[0]}
    grids |= {symbols(name): reconstruct(run, data, index) for name, run in rows.items()}
    with figure(out, "figure_5_2", height=0.5 * len(grids), width=3.9) as drawing:
        panels = drawing.subplots(len(grids), 1, squeeze=False)[:, 0]
        for axes, (name, images) in zip(panels, grids.items(), strict=True):
            _show(axes, images, data)
            axes.set_ylabel(name.replace(", ", "\n"), rotation=0, ha="right", va="center")
            bare(axes)


def learning_curves(out: Path, curves: pd.DataFrame, rows: Sequence[str]) -> None:
    """Validation ELBO and reconstruction on hard samples by epoch: mean and range over seeds."""
    titles = {"elbo": "validation ELBO", "reconstruction_hard": "validation reconstruction, hard samples"}
    last = int(curves["epoch"].max()) if len(curves) else 1
    with figure(out, "learning_curves", height=3.3) as drawing:
        panels = drawing.subplots(1, len(titles))
        for axes, (metric, title) in zip(panels, titles.items(), strict=True):
            lows = []
            for i, row in enumerate(rows):
                found = curves[(curves["row"] == row) & (curves["metric"] == metric)]
                if found.empty:
                    continue
                epochs = found.groupby("epoch")["value"].agg(["mean", "min", "max"])
                style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
                marker = "o" if last <= 5 else ""
                axes.plot(epochs.index, epochs["mean"], label=symbols(row), marker=marker, markersize=3, **style)
                axes.fill_between(epochs.index, epochs["min"], epochs["max"], color=style["color"], alpha=0.2, lw=0)
                settled = epochs.loc[epochs.index >= max(1, last // 10), "mean"]
                lows.append(float(settled.min()))
            axes.set(
                title=title, xlabel="epoch", ylabel="nats an image", xlim=(0.8, last + 0.2) if last <= 5 else (0, last)
            )
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
            if lows and last > 10:  # the first epochs would flatten all that comes after them
                top = axes.get_ylim()[1]
                axes.set_ylim(min(lows) - 0.05 * (top - min(lows)), top)
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=2)


def _show(axes: Axes, images: Tensor, data: Dataset) -> None:
    """Show images ``[B, D]`` in [0, 1] of a data set's shape side by side, in grayscale or colour.

    Those of known data sets are white on black and shown black on white; own ones are shown as they are.
    """
    shape = data.config.image_shape
    strip = np.concatenate(list(images.clamp(0, 1).reshape(-1, shape.rows, shape.columns, shape.channels).numpy()), 1)
    colours = "gray_r" if data.config.known else "gray"
    axes.imshow(strip[..., 0] if shape.channels == 1 else strip, cmap=colours, vmin=0, vmax=1, interpolation="nearest")


def _load(run: Run) -> Population:
    return Population.load([run], torch.device("cpu"))


@torch.no_grad()
def probabilities(run: Run, data: Dataset, index: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """pi of test images: ``[B, N, K]``, to four digits."""
    population = _load(run)
    logits = population.model.encode(_images(data, index))
    return np.asarray(logits.softmax(-1)[0].numpy().round(4))


@torch.no_grad()
def reconstruct(run: Run, data: Dataset, index: Sequence[int]) -> Tensor:
    """The decoder's mean image of one hard sample of each test image: ``[B, D]``, to four digits."""
    population = _load(run)
    model = population.model
    noise = Noise([seeded(run.config.seed, "figure 5.2")])
    sample = model.family.sample(model.encode(_images(data, index)), noise).squeeze(1)  # [1, B, N, K]
    return model.likelihood.mean(model.decode(sample))[0].round(decimals=4)


def _images(data: Dataset, index: Sequence[int]) -> Tensor:
    """Test images on the processor: ``[1, B, D]``."""
    return data.test.batch(torch.tensor([list(index)], device=data.test.pixels.device)).cpu()
