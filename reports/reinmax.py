"""The VAE table of the ReinMax paper: grayscale MNIST, a grid of latents and categories, and our strategies beside."""

from __future__ import annotations

import dataclasses
from functools import partial

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports import grid
from reports.grid import Cell, Paper, Preset, Row
from reports.report import Report

SIZES = ((8, 4), (4, 24), (8, 16), (16, 12), (64, 8), (10, 30))
"""Categories and latents, in the paper's order."""
TEMPERATURES = [{"temperature": Schedule(value)} for value in (0.5, 1.0, 1.3, 1.5)]
EPOCHS = 160
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
        Row("TP, mirror", "target-propagation", [{**SECOND_ORDER, **each} for each in TEMPERATURES], shared_rate=True),
    )
}
PRINTED = {
    "ST-GS": (126.85, 101.32, 99.32, 100.09, 104.00, 99.63),
    "GST-1.0": (126.35, 101.49, 98.29, 98.12, 102.53, 98.64),
    "ST": (135.53, 112.03, 112.94, 113.31, 113.90, 112.63),
    "ReinMax": (124.66, 99.77, 97.70, 98.06, 100.71, 98.37),
}
PAPER = Paper(
    "reinmax.tex",
    ("train", "elbo"),
    {
        (row, f"{categories}x{latents}"): value
        for row, values in PRINTED.items()
        for (categories, latents), value in zip(SIZES, values, strict=True)
    },
    [(row, "ReinMax") for row in ("ST-GS", "GST-1.0", "ST", "Gumbel-Softmax")],
)


def cells(data: DataConfig) -> list[Cell]:
    """The columns: K x N, with ReLU layers of 512 and 256 that start as torch's own, as in the authors' code."""
    return [
        Cell(
            f"{k}x{n}", Config(architecture=Architecture(n, k, (512, 256), "relu", initialisation="fan-in"), data=data)
        )
        for k, n in SIZES
    ]


BUNDLED, GRAYSCALE = DataConfig(), DataConfig("mnist", "none")
PRESETS = {
    "quick": Preset(
        cells=[cell for cell in cells(BUNDLED) if cell.label in ("8x4", "10x30")],
        rows=[
            dataclasses.replace(ROWS[name], options=[each for each in ROWS[name].options if each in TEMPERATURES[1:2]])
            for name in ("ST-GS", "ST", "ReinMax", "Gumbel-Softmax")
        ],
        rates=(1e-3,),
        trial_epochs=5,
        epochs=5,
        seeds=(0,),
        growth=1,
        samples=20,
    ),
    "laptop": Preset(
        cells=[cell for cell in cells(GRAYSCALE) if cell.label == "10x30"],
        rows=[
            dataclasses.replace(ROWS[name], options=ROWS[name].options[:3])
            for name in ("ST-GS", "ReinMax", "Gumbel-Softmax")
        ],
        rates=(5e-4,),
        trial_epochs=16,
        epochs=EPOCHS,
        seeds=(0,),
        samples=100,
    ),
    "full": Preset(
        cells=cells(GRAYSCALE),
        rows=list(ROWS.values()),
        rates=(3e-4, 5e-4, 7e-4, 1e-3),
        trial_epochs=EPOCHS,
        epochs=EPOCHS,
        seeds=(0, 1, 2),
        samples=1000,
    ),
}


REPORT = Report(
    "reinmax",
    "the VAE table of the ReinMax paper, with other strategies beside",
    PRESETS,
    partial(grid.make, paper=PAPER),
    data=grid.data_of,
)
