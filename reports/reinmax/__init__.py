"""The VAE table of the ReinMax paper: grayscale MNIST, a grid of latents and categories, and our strategies beside."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports.kit.comparison import Comparison
from reports.kit.declared import Preset, Row, Task
from reports.kit.results import Metric, line

SIZES = ((8, 4), (4, 24), (8, 16), (16, 12), (64, 8), (10, 30))
"""Categories and latents, in the paper's order."""
TEMPERATURES = [{"temperature": Schedule(value)} for value in (0.5, 1.0, 1.3, 1.5)]
EPOCHS = 160
RATES = (5e-4, 5e-4, 7e-4, 7e-4, 5e-4, 5e-4)
"""Learning rates of ReinMax by size, as in the authors' repository."""
SECOND_ORDER = {"inverse": "mirror", "geometry": "second-order", "warmup": 500}
ROWS = {
    row.label: row
    for row in (
        Row("ST-GS", "straight-through-gumbel-softmax", TEMPERATURES),
        Row("GST-1.0", "gapped-straight-through", TEMPERATURES),
        Row("ST", "straight-through", TEMPERATURES),
        Row("ReinMax", "reinmax", TEMPERATURES),
        Row("Gumbel-Softmax", "gumbel-softmax", TEMPERATURES),
        Row("ZGR", "zgr"),
        Row("MVE", "minimum-variance"),
        Row("RLOO (4)", "rloo"),
        Row("Gauss-Newton", "gauss-newton-local-expectation"),
        Row("Local expectation", "local-expectation"),
        Row("TP, mirror", "target-propagation", [SECOND_ORDER | each for each in TEMPERATURES], shared_rate=True),
        Row("TP, mirror, GN", "target-propagation", [SECOND_ORDER | {"geometry": "gauss-newton"}], shared_rate=True),
    )
}
LINES = {
    "ST-GS": (126.85, 101.32, 99.32, 100.09, 104.00, 99.63),
    "GST-1.0": (126.35, 101.49, 98.29, 98.12, 102.53, 98.64),
    "ST": (135.53, 112.03, 112.94, 113.31, 113.90, 112.63),
    "ReinMax": (124.66, 99.77, 97.70, 98.06, 100.71, 98.37),
}
PRINTED = {line(row, f"{k}x{n}"): each for row, own in LINES.items() for (k, n), each in zip(SIZES, own, strict=True)}


def tasks(data: DataConfig) -> dict[str, Task]:
    """The columns: K x N, with ReLU layers of 512 and 256 that start as torch's own, as in the authors' code."""
    return {
        f"{k}x{n}": Task(
            f"{k}x{n}",
            Config(architecture=Architecture(n, k, (512, 256), "relu", initialisation="fan-in"), data=data),
            fields={"auxiliary_learning_rate": Schedule(1e-3)},
        )
        for k, n in SIZES
    }


def rows(part: slice, *labels: str) -> list[Row]:
    """Some rows, with some of the temperatures."""
    return [dataclasses.replace(ROWS[name], options=ROWS[name].options[part]) for name in labels]


def searched(label: str) -> Row:
    """A row of the paper's table: four temperatures at the authors' rate, or four rates where it has no temperature."""
    row, rates = ROWS[label], [Schedule(rate) for rate in (3e-4, 5e-4, 7e-4, 1e-3)]
    return row if len(row.options) > 1 else dataclasses.replace(row, tried={"learning_rate": rates})


def at_rate(task: Task, rate: float) -> Task:
    """A column with the authors' learning rate."""
    return dataclasses.replace(task, base=dataclasses.replace(task.base, learning_rate=Schedule(rate)))


PAPER = ("ST-GS", "GST-1.0", "ST", "ReinMax", "Gumbel-Softmax", "MVE", "Gauss-Newton", "TP, mirror")
BUNDLED, GRAYSCALE = tasks(DataConfig()), tasks(DataConfig("mnist", "none"))
FULL = Preset(
    EPOCHS,
    (0, 1),
    100,
    trial_epochs=16,
    growth=1,
    rows=[searched(name) for name in PAPER],
    tasks=[at_rate(task, rate) for task, rate in zip(GRAYSCALE.values(), RATES, strict=True)],
)
"""The paper's six columns. Rows have its four temperatures, or four learning rates where they have none."""
REPORT = Comparison(
    "reinmax",
    "The VAE table of the ReinMax paper, with other strategies beside",
    list(ROWS.values()),
    {
        "quick": Preset(
            5,
            samples=20,
            rates=(1e-3,),
            growth=1,
            rows=rows(slice(1, 2), "ST-GS", "ST", "ReinMax", "Gumbel-Softmax"),
            tasks=[BUNDLED["8x4"], BUNDLED["10x30"]],
        ),
        "laptop": Preset(
            EPOCHS,
            samples=100,
            rates=(5e-4,),
            trial_epochs=16,
            growth=0,
            trial_seeds=(0,),
            shared_seeds=True,
            rows=rows(slice(3), "ST-GS", "ReinMax", "Gumbel-Softmax", "Gauss-Newton"),
            tasks=[GRAYSCALE["10x30"]],
        ),
        "few": dataclasses.replace(FULL, rows=[*FULL.rows, ROWS["Local expectation"]], tasks=FULL.tasks[:1]),
        "paper": FULL,
    },
    list(GRAYSCALE.values()),
    [Metric("train", "elbo", "ours", better=-1, scale=-1, printed=PRINTED)],
    "Negative ELBO of the training images in nats, lower is better.",
    Path(__file__).with_name("text.md"),
    pairs=[(row, "ReinMax") for row in ("ST-GS", "ST", "Gumbel-Softmax", "Gauss-Newton", "Local expectation")],
)
