"""A report's context: training, evaluation, files and provenance."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from discrete_vae import data, parallel
from discrete_vae.cli.where import STORAGE
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.evaluation.population import Population
from discrete_vae.files import check_room, writable, write_atomically
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.training import Prune, never
from reports.kit import documents
from reports.kit.cache import PROVENANCE, Cache, Known, Wants
from reports.kit.kept import KEPT
from reports.kit.provenance import described, owner_of, preset_of
from reports.kit.table import Table
from reports.kit.tidy import COLUMNS

RESULTS = Path(__file__).parents[1] / "results"
"""Committed ones, a folder a report."""
WRITTEN = {".bib", ".csv", ".html", ".json", ".log", ".md", ".pdf", ".png", ".tex"}
"""Kinds of files that reports write."""


class Missing(Exception):
    """What a dry call of ``ReportContext.train`` would train; nothing if it would only evaluate."""

    def __init__(self, configs: Sequence[Config]) -> None:
        super().__init__(f"{len(configs)} runs")
        self.configs = list(configs)


@dataclass
class ReportContext:
    """One call of one report: where its runs and its files are, and what it runs on."""

    report: str
    preset: str
    out: Path
    runs: Path = Path("runs")
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    folder: Path | None = None
    """Folder of data sets that are not bundled, several in subfolders (``data.load``); by default the cache."""
    download: bool = False
    storage: str = STORAGE
    """Address of Optuna studies, for the report on them."""
    retrain: bool = False
    """Whether to train what committed tables know already."""
    dry: bool = False
    """Whether ``train`` raises ``Missing`` where it would train or evaluate."""
    known_only: bool = False
    """Whether a comparison is made of the rows that are known: it trains and evaluates nothing, ``train`` raises
    ``Missing`` instead."""
    file: str = ""
    """The file that defines the report, if it is a user's own."""
    jobs: int | None = None
    """Processes that train and evaluate; None chooses by the machine and the size, see ``parallel.train``."""
    _data: dict[DataConfig, Dataset] = field(default_factory=dict, repr=False)
    _cache: list[Cache] = field(default_factory=list, repr=False)
    asked: list[Config] = field(default_factory=list, repr=False)
    """What a dry call was asked to train and committed tables do not know, trained or not."""

    def check_out(self) -> None:
        """Check the folder, whose ``provenance.json`` names its report from the first file on.

        Raises ``InputError`` before any work if nothing can be written to the folder, or if it holds files of the kinds
        that reports write which are not of this report: they could be written over.
        """
        path = self.out / PROVENANCE
        with writable(self.out):
            if os.path.lexists(path):
                owner = owner_of(path)
                if owner == self.report and (preset := preset_of(path)) not in (None, self.preset):
                    raise InputError(
                        f"{self.out} holds this report at --preset {preset}, which would be written over; name another "
                        "folder with --out"
                    )
                if owner != self.report:
                    whose = f"report {owner}'s" if owner else "no report's"
                    raise InputError(f"{self.out} holds {PROVENANCE}, which is {whose}; name another folder with --out")
            elif foreign := sorted(each.name for each in self.out.iterdir() if each.suffix in WRITTEN):
                raise InputError(
                    f"{self.out} holds {foreign[0]!r}, which report {self.report} has not made and might write over; "
                    "name a new folder with --out"
                )
            check_room(self.out)

    @property
    def cache(self) -> Cache:
        """What the committed results, the report's own folder and tables among the runs know of runs, read once."""
        if not self._cache:
            folders = [self.out, self.runs, RESULTS / self.report, *sorted(RESULTS.glob("*")), *sorted(KEPT.glob("*"))]
            self._cache.append(Cache(dict.fromkeys(folders)))
        return self._cache[0]

    @property
    def trains(self) -> bool:
        """Whether what is missing is trained and evaluated."""
        return not (self.dry or self.known_only)

    @property
    def left_out(self) -> tuple[type[Missing], ...]:
        """``Missing`` if what is missing is left out, for ``contextlib.suppress``; otherwise nothing."""
        return (Missing,) if self.known_only else ()

    def dataset(self, config: DataConfig) -> Dataset:
        """The images, read once."""
        if config not in self._data:
            files = (self.folder, self.download) if data.has_files(config) else (None, False)
            self._data[config] = data.load(config, files[0], self.device, files[1])
        return self._data[config]

    def train(
        self,
        configs: Sequence[Config],
        prune: Prune = never,
        *,
        samples: Mapping[str, int] | None = None,
        whole: bool = False,
        epochs: Collection[int] = (),
        metrics: Collection[tuple[str, str]] = (),
        weights: bool = False,
    ) -> list[Run]:
        """The runs of all configurations, in their order, evaluated with so many ``samples`` on each split.

        A run that committed tables know is taken from there (``Known``) if they hold all that is wanted (``Wants``),
        and if its ``weights`` are not needed; the others are trained, to their end or until pruned, unless the runs'
        folder has them. Raises ``InUse`` for a run that another process trains, and ``Missing`` in a call that does not
        train (``trains``).
        """
        wants = Wants(samples or {}, whole, epochs, metrics)
        found = {} if weights or self.retrain else self.cache.find(configs, self.runs, prune, wants)
        with terminal_progress() as progress:
            for images in dict.fromkeys(config.data for config in configs):
                unknown = [config for config in configs if config.data == images and config not in found]
                if self.dry:
                    self.asked.extend(unknown)
                missing = self._untrained(unknown)
                if missing and not self.trains:
                    raise Missing(missing)
                if not missing:  # nobody's lock is in the way
                    found |= {config: Run.open(self.runs / config.name) for config in unknown}
                else:
                    made = parallel.train(
                        unknown,
                        self.runs,
                        self.dataset(images),
                        device=self.device,
                        progress=progress,
                        prune=prune,
                        jobs=self.jobs,
                    )
                    found |= {run.config: run for run in made}
        for split, count in wants.samples.items():
            unscored = [run for run in found.values() if not isinstance(run, Known) and _lacks(run, split, count)]
            if unscored and not self.trains:
                raise Missing([])
            self._evaluate(unscored, split, count)
        return [found[config] for config in configs]

    def missing(self, configs: Sequence[Config]) -> list[Config]:
        """The configurations that committed tables do not know, and that the runs' folder does not have as finished."""
        return self._untrained([each for each in configs if self.retrain or not self.cache.of(each, self.runs)])

    def _untrained(self, configs: Sequence[Config]) -> list[Config]:
        folders = {config: self.runs / config.name for config in configs}
        there = {config: Run.open(each) for config, each in folders.items() if (each / "config.json").exists()}
        ended = {config for config, run in there.items() if run.finished or run.failure is not None}
        return [config for config in configs if config not in ended]

    def _evaluate(self, runs: Sequence[Run], split: str, samples: int) -> None:
        """Compute the runs' metrics on a split into their folders."""
        for images in dict.fromkeys(run.config.data for run in runs):
            group, dataset = [run for run in runs if run.config.data == images], self.dataset(images)
            label = f"evaluation, {split}, {samples} sample{'s' * (samples > 1)}"
            with (
                terminal_progress() as progress,
                progress.counting(label, len(group) * len(dataset.split(split))) as done,
            ):
                parallel.evaluate(group, dataset, split, samples, device=self.device, advance=done, jobs=self.jobs)

    def drawn(self, names: Sequence[str], runs: Iterable[Run]) -> bool:
        """Take over this report's committed pictures, if all of the runs come from its committed tables.

        For pictures of weights, which do not travel with the tables. Says whether they were there.
        """
        source = (RESULTS / self.report).resolve()
        files = [source / f"{name}.{kind}" for name in names for kind in ("pdf", "png")]
        own = all(isinstance(run, Known) and run.source.resolve() == source for run in runs)
        if not own or not all(path.is_file() for path in files):
            return False
        for path in files:
            if source != self.out.resolve():
                write_atomically(self.out / path.name, path.read_bytes())
        return True

    def draw(self, run: Run, count: int, stream: str) -> Tensor:
        """Observations from a run's model, by a stream of noise that is the same in every call: ``[count, D]``."""
        population = Population.load([run], self.device)
        with torch.no_grad():
            drawn = population.model.draw(count, Noise([seeded(0, stream, device=self.device)], self.device))
        return drawn.squeeze(0).cpu()

    def write(self, name: str, content: str) -> None:
        """Write a text file of the report; the first one claims the folder for it."""
        if not os.path.lexists(self.out / PROVENANCE):
            claim = {"report": self.report, "preset": self.preset}
            write_atomically(self.out / PROVENANCE, json.dumps(claim, indent=2) + "\n")
        write_atomically(self.out / name, content)

    def write_results(self, results: pd.DataFrame, name: str = "results.csv") -> None:
        """Write the tidy table: one number a line."""
        results = results.assign(report=self.report, seed=results["seed"].astype("Int64"))
        order = [*COLUMNS, *(column for column in results.columns if column not in COLUMNS)]
        if "samples" not in results or results["samples"].isna().all():  # of a history, or a measurement
            order.remove("samples")
        else:
            results = results.assign(samples=results["samples"].astype("Int64"))
        self.write(name, to_csv(results.reindex(columns=order)))

    def write_provenance(self, runs: Sequence[Run], own_seconds: float = 0.0, /, **settings: object) -> None:
        """Write the provenance of the numbers, as the runs' folders have it; ``own_seconds``: of other training."""
        how = " --known" * self.known_only
        told = {
            "report": self.report,
            "preset": self.preset,
            "command": f"python -m reports {Path(self.file).name or self.report} --preset {self.preset}{how}",
            **({"known_only": True} if self.known_only else {}),
            "settings": dict(settings),
            **described(runs, (self.out, *committed(self.report), *KEPT.glob("*"))),
        }
        told["training_seconds"] = round(told["training_seconds"] + own_seconds, 1)
        self.write(PROVENANCE, json.dumps(told, indent=2) + "\n")

    def write_text(
        self,
        title: str,
        text: str | Path,
        tables: Sequence[Table],
        values: Mapping[str, Any],
        figures: Sequence[str] = (),
        cited: Iterable[tuple[str, object]] = (),
        papers: str = "",
    ) -> None:
        """Write the report's documents: see ``reports.kit.documents.write``."""
        documents.write(self, title, text, tables, values, figures, cited, papers)


def committed(report: str) -> list[Path]:
    """The folders of committed results that a report has made, with any of its presets."""
    return sorted(path.parent for path in RESULTS.glob(f"*/{PROVENANCE}") if owner_of(path) == report)


def _lacks(run: Run, split: str, samples: int) -> bool:
    return run.finished and evaluation.stored(run, split, samples).empty


Part = Callable[[ReportContext], object]
"""Trains and evaluates what is missing of a part of a report, in most of them a row."""


def strategies(configs: Iterable[Config]) -> list[tuple[str, object]]:
    """The strategies of these runs, with their options."""
    return [(config.strategy, config.options) for config in configs]
