"""Own images as commands take them: ``--dataset PATH`` in place of a known name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from discrete_vae.data import KNOWN, Dataset, read
from discrete_vae.data.raw import Require
from discrete_vae.errors import InputError
from discrete_vae.memory import require
from discrete_vae.progress import TerminalProgress

READ = ("binarisation", "binarisation_seed", "split_seed", "validation", "test", "image_size")
"""The options of a command that say how own images are read."""


def own_images(
    given: Mapping[str, Any], folder: Path | None, download: bool, device: torch.device, progress: TerminalProgress
) -> Dataset | None:
    """The data set at the path that ``dataset`` names; None for a known name, which takes precedence.

    Raises ``InputError`` as ``read`` does, and for ``folder`` and ``download``, which belong to data sets by name.
    """
    if (path := given["dataset"]) in KNOWN:
        return None
    if not path.strip():
        raise InputError(f"dataset {path!r} is no name and no path; give one (is a variable unset?)")
    if folder is not None or download:
        given_too = "download" if folder is None else f"folder {folder}"
        raise InputError(f"{given_too} has no effect with the dataset at {path}; leave it off")
    options = {name: given[name] for name in READ}
    return read(path, **options, device=device, progress=progress.counting, require=room(device))


def room(device: torch.device) -> Require:
    """Require memory on the CPU, which reads the images, and on the device, which holds them."""

    def both(size: int, what: str) -> None:
        for each in {torch.device("cpu"), device}:
            require(size, what, each)

    return both
