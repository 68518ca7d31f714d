"""The deterministic auto-encoder of the thesis' section 3.3: difference target propagation beside backpropagation."""

from __future__ import annotations

from pathlib import Path

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports.kit.comparison import Comparison
from reports.kit.declared import Preset, Row, Task
from reports.kit.results import Metric

METRIC = "reconstruction_hard"
KINDS = {"Backpropagation": "auto-encoder", "Difference target propagation": "target-propagation-auto-encoder"}
ROWS = [
    Row(f"{name}, lr {rate:g}", strategy, fields={"learning_rate": Schedule(rate)})
    for name, strategy in KINDS.items()
    for rate in (3e-4, 1e-3)
]
REPORT = Comparison(
    "auto-encoder",
    "The thesis' deterministic auto-encoder by target propagation and by backpropagation",
    ROWS,
    {"quick": Preset(3, (0, 1), samples=1), "full": Preset(20, (0, 1, 2), samples=1)},
    [Task(base=Config(architecture=Architecture(latents=30)))],
    [Metric(split, METRIC) for split in ("train", "validation", "test")],
    "Reconstruction log-likelihood of binarised MNIST, nats an image, higher is better.",
    Path(__file__).with_name("text.md"),
    curves={METRIC: "validation reconstruction"},
)
