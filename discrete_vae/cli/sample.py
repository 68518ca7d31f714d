"""The command ``sample``: draws from a run's model, as images or lines."""

from __future__ import annotations

import io

import torch

from discrete_vae.cli.arguments import Count, Natural
from discrete_vae.cli.console import announce
from discrete_vae.cli.listing import find_run
from discrete_vae.cli.where import Where
from discrete_vae.evaluation.grids import grid
from discrete_vae.evaluation.population import Population
from discrete_vae.files import write_output
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.memory import require
from discrete_vae.places import File

PNG = b"\x89PNG"
"""How an image's file begins."""


def sample(
    run: str,
    *,
    out: File | None = None,
    rows: Count = 8,
    columns: Count = 8,
    seed: Natural = 0,
    where: Where = Where(),
) -> None:
    """Draw from a VAE's prior or a generator's noise, and write images as one grid, strings and points as lines.

    Parameters
    ----------
    run
        A run's folder, or its name in `list` (the beginning is enough).
    out
        File to write; it replaces an older one of the same kind. By default samples.png in the run's
        folder, or samples.txt for data that are not images.
    rows
        Rows of the grid.
    columns
        Columns of the grid.
    seed
        Seed of the draw.
    """
    device = where.compute_device()
    found = find_run(run, where.runs)
    data = found.config.data
    require(8 * rows * columns * data.domain.size, f"{rows:,} rows of {columns:,} samples", device)
    population = Population.load([found], device)
    noise = Noise([seeded(seed, "prior", device=device)], device)
    with torch.no_grad():
        drawn = population.model.draw(rows * columns, noise).squeeze(0).cpu()
    if data.judge is not None:
        out = out or found.folder / "samples.txt"
        write_output(out, "\n".join(data.judge.write(drawn)) + "\n")
    else:
        out = out or found.folder / "samples.png"
        png = io.BytesIO()
        grid(drawn, rows, columns, data).save(png, format="PNG")
        write_output(out, png.getvalue(), PNG)
    announce(out, str(out))
