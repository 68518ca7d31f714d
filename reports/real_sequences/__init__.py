"""Generators of real strings, drug-like molecules and English text, by the convolutional networks of Gulrajani et al.

The generators of ``sequences`` learn made strings with a grammar that decides which are valid; these learn data that
are read from files.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture, CriticConfig
from reports.kit.context import ReportContext
from reports.kit.declared import Task
from reports.kit.report import Report
from reports.sequences import ROWS, parts, planned, rows, write

TITLE = "Real strings against a convolutional critic"
PAPER = Config(
    architecture=Architecture(backbone="isotropic", channels=(512,) * 5, hidden=(), activation="relu", style=128),
    batch_size=64,
    learning_rate=Schedule(1e-4),
    task="generator",
    optimiser="adam-0.5-0.9",
    criticism=CriticConfig(critic_steps=10, critic_optimiser="adam-0.5-0.9"),
)
"""The paper's character-level generator, by the authors' published settings; its data are the Billion Word corpus."""
SMALL = dataclasses.replace(
    PAPER,
    architecture=dataclasses.replace(PAPER.architecture, channels=(64,) * 5),
    learning_rate=Schedule(3e-4),
    criticism=dataclasses.replace(PAPER.criticism, critic_steps=5, critic_learning_rate=3e-4),
)
"""An eighth of the width, half of the critic's updates, three times the rates: our choice, for a laptop."""
FEW = [row for row in ROWS if row.label in ("softmax", "Gumbel-Softmax", "ReinMax")]
"""What passes the gradient where time is short: the paper's softmax, a relaxed sample, and a hard one."""


def preset(seeds: int, base: Config, passes: dict[str, int]) -> parts.StringsPreset:
    """Some epochs on each data set; all rows where the networks are the paper's."""
    tasks = [Task(name, dataclasses.replace(base, data=DataConfig(name))) for name in passes]
    return parts.StringsPreset(
        max(passes.values()),
        tuple(range(seeds)),
        samples=1,
        rows=ROWS if base is PAPER else FEW,
        tasks=tasks,
        splits=("test",),
        passes=passes,
    )


def make(preset: parts.StringsPreset, bench: ReportContext) -> None:
    """Train and score what is missing, then write tables, figures and the documents."""
    write(preset, bench, TITLE, Path(__file__).with_name("text.md"))


PRESETS = {
    "quick": preset(1, SMALL, {"text": 1}),
    "laptop": preset(1, SMALL, {"text": 10, "moses": 2}),
    "paper": preset(2, PAPER, {"text": 1_177, "moses": 82}),
}
"""``paper`` has the paper's 200,000 updates of the generator: some 3,000 hours of a core for a run of text, and 5,000
for one of moses. ``laptop`` takes 40 minutes for a run of text, of 3,410 updates, and 3 hours for one of moses, of
9,840; it has six, of one seed."""
REPORT = Report(
    "real-sequences",
    "drug-like molecules and English text by convolutional generators against a critic, beside n-gram models",
    PRESETS,
    make,
    data=lambda preset: [task.base.data for task in preset.tasks],
    plan=lambda preset: [config for configs in planned(preset).values() for config in configs],
    parts=rows,
)
