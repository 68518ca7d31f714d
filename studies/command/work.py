"""Commands that train the trials of a study: run, and worker."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from discrete_vae import data, parallel
from discrete_vae.cli.options import suited, take_common
from discrete_vae.cli.own_images import own_images, room
from discrete_vae.cli.where import DataFiles, Where
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.progress import TerminalProgress, terminal_progress
from discrete_vae.trackers import kind_of
from discrete_vae.training import Interrupted, capacity
from discrete_vae.training.interruption import stoppable
from discrete_vae.tuning import Study, Worker, done, open_storage, open_study, ranked
from discrete_vae.tuning.overriding import common_value
from discrete_vae.tuning.storage import reached
from studies.command.choice import named
from studies.command.options import Work
from studies.command.show import show_search
from studies.pictures import Pictures


def run_study(
    name: str, *, work: Work = Work(), where: Where = Where(), files: DataFiles = DataFiles(), **given: Any
) -> None:
    """Run a study here, from where it stands, until it has all of its trials.

    Ctrl-C stops it; the same command goes on in the middle of the trial.

    Options of network, data and optimisation take the place of what the study fixes, such as `--dataset PATH
    --backbone conv --hidden 128`. That is another study, with the changes in its name (`gumbel-softmax+hidden=128`),
    by which `show`, `best`, `export` and `clean` know it.

    Parameters
    ----------
    name
        A study that `list` shows, or a file of your own, PATH.py, that defines STUDY.
    """
    _work(name, work, where, files, given)


def worker(
    name: str, *, work: Work = Work(), where: Where = Where(), files: DataFiles = DataFiles(), **given: Any
) -> None:
    """Work on a study that other workers, here or elsewhere, work on too.

    It waits for the others' trials, takes over those of a worker that dies, and ends when the study has all trials.
    Every worker of a study with other data or another network gets the same options, except the place of the data.

    Parameters
    ----------
    name
        A study that `list` shows, or a file of your own, PATH.py, that defines STUDY.
    """
    _work(name, work, where, files, given)


for _command in (run_study, worker):
    take_common(_command)


def _own_data(
    study: Study, given: Mapping[str, Any], files: DataFiles, device: torch.device, progress: TerminalProgress
) -> Dataset | None:
    """The own images that ``--dataset PATH`` names, read as the other options and the study say; None without one."""
    if "dataset" not in given:
        return None
    values = vars(DataConfig()) | {"binarisation": common_value(study, "binarisation") or DataConfig.binarisation}
    return own_images(values | dict(given), files.folder, files.download, device, progress)


def _work(name: str, work: Work, where: Where, files: DataFiles, asked: Mapping[str, Any]) -> None:
    """Train until the study has what was asked for, then show it."""
    plain, tracker, device = named(name), kind_of(work.log), where.compute_device()
    given = {option: value for option, value in asked.items() if value is not None}
    given = suited(given) | given
    with terminal_progress() as progress:
        own_data = _own_data(plain, given, files, device, progress)
    study = work.adapted(plain, given, None if own_data is None else own_data.config)
    study.check()
    parallel.check(work.jobs, [search.base for search in study.searches.values()])
    batch = work.batch or (8 if device.type == "cuda" else work.jobs)
    for search in study.searches.values():
        if own_data is None:
            data.check_files(search.base.data, files.folder, files.download)
        capacity.require_training(search.base, len(study.seeds) * batch, device)
    storage = open_storage(work.storage, work.grace)
    found = {part: (open_study(study, part, storage), search) for part, search in study.names().items()}
    for each, _ in found.values():
        ranked(each)  # what cannot be read is found before anything is trained
    end = None if work.timeout is None else time.monotonic() + work.timeout
    with stoppable(), terminal_progress() as progress:
        for part, (each, search) in found.items():
            images = own_data or data.load(
                search.base.data, files.folder, device, files.download, progress.counting, room(device)
            )
            member = Worker(
                runs=where.runs,
                data=images,
                device=device,
                batch=batch,
                compiled=work.compile,
                progress=progress,
                saved=Pictures(work.artifacts, images),
                train=partial(parallel.train, jobs=work.jobs, together=len(study.seeds), log=tracker),
            )
            left = None if end is None else end - time.monotonic()
            try:
                with reached(part):
                    member.work(each, study, search, study.trials, left)
            except (Interrupted, KeyboardInterrupt) as stopped:
                raise Interrupted(
                    f"{part}: stopped; {len(done(each.get_trials(deepcopy=False)))} of {study.trials} trials have "
                    "ended, and the same command goes on in the middle of the next"
                ) from stopped
    for each, _ in found.values():
        show_search(each, 5)
