"""The README's text and the documentation's, and the committed results that they are compared with."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from discrete_vae.cli import command as cli
from discrete_vae.cli.options import configuration, parameters, suited, task_of
from discrete_vae.cli.own_images import own_images
from discrete_vae.cli.train import varied
from discrete_vae.conformance import __main__ as conformance_command
from discrete_vae.evaluation import statistics
from discrete_vae.progress import terminal_progress
from reports import __main__ as reports_command
from reports.kit.kept import KEPT, PROVENANCE, ROWS
from reports.kit.results import Metric
from studies import __main__ as studies_command

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
PAGES = {path.relative_to(ROOT / "docs").as_posix(): path.read_text() for path in sorted((ROOT / "docs").rglob("*.md"))}
"""The documentation's pages by name, ``results/thesis.md``."""


def sentences(text: str) -> str:
    """A text whatever its line breaks, with plain minus signs."""
    return " ".join(text.split()).replace("\N{MINUS SIGN}", "-")


SAID = sentences("\n".join(text for name, text in PAGES.items() if name.startswith(("index", "results/"))))
"""What the documentation says of results."""

COMMANDS = {
    "discrete-vae": cli.application,
    "python -m studies": lambda task: studies_command.app,
    "python -m reports": lambda task: reports_command.app,
    "python -m discrete_vae.conformance": lambda task: conformance_command.app,
}
"""The suite's commands, as texts call them."""


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language, also those that are indented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", text, flags=re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


def lines(text: str) -> list[str]:
    """The command lines of a text's blocks, joined where they are broken, and without comments."""
    joined = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [each for line in joined if (each := re.split(r"(?:^| )#", line)[0].strip())]


def commands(text: str) -> list[str]:
    """Those of them that are the suite's."""
    return [line for line in lines(text) if line.startswith(tuple(f"{command} " for command in COMMANDS))]


def understand(command: str, folder: Path) -> None:
    """Parse a command: every option is there and its value is taken; those of a training make a configuration.

    Images that it names are made in the folder, which is the current one.
    """
    if (path := "path/to/images") in command:
        (folder / path).mkdir(parents=True)
        for seed in range(140):
            pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / path / f"{seed}.png")
    start = next(each for each in COMMANDS if command.startswith(f"{each} "))
    words = shlex.split(command.removeprefix(start))
    task = task_of(words)
    _, bound, _ = COMMANDS[start](task).parse_args(words, exit_on_error=False, print_error=False)
    if start == "discrete-vae" and words[0] == "train" and "--help" not in words:
        values = {each.name: each.default for each in parameters(words[1], task)} | suited(bound.kwargs) | bound.kwargs
        with terminal_progress() as progress:
            own = own_images(values, None, False, torch.device("cpu"), progress)
        made = configuration(words[1], task, values, None if own is None else own.config)
        assert varied(made, bound.kwargs.get("vary", ()))


def results_of(report: str, name: str = "results.csv") -> pd.DataFrame:
    """A committed table."""
    return pd.read_csv(ROOT / "reports" / "results" / report / name)


def kept(report: str, split: str, metric: str, epoch: int | None = None) -> list[tuple[dict[str, Any], float]]:
    """One metric of a report's kept runs, each with its configuration; of an epoch where one is given."""
    rows = pd.read_csv(KEPT / report / ROWS)
    runs = json.loads((KEPT / report / PROVENANCE).read_text())["runs"]
    configs = {each["run"]: each["configuration"] for each in runs}
    rows = rows[(rows["split"] == split) & (rows["metric"] == metric)]
    rows = rows[rows["epoch"].isna() if epoch is None else rows["epoch"] == epoch]
    return [(configs[run], value) for run, value in zip(rows["run"], rows["value"], strict=True)]


def seeds_of(results: pd.DataFrame, row: str, split: str, metric: str) -> statistics.Seeds:
    """One metric of one row, by seed."""
    return Metric(split, metric).of(results, row)


def apart(results: pd.DataFrame, first: str, second: str, split: str, metric: str) -> statistics.Seeds:
    """One row less another, over the seeds of both."""
    one, other = (Metric(split, metric).of(results, row) for row in (first, second))
    return {seed: one[seed] - other[seed] for seed in one.keys() & other.keys()}


def told(values: statistics.Seeds, digits: int = 1, scale: float = 1.0) -> str:
    """``2.9 ± 1.2``."""
    return statistics.interval([scale * value for value in values.values()]).text(digits)


def mean(results: pd.DataFrame, row: str, split: str, metric: str) -> float:
    """Over seeds."""
    return statistics.interval(list(Metric(split, metric).of(results, row).values())).mean
