"""Times of a step by the moves that it decodes: ``python -m reports.moves.steps`` measures them into ``steps.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from discrete_vae import data as datasets
from discrete_vae.memory import keep_freed_memory
from discrete_vae.strategies import STRATEGIES
from reports.benchmarks.case import Case
from reports.benchmarks.measure import step_of
from reports.benchmarks.measurements import environment
from reports.benchmarks.turns import take_turns
from reports.kit.declared import Task
from reports.reinmax import BUNDLED

STRATEGY = "gauss-newton-local-expectation"
STORED = Path(__file__).with_name("steps.json")
FEW = (0, 8, 32)
"""Moves of a sample that are decoded, where a sample has more of them; all of them are tried too."""
SECONDS = 20.0
"""How long the steps of a size are measured; each is taken five times at the least."""


class Step(NamedTuple):
    """The time of a step with a budget of moves."""

    name: str
    """``none``, ``8``, ``32`` or ``all``."""
    moves: int
    step_ms: float
    ratio: float
    """Ratio to the step without decoded moves, the median over neighbours in time."""


def budgets(task: Task) -> dict[str, int]:
    """The moves that are tried at a size: none, a few, all."""
    size = task.base.architecture
    every = size.latents * (size.categories - 1)
    return {"none" if few == 0 else str(few): few for few in FEW if few < every} | {"all": every}


def measure(task: Task, seconds: float = SECONDS) -> dict[str, Any]:
    """The steps of a size, which take turns on one thread with the bundled images, and what disturbed them."""
    device, asked = torch.device("cpu"), budgets(task)
    torch.set_num_threads(1)
    data = datasets.load(task.base.data)
    options = [STRATEGIES[STRATEGY].Options(moves=moves) for moves in asked.values()]
    cases = [Case(task.base.refitted(strategy=STRATEGY, options=each), seconds=seconds) for each in options]
    taken = take_turns([step_of(case, data, device) for case in cases], cases[0], device)
    steps = [
        Step(name, moves, round(taken.medians[i], 3), round(taken.ratio(i, 0), 3))
        for i, (name, moves) in enumerate(asked.items())
    ]
    return {"size": task.label, "steps": [each._asdict() for each in steps], **taken.watched()}


def stored(path: Path = STORED) -> Mapping[str, Sequence[Step]]:
    """The measured steps, by size."""
    return {each["size"]: [Step(**step) for step in each["steps"]] for each in json.loads(path.read_text())["sizes"]}


if __name__ == "__main__":
    keep_freed_memory()
    sizes = []
    for each in BUNDLED.values():
        sizes.append(measure(each))
        print(sizes[-1], flush=True)
    told = {"command": "python -m reports.moves.steps", "environment": environment(torch.device("cpu"))}
    STORED.write_text(json.dumps(told | {"sizes": sizes}, indent=2) + "\n")
