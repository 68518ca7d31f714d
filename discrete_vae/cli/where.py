"""Options that commands share: where to compute, where the runs, the data's files and the studies are."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import Parameter

from discrete_vae.arithmetic import use_arithmetic
from discrete_vae.cli.arguments import whole
from discrete_vae.errors import InputError, check_range
from discrete_vae.places import Folder, Place
from discrete_vae.secrets import VARIABLE
from discrete_vae.trackers import TRACKERS

RUNS = Path("runs")
RunsFolder = Annotated[Folder, Parameter(help="Folder that holds the runs' folders.")]
Device = Annotated[str, Parameter(help="cpu, cuda, cuda:1 ...; auto takes CUDA where there is one.")]
Threads = Annotated[int | None, whole(1, 1024), Parameter(help="Processor threads; by default torch's choice.")]
Jobs = Annotated[
    int | None,
    whole(1, 1024),
    Parameter(
        help="Processes that train and evaluate, each with its share of the threads; a population is cut where there "
        "are more processes than populations. By default 1 on a GPU or with less than 4 threads, otherwise half of the "
        "threads, at most one process a run and one for 10,000 steps.",
        show_default=False,
    ),
]
TrackerName = Annotated[
    str | None,
    Parameter(
        help=f"Tracker that the runs' histories also go to: {', '.join(TRACKERS)}. It needs the extra of its name. "
        "If it fails, training goes on."
    ),
]
STORAGE = "studies.sqlite"
Storage = Annotated[
    str,
    Parameter(
        help="Where studies are: an SQLite file, postgresql+psycopg://user@host/database, or grpc://host:port. A "
        "password is best kept in ~/.pgpass or PGPASSWORD.",
        env_var=VARIABLE,
    ),
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Where:
    """Where to compute, and where the runs are."""

    runs: RunsFolder = RUNS
    device: Device = "auto"
    threads: Threads = None

    def compute_device(self) -> torch.device:
        """The device, after setting the number of threads. Raises ``InputError`` if it is not there."""
        return choose_device(self.device, self.threads)


FOLDER_HELP = """Folder of mnist's or fashion-mnist's IDX files, or of the files of omniglot, moses or text, or one that
has these folders under the data sets' names; for a run of own images that were moved, their new path (of the folder or
file itself, or of the folder that holds it under its old name)."""


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class DataFiles:
    """Where the files are of data sets that are not bundled."""

    folder: Annotated[Place | None, Parameter(help=FOLDER_HELP)] = None
    download: Annotated[bool, Parameter(help="Download mnist or fashion-mnist if not there.", negative="")] = False


def choose_device(name: str, threads: int | None) -> torch.device:
    """``auto`` or a device's name, after setting the number of threads if one is given.

    Raises ``InputError`` for a device that torch does not know or cannot find, and for less than one thread.
    """
    if threads is not None:
        check_range("threads", threads, 1, 1024)
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device {name!r} is unknown; give cpu, cuda or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported; give cpu, cuda or auto")
    if device.type == "cpu" and device.index:
        raise InputError(f"device {name!r} does not exist; the only CPU device is cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices found); use --device cpu"
        )
    if device.type == "cuda":
        # With this, a captured step equals a plain one bit for bit. Without it, 14 of 251 such tests on an H200 with 15
        # processes at once differed by rounding; with it, 10 of 224 did where 14 processes shared the GPU by CUDA's
        # Multi-Process Service. It has to be set before the first use of cuBLAS.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        use_arithmetic()
    return device
