"""A critic in place of the KL: the averaged posterior pulled to the prior, beside the VAE on the VAE's yardstick."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture, CriticConfig
from reports.kit.captions import Entries
from reports.kit.comparison import Comparison
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task
from reports.kit.figures import bare, figure
from reports.kit.results import Metric

PAPERS = "Makhzani et al. 2016; Gulrajani et al. 2017"
BASE = Config(
    task="adversarial-vae",
    architecture=Architecture(hidden=(200,)),
    learning_rate=Schedule(2e-3),
    criticism=CriticConfig(critic_steps=2, critic_learning_rate=1e-3),
)
FULL = dataclasses.replace(BASE, architecture=Architecture(), criticism=CriticConfig())
RELAXED = ("Gumbel-Softmax", "gumbel-softmax", 0.5)
HARD = ("ST-Gumbel-Softmax", "straight-through-gumbel-softmax", 1.0)
"""Label, strategy and temperature."""
DRAWN = 6, 6
"""Rows and columns of the samples that are shown."""
UNIFORM = BASE.architecture.latents * math.log(BASE.architecture.categories)
"""Entropy of the prior's variables, in nats."""


def rows(betas: Sequence[float], *strategies: tuple[str, str, float]) -> list[Row]:
    """The VAE, and the one with the critic, whose value's weight is tried."""
    weights, found = [Schedule(beta) for beta in betas], []
    for label, strategy, temperature in strategies:
        options = [{"temperature": Schedule(temperature)}]
        found.append(Row(f"{label}, KL", strategy, options, {"task": "vae"}))
        found.append(Row(f"{label}, critic", strategy, options, tried={"beta": weights}))
    return found


def draw(bench: ReportContext, entries: Entries, results: pd.DataFrame) -> Sequence[str]:
    """Samples of the prior, decoded by the first seed's model of each row."""
    name, first = "adversarial_vae_samples", {row: entry.runs[0] for (row, _), entry in entries.items() if entry.runs}
    if bench.drawn([name], first.values()):
        return [name]
    runs = bench.train([run.config for run in first.values()], weights=True)
    with figure(bench.out, name, height=1.9) as drawing:
        for axes, row, run in zip(drawing.subplots(1, len(runs)), first, runs, strict=True):
            if run.finished:
                grid = bench.draw(run, math.prod(DRAWN), "prior").reshape(*DRAWN, 28, 28).transpose(1, 2)
                axes.imshow(1 - grid.reshape(DRAWN[0] * 28, -1).numpy(), cmap="gray", vmin=0, vmax=1)
            axes.set_title(row, fontsize=7)
            bare(axes)
    return [name]


REPORT = Comparison(
    "adversarial-vae",
    "A critic in place of the KL",
    rows((1.0, 3.0, 10.0, 30.0, 100.0), RELAXED, HARD),
    {
        "quick": Preset(3, (0, 1), splits=("validation", "test"), rows=rows((3.0, 10.0), HARD)),
        "laptop": Preset(
            10,
            (0, 1, 2),
            trial_seeds=(0,),
            shared_seeds=True,
            splits=("validation", "test"),
            rows=rows((3.0, 10.0, 30.0, 100.0), RELAXED, HARD),
        ),
        "full": Preset(50, (0, 1, 2, 3, 4), 1000, splits=("validation", "test"), tasks=[Task(base=FULL)]),
    },
    [Task(base=BASE)],
    [
        Metric("test", "elbo", "ELBO"),
        Metric("test", "reconstruction_hard", "reconstr.", better=0),
        Metric("test", "kl", "KL", better=0),
        Metric("test", "log_likelihood", "IW bound"),
        Metric("test", "code_entropy", "average", better=-1, scale=-1, offset=UNIFORM),
    ],
    "Test images of binarised MNIST in nats an image, from hard samples and with the exact KL. Average: how many nats "
    "the variables of the averaged posterior, one by one, are away from the uniform prior, in sum.",
    Path(__file__).with_name("text.md"),
    pairs=[(f"{label}, critic", f"{label}, KL") for label, *_ in (RELAXED, HARD)],
    papers=PAPERS,
    draw=draw,
)
