"""Table 1 of Jang et al. 2017: structured prediction and VAE, Bernoulli and categorical, their columns and ours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports.kit.captions import Entries
from reports.kit.comparison import Comparison
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task
from reports.kit.histories import learning_curves
from reports.kit.results import Metric, line

BINARY, CATEGORICAL = (
    {"vae": Architecture(n, k, ()), "structured-prediction": Architecture(n, k, (), layers=2)}
    for n, k in ((200, 2), (20, 10))
)


def annealed(rate: float, every: int) -> Schedule:
    """``max(0.5, exp(-rate t))``, updated every so many steps."""
    return Schedule(1.0, decay=round(math.exp(-rate * every), 8), every=every, unit="step", minimum=0.5)


ANNEALED = [{"temperature": annealed(rate, every)} for rate in (1e-5, 1e-4) for every in (500, 1000)]
GENTLE = Schedule(1.0, decay=0.961538, minimum=0.5)
"""The slope of annealed ST grows as by default, but to 2 in place of 5; the paper gives none."""
EPOCHS, TRIAL, PATIENCE = 500, 20, 50
"""Epochs of the preset that is as long as the paper, of its trials, and without a rise after which a run stops."""
SECOND_ORDER = {"inverse": "mirror", "geometry": "second-order", "warmup": 500}
GAUSS_NEWTON = SECOND_ORDER | {"geometry": "gauss-newton"}
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
        Row("Annealed ST, slope 2", "slope-annealed-straight-through", [{"temperature": GENTLE}]),
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
        Row("Gauss-Newton", "gauss-newton-local-expectation"),
        Row("TP, mirror, GN", "target-propagation", [GAUSS_NEWTON], shared_rate=True),
    )
}
COLUMNS = {
    "SBN Bernoulli": (72.0, 59.7, 58.9, 58.9, 58.7, 58.5, 59.3),
    "SBN categorical": (73.1, 67.9, 63.0, 61.8, 61.1, 59.0, 59.7),
    "VAE Bernoulli": (112.2, 110.9, 109.7, 116.0, 111.5, 105.0, 111.5),
    "VAE categorical": (110.6, 128.8, 107.0, 110.9, 107.8, 101.5, 107.8),
}
PRINTED = {line(row, task): each for task, column in COLUMNS.items() for row, each in zip(ROWS, column, strict=False)}


def tasks(data: DataConfig, patience: int = 0) -> list[Task]:
    """The four columns; in structured prediction tau stays at 1, and binary variables have the paper's DARN.

    With patience a run stops after so many epochs without a higher validation ELBO, and its best epoch stands for it.
    """
    found = []
    for task, name in (("structured-prediction", "SBN"), ("vae", "VAE")):
        fixed = {"temperature": Schedule(1.0)} if task == "structured-prediction" else {}
        for architecture, kind in ((BINARY[task], "Bernoulli"), (CATEGORICAL[task], "categorical")):
            own = fixed | ({"centre": "uniform"} if kind == "Bernoulli" else {})
            base = Config(architecture=architecture, data=data, task=task, optimiser="sgd")
            if patience:
                base = dataclasses.replace(base, keep="best", patience=patience)
            found.append(Task(f"{name} {kind}", base, own, {"auxiliary_learning_rate": Schedule(1e-3)}))
    return found


def draw(bench: ReportContext, entries: Entries, results: pd.DataFrame) -> list[str]:
    """A figure a task of the validation ELBO by epoch, of runs that measure it after every epoch."""
    found: dict[str, dict[str, Sequence[Run]]] = {}
    for (row, task), entry in entries.items():
        if entry.config.keep == "best":
            found.setdefault(task, {})[row] = entry.runs
    return [
        name
        for task, rows in found.items()
        for name in learning_curves(
            bench, rows, {"elbo": f"{task}, validation ELBO"}, f"curves_{task}".replace(" ", "_").lower()
        )
    ]


def rows(labels: list[str], part: slice) -> list[Row]:
    """Some rows, with some of what is tried of their options."""
    return [dataclasses.replace(ROWS[name], options=ROWS[name].options[part]) for name in labels]


LONG = tasks(DataConfig("mnist", "stochastic"), PATIENCE)
BUNDLED, FIXED = tasks(DataConfig()), tasks(DataConfig("mnist", "stochastic"))
SHORT = ["SF", "MuProp", "ST", "Gumbel-S", "ST Gumbel-S", "ReinMax", "TP, mirror"]
LAPTOP = [*list(ROWS)[:10], "ReinMax", "TP, mirror", "Gauss-Newton"]
VAE = ["ST", "Gumbel-S", "ST Gumbel-S", "ReinMax", "Gauss-Newton"]
"""Of one column at the paper's length; the preset that has all columns takes their runs from there."""
PAPER = [*list(ROWS)[:7], "RLOO (4)", "VIMCO (4)", "ReinMax", "TP, mirror", "Gauss-Newton"]
AS_LONG = Preset(
    EPOCHS,
    (0, 1, 2),
    1000,
    rates=(1e-3, 3e-3, 1e-2),
    trial_epochs=TRIAL,
    rows=rows(PAPER, slice(None, None, 2)),
    tasks=LONG,
)
"""As long as the paper."""
REPORT = Comparison(
    "jang",
    "Table 1 of Jang et al. 2017: structured prediction and VAE by every strategy",
    list(ROWS.values()),
    {
        "quick": Preset(
            4, samples=100, rates=(1e-3, 3e-3), growth=1, rows=rows(SHORT, slice(-1, None)), tasks=BUNDLED[1::2]
        ),
        "laptop": Preset(
            40,
            samples=1000,
            rates=(1e-3, 3e-3),
            trial_epochs=5,
            rows=rows(LAPTOP, slice(-3, None, 2)),
            tasks=FIXED[1::2],
        ),
        "vae": dataclasses.replace(AS_LONG, seeds=(0,), rows=rows(VAE, slice(None, None, 2)), tasks=LONG[-1:]),
        "paper": AS_LONG,
    },
    FIXED,
    [Metric("test", "log_likelihood", "ours", better=-1, scale=-1, printed=PRINTED)],
    "Negative bound of the test images in nats, lower is better.",
    Path(__file__).with_name("text.md"),
    pairs=[(row, "Gumbel-S") for row in ("SF", "MuProp", "ST", "ST Gumbel-S", "ReinMax", "TP, mirror", "Gauss-Newton")],
    draw=draw,
)
