"""Table 2 of Jang et al. 2017: classification with the classes of 100 images, by marginalisation and by sampling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture, Supervision
from reports.kit.comparison import Comparison
from reports.kit.declared import Preset, Row, Task
from reports.kit.results import Metric
from reports.semi_supervised.figures import draw

BASE = Config(
    task="semi-supervised",
    architecture=Architecture(latents=1, hidden=(250,), activation="relu", style=10),
    batch_size=250,
    beta=Schedule(8.0, decay=0.8, minimum=2.0),
    supervision=Supervision(labelled=100, alpha=300.0, labelled_weight=50.0),
)
ALONE = "Labels alone"
RATES = (1e-4, 3e-4, 1e-3, 2e-3)
"""That are tried of the labels alone."""
ROWS = {
    row.label: row
    for row in (
        Row(
            ALONE,
            "gumbel-softmax",
            fields={"task": "labels-alone"},
            tried={"learning_rate": [Schedule(rate) for rate in RATES]},
            lengths=(1, 2, 3, 5, 8),
            measured=("accuracy",),  # it explains no pixels
        ),
        Row("Marginalisation", "marginalisation"),
        Row("Gumbel-S", "gumbel-softmax", [{"temperature": Schedule(0.5)}]),
        Row("ST Gumbel-S", "straight-through-gumbel-softmax", [{"temperature": Schedule(1.0)}]),
        Row("ReinMax", "reinmax"),
        Row("RLOO (4)", "rloo"),
    )
}
PRINTED = {
    "accuracy": {"Marginalisation": 92.6, "Gumbel-S": 92.4, "ST Gumbel-S": 93.6},
    "elbo": {"Marginalisation": -106.8, "Gumbel-S": -109.6, "ST Gumbel-S": -110.7},
}
SPLITS = ("validation", "test")
WEIGHTS = [
    Supervision(labelled=100, alpha=alpha, labelled_weight=weight)
    for alpha in (30.0, 300.0, 3000.0)
    for weight in (1.0, 50.0, 500.0)
]
LARGE = dataclasses.replace(
    BASE,
    architecture=Architecture(latents=1, hidden=(500, 500), activation="relu", style=10),
    beta=Schedule(8.0, decay=0.9, minimum=1.0),
)


def searched(row: Row) -> Row:
    """A row of the full preset: weights of the labels are tried too, and temperatures; of the labels alone, lengths."""
    if row.label == ALONE:
        rates = [Schedule(rate) for rate in (*RATES[:3], 3e-3)]
        return dataclasses.replace(row, lengths=(1, 2, 3, 5, 10, 20, 50), tried={"learning_rate": rates})
    temperatures = [{"temperature": Schedule(each)} for each in (0.5, 1.0)]
    options = temperatures if "temperature" in row.options[0] else row.options
    return dataclasses.replace(row, options=options, tried={"supervision": WEIGHTS})


LITERAL = Supervision(labelled=100, alpha=1.0, labelled_weight=500.0)
"""The paper's equation 11 read as it stands: each expectation is a mean, so the labelled bound counts as much as that
of all other images (w = 50,000 / 100), and alpha is in the range that the paper tried."""
PAPER = dataclasses.replace(
    BASE,
    data=DataConfig("mnist", "dynamic"),
    architecture=Architecture(
        latents=1, backbone="conv", channels=(16, 32, 32), hidden=(), activation="relu", style=10
    ),
    keep="best",
    patience=15,
    score="accuracy",
)
"""As many layers as the paper says: three convolutions and the output, and for the decoder a dense layer and three
transposed convolutions. Widths, kernels and the batch are ours; the paper's text does not give them."""
ANNEALED = {"temperature": Schedule(1.0, decay=math.exp(-0.06), every=2000, unit="step", minimum=0.5)}
"""The paper's max(0.5, exp(-3e-5 t)), updated every 2,000 steps."""
READINGS: Mapping[str, Sequence[Any]] = {
    "supervision": [PAPER.supervision, LITERAL],
    "beta": [PAPER.beta, Schedule(1.0)],
}
PAPER_ROWS = (
    dataclasses.replace(ROWS[ALONE], lengths=()),
    Row("Marginalisation", "marginalisation", tried=READINGS),
    Row("Gumbel-S", "gumbel-softmax", [ANNEALED], tried=READINGS),
    Row("ST Gumbel-S", "straight-through-gumbel-softmax", [ANNEALED], tried=READINGS),
    # Of one variable with ten classes its default decodes every class, which is marginalisation.
    Row("Gauss-Newton", "gauss-newton-local-expectation", tried=READINGS),
    Row("RLOO (4)", "rloo", tried=READINGS),
)

REPORT = Comparison(
    "semi-supervised",
    "Table 2 of Jang et al. 2017: classification with the classes of 100 images",
    list(ROWS.values()),
    {
        "quick": Preset(6, samples=10, rates=(2e-3,), rows=list(ROWS.values())[:5], splits=SPLITS),
        "laptop": Preset(6, (0, 1, 2), 10, (1e-3, 2e-3), trial_seeds=(0,), shared_seeds=True, growth=0, splits=SPLITS),
        "full": Preset(
            200,
            (0, 1, 2, 3, 4),
            100,
            (3e-4, 1e-3, 3e-3),
            trial_epochs=40,
            trial_seeds=(100, 101),
            rows=[searched(row) for row in ROWS.values()],
            tasks=[Task(base=LARGE)],
            splits=SPLITS,
        ),
        "paper": Preset(
            100,
            (0, 1, 2),
            100,
            (2e-3, 4e-3),
            trial_epochs=10,
            growth=0,
            rows=PAPER_ROWS,
            tasks=[Task(base=PAPER)],
            splits=SPLITS,
        ),
    },
    [Task(base=BASE)],
    [
        Metric(
            "test", "accuracy", group="accuracy, %", scale=100, unit="percentage points", printed=PRINTED["accuracy"]
        ),
        Metric("validation", "accuracy", group="accuracy, %", scale=100, digits=1, spread=False),
        Metric("test", "elbo", group="ELBO, nats", printed=PRINTED["elbo"]),
    ],
    "Classification with the classes of 100 training images, other ones with each seed. The ELBO is that of hard "
    "samples of class and style. The labels alone are trained for as many epochs as were chosen.",
    Path(__file__).with_name("text.md"),
    chosen_by="accuracy",
    pairs=[(row, ALONE) for row in ROWS if row != ALONE],
    papers="Kingma et al. 2014b; Jang et al. 2017",
    draw=draw,
)
