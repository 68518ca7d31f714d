"""What trained models make of test images: reconstructions, and the probabilities of a code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from discrete_vae.data import Dataset
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from reports.kit.figures import bare, figure, symbols

IMAGES = tuple(range(5))
"""The first test images, not chosen ones."""


@torch.no_grad()
def heat_map(out: Path, run: Run, data: Dataset, name: str) -> None:
    """Pi of the first test image under a run, to four digits: a row for each latent variable."""
    model, image = Population.load([run], torch.device("cpu")).model, _images(data, [0])
    pi = model.encode(image).softmax(-1)[0, 0].numpy().round(4)
    with figure(out, name, height=3.5, width=3.9) as drawing:
        left, right = drawing.subplots(1, 2, width_ratios=[1, 2.2])
        _show(left, image[0], data)
        left.set_title("test image")
        shown = right.imshow(pi, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        latents, categories = pi.shape
        right.set(xlabel="category", ylabel="latent variable")
        right.set_xticks(range(categories), [str(k + 1) for k in range(categories)])
        ticks = [n for n in range(latents) if n == 0 or (n + 1) % 5 == 0]
        right.set_yticks(ticks, [str(n + 1) for n in ticks])
        right.tick_params(length=0)
        drawing.colorbar(shown, ax=right, label="probability π", ticks=[0, 0.5, 1], aspect=30, shrink=0.6)


def reconstructions(out: Path, rows: Mapping[str, Run], data: Dataset, name: str) -> None:
    """The first five test images above their reconstructions, one row of them a strategy."""
    images = _images(data, IMAGES[: len(data.test)])
    grids = {"test images": images[0]} | {symbols(row): reconstruct(run, images) for row, run in rows.items()}
    with figure(out, name, height=0.5 * len(grids), width=3.9) as drawing:
        panels = drawing.subplots(len(grids), 1, squeeze=False)[:, 0]
        for axes, (row, shown) in zip(panels, grids.items(), strict=True):
            _show(axes, shown, data)
            axes.set_ylabel(row.replace(", ", "\n"), rotation=0, ha="right", va="center")


@torch.no_grad()
def reconstruct(run: Run, images: Tensor) -> Tensor:
    """The decoder's mean image of one hard sample of each image ``[1, B, D]``: ``[B, D]``, to four digits."""
    model = Population.load([run], torch.device("cpu")).model
    noise = Noise([seeded(run.config.seed, "figure 5.2")])
    sample = model.family.sample(model.encode(images), noise).squeeze(1)  # [1, B, N, K]
    return model.likelihood.mean(model.decode(sample))[0].round(decimals=4)


def _show(axes: Axes, images: Tensor, data: Dataset) -> None:
    """Show images ``[B, D]`` in [0, 1] of a data set's shape side by side, in grayscale or colour.

    Those of known data sets are white on black and shown black on white; own ones are shown as they are.
    """
    shape = data.config.image_shape
    strip = np.concatenate(list(images.clamp(0, 1).reshape(-1, shape.rows, shape.columns, shape.channels).numpy()), 1)
    colours = "gray_r" if data.config.known else "gray"
    axes.imshow(strip[..., 0] if shape.channels == 1 else strip, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
    bare(axes)


def _images(data: Dataset, index: Sequence[int]) -> Tensor:
    """Test images on the CPU: ``[1, B, D]``."""
    return data.test.batch(torch.tensor([list(index)], device=data.test.pixels.device)).cpu()
