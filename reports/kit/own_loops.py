"""Runs of a report's own training loop, which are no ``Config``: kept by the runs' folder and by committed results."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch

from discrete_vae.errors import InputError
from discrete_vae.files import check_room
from discrete_vae.parallel.child import Line
from discrete_vae.parallel.pool import spread
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import environment
from discrete_vae.runs.spreadsheets import read_csv
from discrete_vae.strategies import STRATEGIES, Strategy
from reports.benchmarks.measurements import keep, path_of
from reports.kit.cache import PROVENANCE, provenance
from reports.kit.context import RESULTS, ReportContext
from reports.kit.provenance import ENVIRONMENT
from reports.kit.results import Metric
from reports.kit.tidy import COLUMNS

IDENTITY = ["strategy", "parameters", "seed"]
"""The columns that decide the numbers of a run; the label of its row does not."""
NUMBERS = ["split", "metric", "step", "value"]
Made = tuple[pd.DataFrame, dict[str, Any]]
"""A run's numbers, and the environment that it was made in."""
PROCESSOR = torch.device("cpu")
SECONDS = "training_seconds"
"""CPU seconds without validation, the last number of a run. The metric is a measurement: it differs from run to run."""


@dataclass(frozen=True)
class StrategyRow:
    """A strategy as other people's code makes it: ``STRATEGIES[strategy](**options)``."""

    label: str
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> Strategy:
        """A new strategy."""
        return STRATEGIES[self.strategy](**self.options)

    @property
    def cited(self) -> tuple[str, object]:
        """Its strategy and options, for citations."""
        return self.strategy, STRATEGIES[self.strategy].Options()


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run, one a line."""

    lines: list[tuple[str, str, int, float]] = field(default_factory=list)
    """Split, metric, step, value."""

    def add(self, split: str, step: int, **metrics: float) -> None:
        """More numbers of a split after a step."""
        self.lines.extend((split, metric, step, float(value)) for metric, value in metrics.items())


@dataclass(frozen=True)
class OwnRun:
    """A run by what decides its numbers."""

    row: str
    strategy: str
    """Its name in ``STRATEGIES``, or another word where there is none."""
    settings: Mapping[str, Any]
    """All else that decides its numbers, as JSON knows it."""
    seed: int
    take: Callable[[], Numbers]
    """Trains it."""

    @property
    def identity(self) -> tuple[str, str, int]:
        """The run's ``IDENTITY`` in a table."""
        return self.strategy, json.dumps(self.settings, sort_keys=True), self.seed


def collected(runs: Sequence[OwnRun], bench: ReportContext) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Tidy rows of the runs, and the environments that they were made in; trains what is not known.

    A run is known if the tables in the report's folder or the committed ones have it, or the runs' folder. Each run is
    kept when it ends, so that a call that was cut off goes on after the last of them. With ``bench.jobs`` so many
    processes train at once. Raises ``InputError`` for a table that cannot be read.
    """
    known, environments = _known(bench)
    missing = [run for run in runs if run.identity not in known]
    with terminal_progress() as progress, progress.counting(f"{len(missing)} runs", len(missing)) as done:
        for run, (numbers, place) in zip(missing, _made(missing, bench, done), strict=True):
            known[run.identity] = numbers
            environments += [place] * (place not in environments)
    found = []
    for run in runs:
        told: dict[str, Any] = dict(zip(IDENTITY, run.identity, strict=True))
        found.append(known[run.identity].assign(**told, report=bench.report, row=run.row))
    return pd.concat(found, ignore_index=True).reindex(columns=[*COLUMNS, "step"]), environments


def seconds_of(results: pd.DataFrame) -> float:
    """CPU seconds that the runs were trained for."""
    return float(results.loc[results["metric"] == SECONDS, "value"].sum())


def last(results: pd.DataFrame) -> pd.DataFrame:
    """Each run's numbers after its last step that has the metric."""
    return results.loc[
        results.groupby([*IDENTITY, "row", "split", "metric"], sort=False)["step"].idxmax().sort_values()
    ]


def means(results: pd.DataFrame, metric: Metric, row: str) -> pd.Series:
    """A metric of a row by step, the mean over seeds, as it is shown."""
    here = (results["row"] == row) & (results["split"] == metric.split) & (results["metric"] == metric.metric)
    return metric.offset + metric.scale * results[here].groupby("step")["value"].mean()


@dataclass(frozen=True)
class _Task:
    """A run as a task, also of another process. It is stopped at once: a run is kept as a whole or not at all."""

    report: str
    folder: Path
    run: OwnRun
    saves: ClassVar[bool] = False

    @property
    def runs(self) -> list[Path]:
        """What an error calls it."""
        return [Path(f"{self.run.row} of seed {self.run.seed}")]

    def __call__(self, data: object, device: torch.device, line: Line) -> Made:
        return self.kept()

    def kept(self) -> Made:
        """Its numbers and environment, by the runs' folder; it trains on the CPU, whatever the device.

        Raises ``InputError`` for a file that holds something else.
        """

        def take() -> dict[str, Any]:
            return {"numbers": self.run.take().lines, "environment": environment(PROCESSOR)}

        asked = {"report": self.report, **dict(zip(IDENTITY, self.run.identity, strict=True))}
        made = keep(self.folder, asked, take, "numbers", "environment")
        numbers, place = made["numbers"], made["environment"]
        if not (isinstance(place, dict) and isinstance(numbers, list) and numbers and all(map(_is_line, numbers))):
            path = path_of(self.folder, asked)
            raise InputError(f"{path} does not hold the numbers of {self.run.row}; delete it to train again")
        return pd.DataFrame(numbers, columns=NUMBERS), {name: place.get(name) for name in ENVIRONMENT}


def _made(runs: Sequence[OwnRun], bench: ReportContext, done: Callable[[int], None]) -> list[Made]:
    """Numbers and environment of each run, by as many processes as ``bench.jobs``. ``done`` is told of each that ends.

    A run has one thread, in whatever process it is: with more its sums round differently.
    """
    tasks = [_Task(bench.report, bench.runs / "own", run) for run in runs]
    jobs, made = min(bench.jobs or 1, len(runs)), dict[int, Made]()

    def hear(task: int, kind: str, value: Any) -> None:
        if kind == "done":
            made[task] = value
            done(1)
        elif kind == "warning":
            warnings.warn(value, stacklevel=2)

    if runs:
        check_room(bench.runs / "own")
    if jobs > 1:
        spread(tasks, None, PROCESSOR, jobs, 1, hear)
    else:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for number, task in enumerate(tasks):
                hear(number, "done", task.kept())
        finally:
            torch.set_num_threads(before)
    return [made[number] for number in range(len(tasks))]


def _is_line(line: object) -> bool:
    """Whether it is a line of ``Numbers``."""
    if not isinstance(line, list | tuple) or len(line) != len(NUMBERS):
        return False
    return [type(each) for each in line] in ([str, str, int, float], [str, str, int, int])


def _known(bench: ReportContext) -> tuple[dict[tuple[str, str, int], pd.DataFrame], list[dict[str, Any]]]:
    """The runs in tables, by identity, and in which environments they were made."""
    runs: dict[tuple[str, str, int], pd.DataFrame] = {}
    environments = list[dict[str, Any]]()
    for folder in dict.fromkeys((bench.out, RESULTS / bench.report)):
        path = folder / "results.csv"
        if bench.retrain or not path.is_file() or not (folder / PROVENANCE).is_file():
            continue
        try:
            told = provenance(folder)
            if "settings" not in told:  # it was being written when a call ended: the runs' folder has all
                continue
            table = read_csv(path)
            table["value"] = table["value"].astype(float)
            for (strategy, parameters, seed), own in table.groupby(IDENTITY, sort=False):
                if own["metric"].iloc[-1] == SECONDS:  # else the table was cut off in this run
                    runs.setdefault((str(strategy), str(parameters), int(str(seed))), own[NUMBERS])
            places = told["settings"]["measured_on"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path} cannot be read ({reason}); restore it, or delete its folder") from error
        environments += [each for each in places if each not in environments]
    return runs, environments
