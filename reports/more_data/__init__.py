"""Strategies on more data: several data sets, binarised afresh each epoch, with dense and convolutional networks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports.kit.comparison import Comparison
from reports.kit.declared import Preset, Row, Task
from reports.kit.results import Metric

HALVED = {"temperature": Schedule(0.5, decay=0.5, unit="run")}
FALLING = {"temperature": Schedule(1.0, decay=0.5, unit="run")}
MIRROR = {"inverse": "mirror", "geometry": "gauss-newton", "warmup": 500}
ROWS = {
    row.label: row
    for row in (
        Row("Gumbel-Softmax", "gumbel-softmax", [HALVED]),
        Row("ST", "straight-through"),
        Row("ST-Gumbel-Softmax", "straight-through-gumbel-softmax", [FALLING]),
        Row("ReinMax", "reinmax", [{"temperature": Schedule(1.3)}]),
        Row("Gauss-Newton", "gauss-newton-local-expectation"),
        Row("TP, Gauss-Newton", "target-propagation", [MIRROR], shared_rate=True),
    )
}
"""Temperatures are those that the report on Gauss-Newton found on binarised MNIST, the same on all data."""
DENSE = Architecture()
"""The thesis' networks: one hidden layer of 500 units, softplus."""
BIASED_DENSE = Architecture(data_bias=True)
CONVOLUTIONAL = Architecture(hidden=(128,), activation="relu", backbone="conv", channels=(16, 32), data_bias=True)
NETWORKS = {"MLP": DENSE, "conv": CONVOLUTIONAL}
BASE = Config(beta=Schedule(1.0, warmup=1.0), keep="best")


def tasks(label: str, data: DataConfig, *, batch_size: int = BASE.batch_size, times: int = 1) -> list[Task]:
    """A data set with each of the networks."""
    return [
        Task(f"{label}, {name}", replace(BASE, architecture=each, data=data, batch_size=batch_size), times=times)
        for name, each in NETWORKS.items()
    ]


def tried(rates: Sequence[float], decays: Sequence[float], rows: Iterable[Row] = ROWS.values()) -> list[Row]:
    """Rows that try every rate with every weight decay; the rate falls to a tenth over a run, however long it is."""
    values = {
        "learning_rate": [Schedule(rate, decay=0.1, unit="run") for rate in rates],
        "weight_decay": [Schedule(decay) for decay in decays],
    }
    return [replace(row, tried=values) for row in rows]


MNIST, FASHION = (
    tasks("MNIST", DataConfig("mnist", "dynamic")),
    tasks("Fashion", DataConfig("fashion-mnist", "dynamic")),
)
OMNIGLOT = tasks("Omniglot", DataConfig("omniglot", "dynamic"))
FEW = tasks("Omniglot, small", DataConfig("omniglot-small", "dynamic"), batch_size=50, times=4)
"""Of 3,640 training images, so that an epoch has 72 updates."""
BIASED = replace(FEW[0], label=f"{FEW[0].label}, data bias", base=replace(FEW[0].base, architecture=BIASED_DENSE))
"""Declared after some dense networks had failed at the rate that their trials chose."""
QUICK = [ROWS[label] for label in ("Gumbel-Softmax", "ReinMax", "Gauss-Newton")]
REPORT = Comparison(
    "more-data",
    "Strategies on MNIST, Fashion-MNIST and Omniglot",
    list(ROWS.values()),
    {
        "quick": Preset(
            2,
            samples=20,
            trial_epochs=1,
            growth=0,
            rows=tried((4e-3,), (0.0, 0.03), QUICK),
            tasks=tasks("binarised MNIST", DataConfig()),
        ),
        "laptop": Preset(
            10,
            (0, 1, 2),
            trial_epochs=2,
            growth=1,
            rows=tried((1.5e-3, 4e-3), (0.0, 0.03)),
            tasks=[*MNIST, *FASHION, *FEW, BIASED],
        ),
        "paper": Preset(
            50,
            (0, 1, 2, 3, 4),
            1000,
            trial_epochs=10,
            rows=tried((1e-3, 2.5e-3, 6e-3), (0.0, 0.03, 0.1)),
        ),
    },
    [*MNIST, *FASHION, *OMNIGLOT],
    [
        Metric("test", "elbo", "test ELBO"),
        Metric("test", "log_likelihood", "test bound"),
        Metric("train", "elbo", "training ELBO", better=0, spread=False),
    ],
    "In nats, higher is better. The learning rate falls to a tenth of itself over each run.",
    Path(__file__).with_name("text.md"),
    pairs=[
        ("ReinMax", "Gumbel-Softmax"),
        ("Gauss-Newton", "Gumbel-Softmax"),
        ("TP, Gauss-Newton", "Gumbel-Softmax"),
        ("Gauss-Newton", "ReinMax"),
        ("TP, Gauss-Newton", "ReinMax"),
    ],
    stacked=True,
    papers="Burda et al. 2016; Lake et al. 2015; Xiao et al. 2017; Radford et al. 2016; Loshchilov and Hutter 2019",
)
