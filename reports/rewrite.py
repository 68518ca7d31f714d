"""Committed reports' tables and documents again, from their own CSV files: ``python -m reports.rewrite [NAME ...]``.

For a change of words, or of how a table is laid out. Nothing is trained, measured or drawn: numbers, figures, examples
and the bibliography stay as they are, and so do the tables of the reports on speed. A report that is not here is made
by its own command.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from cyclopts import App
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState

from discrete_vae.cli.command import run
from discrete_vae.config import Config
from discrete_vae.errors import nearest
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import read_csv
from discrete_vae.secrets import guard
from discrete_vae.tuning import DEFINITION, VALUES, defined
from discrete_vae.tuning.best import BEST
from reports import (
    adversarial_vae,
    critics,
    gradients,
    grid,
    jang,
    reinmax,
    semi_supervised,
    sequences,
    speed_by_classes,
    studies,
    target_propagation,
    thesis,
    throughput,
)
from reports.grid import Paper
from reports.kit import latex
from reports.kit.latex import Latex
from reports.report import ReportContext
from reports.target_propagation_settings import Variant

RESULTS = Path(__file__).parent / "results"


@dataclass
class Committed(ReportContext):
    """A folder of results: what it holds is read from there, and what is written goes to ``out``."""

    source: Path = RESULTS
    written: list[str] = field(default_factory=list)

    def table(self, name: str = "results.csv") -> pd.DataFrame:
        """One of its tables."""
        return read_csv(self.source / name)

    @property
    def provenance_of(self) -> dict[str, Any]:
        """What the numbers stand on."""
        found: dict[str, Any] = json.loads((self.source / "provenance.json").read_text())
        return found

    def configs(self) -> dict[str, Config]:
        """The configurations of its runs, by their names."""
        return {run["run"]: Config.from_dict(run["configuration"]) for run in self.provenance_of["runs"]}

    def chosen(self) -> dict[str, Config]:
        """The configuration of each row's first run."""
        known, results = self.configs(), self.table()
        rows = results[results["run"].isin(list(known))].drop_duplicates("row")
        return {str(row): known[run] for row, run in zip(rows["row"], rows["run"], strict=True)}

    def write(self, name: str, content: str) -> None:
        """As ``ReportContext.write``, and remember the name."""
        super().write(name, content)
        self.written.append(name)

    def write_document(
        self, source: latex.Latex, parts: Sequence[str], strategies: Iterable[tuple[str, object]], others: str = ""
    ) -> None:
        """As ``ReportContext.write_document``, with the bibliography that is there."""
        self.write(f"{self.report}.tex", source)
        if self.out == self.source:
            latex.compile_document(self.out, self.report, [*parts, "references.bib"])


def _preset(report: Any, bench: Committed) -> Any:
    return report.REPORT.presets[bench.provenance_of["preset"]]


def _grid(report: Any, bench: Committed) -> None:
    paper: Paper = report.PAPER
    preset: grid.Preset = _preset(report, bench)
    own = bench.chosen()
    chosen = {
        (row.label, cell.label): own[f"{row.label}, {cell.label}"] for row in preset.rows for cell in preset.cells
    }
    grid.words(preset, bench, paper, bench.table(), bench.table("tuning.csv"), chosen)


def _thesis(bench: Committed) -> None:
    preset, results = _preset(thesis, bench), bench.table()
    have = set(zip(results["row"], results["seed"], strict=True))
    failed = [each for row, group in preset.rows().items() for each in group if (row, each.seed) not in have]
    thesis.words(preset, bench, results, failed)


@dataclass(frozen=True)
class _Short:
    """A variant's best short run, of which the signals' table has every metric by epoch."""

    variant: Variant
    trial: Any
    values: Mapping[str, float]

    def last(self, metric: str) -> float:
        """As ``target_propagation_tuning.Tried.last``."""
        return self.values.get(metric, float("-inf"))


def _target_propagation(bench: Committed) -> None:
    preset = _preset(target_propagation, bench)
    signals = bench.table("signals.csv")
    settings = {row: Latex(text) for row, text in bench.provenance_of["settings"]["chosen"].items()}
    configs, short = bench.configs(), {}
    variants = {variant.label: variant for variant in preset.search.variants}
    for row, found in signals.groupby("row", sort=False):
        variant, own = variants[str(row)], configs[found["run"].iloc[0]]
        search = preset.search
        (trial,) = (
            each for each in variant.trials if variant.config(each, search.epochs, own.seed, preset.base) == own
        )
        last = found[found["epoch"] == search.epochs].set_index("metric")["value"].to_dict()
        short[str(row)] = _Short(variant, trial, last)
    target_propagation.words(
        preset,
        bench,
        bench.table(),
        settings,
        short,  # type: ignore[arg-type]
        bench.table("tuning.csv"),
        list(configs.values()),
    )


def _semi_supervised(bench: Committed) -> None:
    tuning = bench.table("tuning.csv")
    best = tuning.groupby(["row", "parameters"])["value"].mean().groupby("row").max()
    chosen = {row: (config, float(best[row])) for row, config in bench.chosen().items()}
    semi_supervised.words(_preset(semi_supervised, bench), bench, bench.table(), tuning, chosen)


def _sequences(bench: Committed) -> None:
    preset: sequences.Preset = _preset(sequences, bench)
    updates = Run(Path(), next(iter(bench.configs().values()))).total_steps
    sequences.words(preset, bench, bench.table(), updates)


def _adversarial_vae(bench: Committed) -> None:
    preset = _preset(adversarial_vae, bench)
    adversarial_vae.words(preset, bench, bench.table(), bench.table("tuning.csv"), bench.chosen())


def _critics(bench: Committed) -> None:
    results = bench.table()
    rows = [row.removeprefix("images, ") for row in dict.fromkeys(results["row"]) if row.startswith("images, ")]
    critics.words(_preset(critics, bench), bench, results, rows, list(bench.configs().values()))


def _gradients(bench: Committed) -> None:
    gradients.words(_preset(gradients, bench), bench, bench.table())


def _studies(bench: Committed) -> None:
    studies.words(bench, restored(bench))


def _throughput(bench: Committed) -> None:
    settings = bench.provenance_of["settings"]
    watched = "disturbed" in set(bench.table()["metric"])
    throughput.write_document(bench, settings["machine"], settings["measured_in"][0]["threads"], [], watched)


def _speed_by_classes(bench: Committed) -> None:
    speed_by_classes.write_document(_preset(speed_by_classes, bench), bench)


def restored(bench: Committed) -> list[OptunaStudy]:
    """The studies in memory, as far as tables and documents look at them."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results = read_csv(bench.source / "results.csv", dtype={"trial": str})
    trials, found = bench.table("trials.csv"), []
    for name, definition in bench.provenance_of["settings"]["studies"].items():
        study = optuna.create_study(study_name=name, direction="maximize")
        study.set_user_attr(DEFINITION, definition)
        space = dict(defined(study)[0].space)
        metric = str(definition.get("metric", "elbo"))
        for trial in trials[trials["study"] == name].to_dict("records"):
            params = {each: trial[f"param {each}"] for each in space}
            seeds = {str(seed): trial[f"{metric} {seed}"] for seed in definition["seeds"]}
            complete = trial["state"] == "complete"
            study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState[trial["state"].upper()],
                    params=params,
                    distributions=space,
                    value=trial["value"] if complete else None,
                    user_attrs={VALUES: seeds},
                    intermediate_values={int(trial["epochs"]): trial["value"] if complete else 0.0},
                )
            )
        again = results[(results["row"] == name) & (results["state"] == "again")]
        if len(again):
            made: dict[str, dict[str, dict[str, float]]] = {}
            for row in again.to_dict("records"):
                by_metric = made.setdefault(row["trial"], {})
                by_metric.setdefault(f"{row['split']} {row['metric']}", {})[str(int(row["seed"]))] = row["value"]
            epochs = json.loads(again["parameters"].iloc[0])["epochs"]
            study.set_user_attr(BEST, {"trials": made, "epochs": epochs, "samples": _samples(bench)})
        found.append(study)
    return found


def _samples(bench: Committed) -> int:
    """Of the winners' bound, which only the table's caption has."""
    found = re.search(r"bound is of (\d+) samples", (bench.source / "studies_compare.tex").read_text())
    return int(found.group(1)) if found else 0


REWRITERS: dict[str, Callable[[Committed], None]] = {
    "thesis": _thesis,
    "target-propagation": _target_propagation,
    "jang": partial(_grid, jang),
    "reinmax": partial(_grid, reinmax),
    "gradients": _gradients,
    "critics": _critics,
    "semi-supervised": _semi_supervised,
    "sequences": _sequences,
    "adversarial-vae": _adversarial_vae,
    "studies": _studies,
    "throughput": _throughput,
    "speed-by-classes": _speed_by_classes,
}


def rewrite(name: str, out: Path | None = None) -> list[str]:
    """Write a report's tables and document to ``out`` (by default where its results are); the files' names."""
    source = RESULTS / name
    preset = json.loads((source / "provenance.json").read_text())["preset"]
    bench = Committed(name, preset, out or source, source=source)
    REWRITERS[name](bench)
    return bench.written


app = App(name="python -m reports.rewrite", help=__doc__, version_flags=[])


@app.default
def rewrite_all(*name: str) -> None:
    """Write the tables and documents of these reports again, or of all.

    Parameters
    ----------
    name
        The reports.
    """
    for each in name:
        if each not in REWRITERS:
            raise nearest(each, REWRITERS, "report to rewrite")
    for each in name or REWRITERS:
        print(f"{each}: {', '.join(rewrite(each))}")


if __name__ == "__main__":
    guard()
    sys.exit(run(app, None))
