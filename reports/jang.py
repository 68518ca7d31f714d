"""Table 1 of Jang et al. 2017: structured prediction and VAE, Bernoulli and categorical, their columns and ours."""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports import grid
from reports.grid import Cell, Paper, Preset, Row
from reports.report import Report

BINARY, CATEGORICAL = (
    {"vae": Architecture(n, k, ()), "structured-prediction": Architecture(n, k, (), layers=2)}
    for n, k in ((200, 2), (20, 10))
)


def annealed(rate: float, every: int) -> Schedule:
    """``max(0.5, exp(-rate t))``, updated every so many steps."""
    return Schedule(1.0, decay=round(math.exp(-rate * every), 8), every=every, unit="step", minimum=0.5)


ANNEALED = [{"temperature": annealed(rate, every)} for rate in (1e-5, 1e-4) for every in (500, 1000)]
EPOCHS = 200
"""Of the full preset."""
SECOND_ORDER = {"inverse": "mirror", "geometry": "second-order", "warmup": 500}
ROWS = {
    row.label: row
    for row in (
        Row("SF", "score-function", [{"normalise": True}]),
        Row("DARN", "darn-baseline", [{"centre": "mean", "normalise": True}]),
        Row("MuProp", "muprop", [{"normalise": True}]),
        Row("ST", "straight-through"),
        Row("Annealed ST", "slope-annealed-straight-through"),
        Row("Gumbel-S", "gumbel-softmax", ANNEALED),
        Row("ST Gumbel-S", "straight-through-gumbel-softmax", ANNEALED),
        Row("DARN, linearised", "darn", [{"centre": "mean"}]),
        Row("NVIL", "nvil"),
        Row("RLOO (4)", "rloo"),
        Row("VIMCO (4)", "vimco"),
        Row("REBAR", "rebar"),
        Row("RELAX", "relax"),
        Row("Gapped ST", "gapped-straight-through"),
        Row("Gumbel-Rao (10)", "gumbel-rao", ANNEALED),
        Row("ReinMax", "reinmax"),
        Row("MVE", "minimum-variance"),
        Row("TP, mirror", "target-propagation", [SECOND_ORDER], shared_rate=True),
    )
}
PRINTED = {
    "SBN Bernoulli": (72.0, 59.7, 58.9, 58.9, 58.7, 58.5, 59.3),
    "SBN categorical": (73.1, 67.9, 63.0, 61.8, 61.1, 59.0, 59.7),
    "VAE Bernoulli": (112.2, 110.9, 109.7, 116.0, 111.5, 105.0, 111.5),
    "VAE categorical": (110.6, 128.8, 107.0, 110.9, 107.8, 101.5, 107.8),
}
PAPER = Paper(
    "jang.tex",
    ("test", "log_likelihood"),
    {(row, cell): value for cell, values in PRINTED.items() for row, value in zip(ROWS, values, strict=False)},
    [(row, "Gumbel-S") for row in ("SF", "MuProp", "ST", "ST Gumbel-S", "ReinMax", "TP, mirror")],
)
RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


def cells(data: DataConfig) -> list[Cell]:
    """The four columns; in structured prediction tau stays at 1, and binary variables have the paper's DARN."""
    found = []
    for task, name in (("structured-prediction", "SBN"), ("vae", "VAE")):
        for architecture, kind in ((BINARY[task], "Bernoulli"), (CATEGORICAL[task], "categorical")):
            fixed: dict[str, Any] = {"temperature": Schedule(1.0)} if task == "structured-prediction" else {}
            if kind == "Bernoulli":  # as the paper has it
                fixed["centre"] = "uniform"
            base = Config(architecture=architecture, data=data, task=task, optimiser="sgd")
            found.append(Cell(f"{name} {kind}", base, fixed))
    return found


BUNDLED, FIXED = DataConfig(), DataConfig("mnist", "stochastic")
PRESETS = {
    "quick": Preset(
        cells=[cell for cell in cells(BUNDLED) if cell.label.endswith("categorical")],
        rows=[
            dataclasses.replace(ROWS[name], options=ROWS[name].options[-1:])
            for name in ("SF", "MuProp", "ST", "Gumbel-S", "ST Gumbel-S", "ReinMax", "TP, mirror")
        ],
        rates=(1e-3, 3e-3),
        trial_epochs=4,
        epochs=4,
        seeds=(0,),
        growth=1,
        samples=100,
    ),
    "laptop": Preset(
        cells=[cell for cell in cells(FIXED) if cell.label.endswith("categorical")],
        rows=[
            dataclasses.replace(ROWS[name], options=ROWS[name].options[-3::2])
            for name in (*list(ROWS)[:9], "ReinMax", "TP, mirror")
        ],
        rates=(1e-3, 3e-3),
        trial_epochs=5,
        epochs=40,
        seeds=(0,),
        samples=1000,
    ),
    "full": Preset(
        cells=cells(FIXED),
        rows=list(ROWS.values()),
        rates=RATES,
        trial_epochs=EPOCHS,
        epochs=EPOCHS,
        seeds=(0, 1, 2),
        samples=1000,
    ),
}


REPORT = Report(
    "jang",
    "Table 1 of Jang et al. 2017: structured prediction and VAE by every strategy",
    PRESETS,
    partial(grid.make, paper=PAPER),
    data=grid.data_of,
)
