"""What the commands of studies are asked: which searches, how runs are trained, what a worker does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from discrete_vae.cli.arguments import Optional, real, whole
from discrete_vae.cli.where import STORAGE, Storage, TrackerName
from discrete_vae.config.config import LONGEST
from discrete_vae.data import DataConfig
from discrete_vae.places import Folder
from discrete_vae.tuning import Study
from discrete_vae.tuning.overriding import overridden
from discrete_vae.tuning.storage import GRACE
from studies.command.choice import chosen

MEMBERS = 10_000
"""Runs that a trial may have, and trials that train side by side."""
YEAR = 366 * 24 * 3600.0
"""In seconds: the longest that anything may wait."""
Only = Annotated[
    tuple[str, ...], Parameter(help="Of a study with several searches: these alone.", negative="", show_default=False)
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Asked:
    """Which study, and how its runs are trained."""

    storage: Storage = STORAGE
    only: Only = ()
    epochs: Annotated[int | None, whole(1, LONGEST), Optional] = None
    """Length of a run; by default the study's."""
    compile: Annotated[bool, Parameter(negative="")] = False
    """Let torch.compile fuse the step's kernels."""


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Work(Asked):
    """What a worker is asked for as well."""

    trials: Annotated[int | None, whole(1), Optional] = None
    """Trials of each search in the end, with those of earlier calls and other workers; by default the study's."""
    seeds: Annotated[int | None, whole(1, MEMBERS), Optional] = None
    """Runs of a trial; by default the study's."""
    timeout: Annotated[float | None, real(1, YEAR), Optional] = None
    """Seconds after which no further trial is begun."""
    batch: Annotated[int | None, whole(1, MEMBERS), Optional] = None
    """Trials that train side by side, as one population; by default one for each of --jobs, on a GPU 8."""
    jobs: Annotated[int, whole(1, 1024)] = 1
    """Processes that train the trials, each with its share of the threads. As many trials are asked for at a time, so
    what is pruned depends on which process is faster."""
    artifacts: Folder = Path("artifacts")
    """Folder for each trial's pictures, which optuna-dashboard shows."""
    log: TrackerName = None
    grace: Annotated[float, real(1, YEAR)] = GRACE
    """Seconds without a sign of life after which a worker is taken for dead, and its trial taken up by another."""

    def adapted(self, study: Study, given: Mapping[str, Any], data: DataConfig | None) -> Study:
        """A study with what was asked for in place of its own: see ``overridden``."""
        made = overridden(study, given, data, chosen(study, self.only))
        seeds = study.seeds if self.seeds is None else tuple(range(self.seeds))
        return dataclasses.replace(
            made, seeds=seeds, trials=self.trials or study.trials, epochs=self.epochs or study.epochs
        )
