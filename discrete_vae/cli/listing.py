"""The command ``list``: a table of runs; and the run that a name stands for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

import discrete_vae.runs.run
from discrete_vae.cli.console import complain
from discrete_vae.cli.where import RUNS, RunsFolder
from discrete_vae.config import Config
from discrete_vae.errors import InputError, nearest
from discrete_vae.places import shown
from discrete_vae.runs.run import Run


def list_runs(*, runs: RunsFolder = RUNS) -> int:
    """Show all runs, with their progress and validation scores.

    Damaged runs are named on standard error, each in a line, and the exit code is 1.
    """
    found, damaged = discrete_vae.runs.run.survey(runs)
    if not found and not damaged:
        if runs != RUNS and not runs.is_dir():
            raise InputError(f"there is no folder {runs}; name the one that was given to `train`")
        if runs != RUNS and any(runs.iterdir()):
            raise InputError(f"there is no run in {runs}; name the folder that was given to `train`")
        print(f"no runs in {runs}; `discrete-vae train --help` says how to make one")
        return 0
    damaged |= show_runs(found)
    for error in damaged.values():
        complain(f"error: {error}")
    return 1 if damaged else 0


def find_run(name: str, runs: Path) -> Run:
    """The run of a folder, or the one below ``runs`` whose name or identity begins with ``name``.

    Raises ``InputError`` if no run or several match, and for a damaged run; other damaged runs do not matter.
    """
    if not name.strip():
        raise InputError(f"{name!r} is no name of a run; `discrete-vae list` shows them")
    if os.path.lexists(os.path.join(name, "config.json")):
        return Run.open(Path(name))
    found, damaged = discrete_vae.runs.run.survey(runs)
    matches = {run.folder.name: run for run in found if run.config.identity.startswith(name)}
    matches |= {run.folder.name: run for run in found if run.folder.name.startswith(name)}
    broken = [folder for folder in damaged if name in (folder[: len(name)], folder.rpartition("-")[2][: len(name)])]
    if not found and not damaged:
        raise InputError(f"no run {shown(name)}: {runs} holds none; train one first")
    if name in damaged or (broken and not matches):
        raise damaged[name if name in damaged else broken[0]]
    if not matches:
        raise nearest(name[:200], [run.folder.name for run in found] + list(damaged), "run")
    if name not in matches and len(matches) + len(broken) > 1:
        raise InputError(f"run {name!r} could be {', '.join([*matches, *broken])}; give more of its name")
    return matches.get(name) or next(iter(matches.values()))


SHOWN = {
    "elbo": "ELBO",
    "reconstruction_hard": "reconstr.",
    "kl": "KL",
    "bits_per_dimension": "bits/dim",
    "accuracy": "accuracy",
    "wasserstein": "distance",
    "valid": "valid",
    "modes": "modes",
}
"""Metrics in the list of runs, and their heads."""
LONGEST = 10_000
"""Characters of a line of the table at the most, where no terminal sets a limit."""
CAPTION = "validation, nats; hard samples"
DISTANCE = "; distances are those of the run's own critic"
SHARES = ("accuracy", "valid")
"""Metrics from 0 to 1."""


def _shown(run: Run) -> tuple[dict[str, float], str]:
    """A run's last validation metrics (its best epoch's, if it keeps that), none before the first; and its status."""
    status = run.status
    if run.finished and run.last_epoch < run.config.epochs:
        status += f" at epoch {run.last_epoch}"
    if run.config.keep == "last":
        return run.validation(max(run.history()["epoch"], default=0)), status
    epoch = run.kept_epoch
    return run.validation(epoch), f"{status}, kept: epoch {epoch}" if epoch else status


def _kind(config: Config) -> tuple[str, str, bool]:
    """What decides which options have an effect, but for the options themselves."""
    return config.strategy, config.task, config.data.known


def show_runs(runs: Sequence[Run]) -> dict[str, InputError]:
    """Show a table of runs; gives the reasons of those whose files cannot be read, by their folders' names."""
    found: dict[Run, tuple[dict[str, float], str]] = {}
    damaged: dict[str, InputError] = {}
    for run in runs:
        try:
            run.check()
            found[run] = _shown(run)
        except InputError as error:
            damaged[run.folder.name] = error
    shown = {name: head for name, head in SHOWN.items() if any(name in each for each, _ in found.values())}
    numbers = [Column(head, justify="right", no_wrap=True) for head in ("seed", *shown.values())]
    words = Column("status"), Column("strategy, settings", overflow="fold")
    table = Table(
        Column("run", no_wrap=True),
        *numbers,
        *words,
        box=SIMPLE_HEAD,
        pad_edge=False,
        caption=CAPTION + DISTANCE * ("wasserstein" in shown),
    )
    told = dict[tuple[str, str, bool], set[str]]()  # a default too, beside a run of its kind with another value
    for run in found:
        told.setdefault(_kind(run.config), set()).update(run.config.changed)
    for run, (values, status) in found.items():
        metrics = [f"{values[name]:.{4 if name in SHARES else 2}f}" if name in values else "" for name in shown]
        config = run.config
        settings = config.settings(told[_kind(config)])
        table.add_row(config.identity, str(config.seed), *metrics, status, f"{config.strategy} {settings}")
    if found:
        console = Console()
        if not console.is_terminal:  # a file, or another program: whole lines
            room = console.options.update(max_width=LONGEST)
            console.width = max(console.width, console.measure(table, options=room).maximum)
        console.print(table)
    return damaged
