"""What a report is, and the bench that it works at: training, evaluation, files and provenance."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from rich.console import Console
from torch import Tensor

from discrete_vae import data, parallel
from discrete_vae.citations import bibliography
from discrete_vae.cli.where import STORAGE
from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.evaluation.population import Population
from discrete_vae.files import read_text, writable, write_atomically
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.training import Prune, never
from reports import latex
from reports.tables import COLUMNS

PROVENANCE = "provenance.json"
WRITTEN = {".bib", ".csv", ".json", ".log", ".md", ".pdf", ".png", ".tex"}
"""Kinds of files that reports write."""


@dataclass(frozen=True)
class Report:
    """A row of ``REPORTS``: ``make(preset, bench)`` writes the report's files."""

    name: str
    summary: str
    presets: Mapping[str, Any]
    make: Callable[[Any, ReportContext], None]
    data: Callable[[Any], Iterable[DataConfig]] = lambda preset: ()
    """The data of a preset that are not bundled, and maybe others."""
    storage: bool = False
    """Whether it reads a storage of Optuna studies."""


@dataclass
class ReportContext:
    """One call of one report: where its runs and its files are, and what it runs on."""

    report: str
    preset: str
    out: Path
    runs: Path = Path("runs")
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    folder: Path | None = None
    """Of IDX files, for data sets that are not bundled; by default the cache of downloads."""
    download: bool = False
    storage: str = STORAGE
    """Of Optuna studies, for the report on them."""
    jobs: int | None = None
    """Processes that train and evaluate; None chooses by the machine and the size, see ``parallel.train``."""
    _data: dict[DataConfig, Dataset] = field(default_factory=dict, repr=False)

    def check_out(self) -> None:
        """Look at the folder, whose ``provenance.json`` says from the first file on which report it is of.

        Raises ``InputError`` before any work if nothing can be written to the folder, or if it holds files of the kinds
        that reports write which are not of this report: they could be written over.
        """
        path = self.out / PROVENANCE
        with writable(self.out):
            if os.path.lexists(path):
                owner = _owner(path)
                if owner != self.report:
                    whose = f"report {owner}'s" if owner else "no report's"
                    raise InputError(f"{self.out} holds {PROVENANCE}, which is {whose}; name another folder with --out")
            elif foreign := sorted(each.name for each in self.out.iterdir() if each.suffix in WRITTEN):
                raise InputError(
                    f"{self.out} holds {foreign[0]!r}, which report {self.report} has not made and might write over; "
                    "name a new folder with --out"
                )
            with tempfile.TemporaryFile(dir=self.out) as probe:
                probe.write(b"room for a file")

    def dataset(self, config: DataConfig) -> Dataset:
        """The images, read once."""
        if config not in self._data:
            files = (self.folder, self.download) if data.has_files(config) else (None, False)
            self._data[config] = data.load(config, files[0], self.device, files[1])
        return self._data[config]

    def train(self, configs: Sequence[Config], prune: Prune = never) -> list[Run]:
        """The runs of all configurations, in their order; those that are not finished are trained, or until pruned."""
        made: dict[Config, Run] = {}
        with terminal_progress() as progress:
            for images in dict.fromkeys(config.data for config in configs):
                wanted = [config for config in configs if config.data == images]
                found = parallel.train(
                    wanted,
                    self.runs,
                    self.dataset(images),
                    device=self.device,
                    progress=progress,
                    prune=prune,
                    jobs=self.jobs,
                )
                made |= {run.config: run for run in found}
        return [made[config] for config in configs]

    def evaluate(self, runs: Sequence[Run], split: str, samples: int) -> None:
        """Have the runs' folders hold their metrics on a split; what is there is not computed again."""
        missing = [run for run in dict.fromkeys(runs) if run.finished and evaluation.stored(run, split, samples).empty]
        for images in dict.fromkeys(run.config.data for run in missing):
            group, dataset = [run for run in missing if run.config.data == images], self.dataset(images)
            label = f"evaluation, {split}, {samples} sample{'s' * (samples > 1)}"
            with (
                terminal_progress() as progress,
                progress.counting(label, len(group) * len(dataset.split(split))) as done,
            ):
                parallel.evaluate(group, dataset, split, samples, device=self.device, advance=done, jobs=self.jobs)

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
        self.write(name, to_csv(results.reindex(columns=order)))

    def write_provenance(self, runs: Sequence[Run], **settings: object) -> None:
        """Write what the numbers stand on, all of it as the runs' folders have it."""
        self.write(PROVENANCE, json.dumps(self.provenance(runs, settings), indent=2) + "\n")

    def provenance(self, runs: Sequence[Run], settings: Mapping[str, object]) -> dict[str, object]:
        """Command, settings, environments and runs; nothing of this call's time or machine."""
        runs = list(dict.fromkeys(runs))
        environments: dict[str, list[str]] = {}
        described = []
        for run in runs:
            # A population's seconds are shared among its members; older runs tell its size at the start only.
            seconds = sum(
                session.get("member_seconds", session.get("seconds", 0.0) / max(1, session.get("population", 1)))
                for session in run.sessions()
            )
            for session in run.sessions():
                known = {name: session.get(name) for name in ENVIRONMENT}
                names = environments.setdefault(json.dumps(known, sort_keys=True), [])
                names += [run.config.name] if run.config.name not in names else []
            described.append(
                {
                    "run": run.config.name,
                    "identity": run.config.identity,
                    "status": run.status,
                    "seed": run.config.seed,
                    "training_seconds": round(seconds, 2),
                    "configuration": run.config.to_dict(),
                }
            )
        everywhere = [json.loads(text) | {"runs": len(names)} for text, names in environments.items()]
        return {
            "report": self.report,
            "preset": self.preset,
            "command": f"python -m reports {self.report} --preset {self.preset}",
            "settings": dict(settings),
            "seeds": sorted({run.config.seed for run in runs}),
            "commits": sorted({str(each["commit"]) for each in everywhere if each["commit"]}),
            "devices": sorted({str(each["device"]) for each in everywhere}),
            "training_seconds": round(sum(float(str(each["training_seconds"])) for each in described), 1),
            "environments": everywhere,
            "runs": described,
        }

    def write_document(
        self, source: latex.Latex, parts: Sequence[str], strategies: Iterable[tuple[str, object]], others: str = ""
    ) -> None:
        """Write ``NAME.tex``, which reads the files ``parts``, and compile it where LaTeX is installed.

        It closes with what to cite for the strategies, given with their options, and other papers: ``references.bib``.
        """
        self.write(f"{self.report}.tex", source)
        self.write("references.bib", bibliography(strategies, others))
        compiled = latex.compile_document(self.out, self.report, [*parts, "references.bib"])
        console = Console(highlight=False, soft_wrap=True)
        console.print(f"{self.out / self.report}.{'pdf' if compiled else 'tex'}", markup=False)
        if not compiled:
            console.print(f"{self.report}.tex was not compiled: {latex.INSTALL}", markup=False)


def _owner(path: Path) -> str | None:
    """The report that a provenance is of; None for another file."""
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError):
        return None
    owner = found.get("report") if isinstance(found, dict) else None
    return owner[:40] if isinstance(owner, str) else None


def kept(path: Path, *names: str) -> dict[str, Any]:
    """A measurement that the runs' folder has, with what it has under these names.

    Raises ``InputError`` if it cannot be read or lacks one of them.
    """
    try:
        found = json.loads(read_text(path))
        if not isinstance(found, dict) or not found.keys() >= set(names):
            raise ValueError(f"it has no {', '.join(names)}")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it to measure again") from error
    return found


def strategies(configs: Iterable[Config]) -> list[tuple[str, object]]:
    """What such runs are trained by, with its options."""
    return [(config.strategy, config.options) for config in configs]


ENVIRONMENT = ("commit", "device", "cores", "threads", "platform", "python", "packages")
"""What of a training session goes into the provenance: not the command, which may hold private paths."""
