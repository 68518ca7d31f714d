"""The thesis' figures 2.3 and 4.6, which need no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from discrete_vae.latents.categorical import relaxed_sample
from discrete_vae.latents.noise import Noise, seeded
from reports.kit.figures import COLOURS, DASHES, figure

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
