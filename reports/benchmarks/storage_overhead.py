"""What a study costs beside its training: asking, sampling, signs of life, reporting and telling, on a real storage."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import torch
from optuna.study import Study as OptunaStudy
from sqlalchemy import make_url

from discrete_vae import data
from discrete_vae.config import Config
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import HISTORY, Run
from discrete_vae.training import Prune
from discrete_vae.tuning import Study, Worker, done, open_storage, open_study
from discrete_vae.tuning.storage import backend
from reports.benchmarks import load
from reports.benchmarks.load import Load
from reports.benchmarks.marks import Measured, cells, mark, note, tell_disturbed
from reports.benchmarks.measurements import by_row, environment, keep, written
from reports.kit.context import ReportContext
from reports.kit.declared import counted
from reports.kit.report import Report
from reports.kit.table import Cell, Column, Number, Table
from studies.gumbel_softmax import STUDY

REAL = "real trial"
ROOM = "storage-overhead"
"""The folder among the runs that keeps what was measured."""
REST = 1.0
"""Seconds before and after a measurement in which others' load is looked at."""


@dataclass(frozen=True)
class Preset:
    """How many trials by how many workers at once, and what a real trial is."""

    workers: Sequence[int] = (1, 4)
    trials: int = 400
    """Trials with instant objectives, for each number of workers."""
    study: Study = STUDY
    """The study whose space, epochs and seeds all of them have."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return (
            f"{self.trials} instant trials by {' and '.join(map(str, self.workers))} workers on --storage, beside a "
            f"real one of {self.length}"
        )

    @property
    def length(self) -> str:
        """Of the real trial."""
        return f"{counted(self.study.epochs, 'epoch')} and {counted(len(self.study.seeds), 'seed')}"


PRESETS = {
    "quick": Preset((1, 2), 30, dataclasses.replace(STUDY, epochs=1, seeds=(0,))),
    "full": Preset(),
}


def instant(configs: Sequence[Config], runs: Path, data: data.Dataset, *, prune: Prune, **settings: object) -> None:
    """In place of ``training.train``: every run's validation ELBO is minus its learning rate, after every epoch."""
    members = [Run.create(runs, config) for config in configs]
    for epoch in range(1, max(config.epochs for config in configs) + 1):
        metrics = {run: {"elbo": -run.config.learning_rate.initial} for run in members}
        left = set(prune(epoch, metrics))
        for run in members:
            if run in left or epoch == run.config.epochs:
                rows = [(epoch, "validation", name, value) for name, value in metrics[run].items()]
                run.write_history(pd.DataFrame(rows, columns=HISTORY))
        members = [run for run in members if run not in left]
        if not members:
            return


def work(url: str, study: Study, runs: Path, trials: int, ready: Barrier) -> None:
    """A worker in a process of its own, which begins when all are there."""
    torch.set_num_threads(1)
    (name,) = study.names()
    (search,) = study.searches.values()
    found = open_study(study, name, open_storage(url))
    images = data.load(search.base.data)
    ready.wait()
    Worker(runs, images, train=instant).work(found, study, search, trials)


@contextlib.contextmanager
def temporary(url: str, preset: Preset) -> Iterator[tuple[Study, OptunaStudy]]:
    """The preset's study under a name of its own; it is removed afterwards."""
    study = dataclasses.replace(preset.study, name=f"overhead-{uuid.uuid4().hex[:8]}")
    storage = open_storage(url)
    found = open_study(study, study.name, storage)
    try:
        yield study, found
    finally:
        optuna.delete_study(study_name=study.name, storage=storage)


def rate(url: str, preset: Preset, workers: int, runs: Path) -> float:
    """Instant trials a second, from the first one's start to the last one's end."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers)
    with temporary(url, preset) as (study, found):
        asked = (url, study, runs / study.name, preset.trials, ready)
        processes = [context.Process(target=work, args=asked) for _ in range(workers)]
        try:
            for process in processes:
                process.start()
            for process in processes:
                process.join()
        finally:
            for process in processes:
                process.kill()
        if any(process.exitcode for process in processes):
            raise RuntimeError("a worker ended badly; see above")
        trials = done(found.get_trials(deepcopy=False))
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    return len(trials) / (max(ends) - min(starts)).total_seconds()


def real(bench: ReportContext, preset: Preset) -> float:
    """Seconds of a real trial, of one worker, in the same storage."""
    (search,) = preset.study.searches.values()
    with temporary(bench.storage, preset) as (study, found), terminal_progress() as progress:
        images = bench.dataset(search.base.data)
        Worker(bench.runs / study.name, images, bench.device, progress=progress).work(found, study, search, 1)
        (trial,) = done(found.get_trials(deepcopy=False))
    assert trial.duration is not None
    return trial.duration.total_seconds()


def kind(url: str) -> str:
    """The storage's kind and, of a server, its version."""
    behind: Any = backend(open_storage(url))
    if not hasattr(behind, "engine"):
        return "gRPC proxy"
    with behind.engine.connect() as connection:
        version = ".".join(map(str, connection.dialect.server_version_info or ()))
    return {"postgresql": "PostgreSQL", "sqlite": "SQLite"}.get(make_url(str(behind.url)).get_backend_name(), "") + (
        f" {version}" if version else ""
    )


def quiet(measure: Callable[[], float]) -> tuple[float, dict[str, float]]:
    """A measurement between two rests, repeated if others took too much of the machine in these; and what they took.

    During the measurement others cannot be told from the storage's server.
    """

    def once() -> tuple[float, Load]:
        before = load.resting(REST)
        value = measure()
        return value, max(before, load.resting(REST), key=lambda each: each.score)

    value, beside, tries = load.least_disturbed(once)
    return value, {"other_load": beside.others, "disturbed": float(beside.disturbed), "tries": tries}


def measure(preset: Preset, bench: ReportContext) -> dict[str, Any]:
    """Seconds of a real trial and rates of instant ones: those of the runs' folder, or measured now."""
    storage = kind(bench.storage)
    (search,) = preset.study.searches.values()
    asked = {
        "storage": storage,
        "workers": list(preset.workers),
        "trials": preset.trials,
        "study": preset.study.definition(search),
        "device": str(bench.device),
    }

    def take() -> dict[str, Any]:
        known = environment(bench.device)
        made: dict[str, Any] = {"storage": storage, "machine": known.pop("machine"), "environment": known}
        made["seconds"], made["load"] = quiet(lambda: real(bench, preset))
        made["rates"], made["loads"] = {}, {}
        count = preset.trials * len(preset.workers)
        with terminal_progress() as progress, progress.counting("instant trials", count) as advance:
            for workers in preset.workers:
                once = partial(rate, bench.storage, preset, workers, bench.runs)
                made["rates"][str(workers)], made["loads"][str(workers)] = quiet(once)
                advance(preset.trials)
        return made

    return keep(bench.runs / ROOM, asked, take, "machine", "environment", "seconds", "rates")


def make(preset: Preset, bench: ReportContext) -> None:
    """Measure what is missing, then write table and text."""
    measured = measure(preset, bench)
    found = {REAL: {"seconds": measured["seconds"], **measured.get("load", {})}}
    for workers, value in measured["rates"].items():
        seconds = int(workers) / value
        own = {"trials_per_second": value, "seconds": seconds, "share": seconds / measured["seconds"]}
        # Older measurements do not tell what went on beside.
        found[f"{workers} workers"] = own | measured.get("loads", {}).get(workers, {})
    tell_disturbed(found, bench.runs / ROOM)
    lines = [{"row": row, "metric": name, "value": value} for row, own in found.items() for name, value in own.items()]
    bench.write_results(pd.DataFrame(lines).assign(seed=None))
    bench.write_provenance([], measured=measured, trials=preset.trials, epochs=preset.study.epochs)
    show(preset, bench)


def show(preset: Preset, bench: ReportContext) -> None:
    """Write table and documents of the results that the folder has."""
    results, provenance = written(bench)
    made = overhead(preset, by_row(results), provenance["settings"]["measured"])
    text = Path(__file__).with_suffix(".md")
    bench.write_text("What a study's storage costs", text, [made], {}, papers="Akiba et al. 2019")


def overhead(preset: Preset, found: Measured, measured: Mapping[str, Any]) -> Table:
    """Trials a second, alone and as a share of a real trial."""
    body: list[list[Cell]] = []
    for workers in measured["rates"]:
        own = found[f"{workers} workers"]
        alone = Number(1000 * own["seconds"], digits=0), Number(100 * own["share"])
        body.append([mark(workers, own), *cells(own, "trials_per_second", digits=1), *alone])
    caption = (
        f"{preset.trials} instant trials of {STUDY.name} by so many workers at once, on {measured['storage']} "
        f"({measured['machine']}). A real trial of {preset.length} took {measured['seconds']:.0f} s."
    )
    heads = [Column(each) for each in ("workers", "trials a second", "ms a trial and worker", "% of a real trial")]
    return Table("overhead", caption + note(found.values()), heads, body)


REPORT = Report("storage-overhead", "what a study's storage costs, beside training", PRESETS, make, storage=True)
