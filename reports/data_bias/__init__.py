"""How a decoder starts: its last bias at zero, or at what explains the training images best without latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from reports import more_data
from reports.kit.comparison import Comparison
from reports.kit.declared import Preset, Task
from reports.kit.results import Metric

NETWORKS = {"MLP": more_data.DENSE, "conv": more_data.CONVOLUTIONAL}
STARTS = {"zero": False, "data": True}
BASE = replace(more_data.BASE, keep="last", data=DataConfig(), learning_rate=Schedule(4e-3, decay=0.1, unit="run"))
ROWS = [more_data.ROWS[label] for label in ("Gumbel-Softmax", "ST", "ReinMax", "Gauss-Newton")]
REPORT = Comparison(
    "data-bias",
    "The decoder's last bias: from zero or from the data",
    ROWS,
    {
        "quick": Preset(1, samples=10, rows=ROWS[:1]),
        "laptop": Preset(2, (0, 1, 2, 3, 4), 10),
    },
    [
        Task(f"{network}, {start}", replace(BASE, architecture=replace(architecture, data_bias=bias)))
        for network, architecture in NETWORKS.items()
        for start, bias in STARTS.items()
    ],
    [Metric("test", "elbo", "test ELBO"), Metric("train", "elbo", "training ELBO", better=0)],
    "In nats, higher is better. Of each network the decoder's last bias starts at zero, or from the data.",
    Path(__file__).with_name("text.md"),
    stacked=True,
    papers="Burda et al. 2016",
)
