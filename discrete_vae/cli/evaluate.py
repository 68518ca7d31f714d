"""The command ``evaluate``: scores of runs on hard samples."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from discrete_vae.cli.arguments import Count, Optional, real
from discrete_vae.cli.listing import find_run
from discrete_vae.cli.own_images import room
from discrete_vae.cli.where import DataFiles, Where
from discrete_vae.data import load
from discrete_vae.errors import InputError
from discrete_vae.evaluation.yardstick import evaluate as evaluate_runs
from discrete_vae.progress import terminal_progress


def evaluate(
    *run: str,
    split: Literal["train", "validation", "test"] = "test",
    samples: Count = 1000,
    memory: Annotated[float | None, real(above=0, most=1e6), Optional] = None,
    where: Where = Where(),
    files: DataFiles = DataFiles(),
) -> None:
    """Score runs on hard samples: ELBO, reconstruction, exact KL and the importance-weighted bound, in nats.

    Parameters
    ----------
    run
        Folders of runs, or their names in `list` (the beginning is enough).
    split
        Images to score on.
    samples
        Samples an image; the importance-weighted bound needs many, and some papers take 5,000.
    memory
        Memory budget in GiB; by default what one run takes, on a GPU a quarter of what is free. It does not
        change the numbers.
    """
    device = where.compute_device()
    made = list({each.folder.resolve(): each for each in (find_run(name, where.runs) for name in run)}.values())
    if not made:
        raise InputError("no run was named; `discrete-vae list` shows them")
    alike = {each.config: each for each in reversed(made)}
    if other := next((each for each in made if alike[each.config] != each), None):
        first = alike[other.config]
        raise InputError(f"{first.folder} and {other.folder} have one configuration; evaluate them one at a time")
    for each in made:
        each.check()
    if len({each.config.data for each in made}) > 1:
        raise InputError("the runs are of different data sets; evaluate them one data set at a time")
    limit = None if memory is None else int(memory * 2**30)
    with terminal_progress() as progress:
        data = load(made[0].config.data, files.folder, device, files.download, progress.counting, room(device))
        with progress.counting(f"{split} images", len(data.split(split)) * len(made)) as done:
            metrics = evaluate_runs(made, data, split, samples, device=device, advance=done, memory=limit)
    found = metrics.pivot(index="metric", columns="run", values="value")[[run.config.name for run in made]]
    kept = [
        f"; {run.config.identity} as of epoch {run.kept_epoch}, its best" for run in made if run.config.keep == "best"
    ]
    caption = f"{split}, nats{''.join(kept)}"
    table = Table("metric", *(Column(run.config.identity, justify="right") for run in made), caption=caption)
    for metric, values in found.iterrows():
        table.add_row(str(metric), *("" if np.isnan(value) else f"{value:.3f}" for value in values))
    Console().print(table)
