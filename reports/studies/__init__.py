"""Tables and figures of Optuna studies, from any storage; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.study import Study as OptunaStudy

from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.tuning import DEFINITION, active_trials, defined, metric_of, open_storage, ranked, stored_best, table
from discrete_vae.tuning.attributes import values_of
from reports.kit.context import ReportContext, strategies
from reports.kit.report import Report
from reports.kit.tidy import changes
from reports.studies import figures, tables
from reports.studies.groups import by_metric, lengths, metric_in, metrics
from reports.studies.restored import restored

PAPERS = "Akiba et al. 2019; Bergstra et al. 2011; Watanabe et al. 2023"
"""Of Optuna, of its sampler and of the importance of hyper-parameters."""
RELAXED = "reconstruction_relaxed"
"""Always of one sample."""


@dataclass(frozen=True)
class Preset:
    """All studies of a storage."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return "every study of this project in --storage, as it stands; trains nothing"


def make(preset: Preset, bench: ReportContext) -> None:
    """Read the studies, and write tables, figures and the documents.

    The storage may be a folder that this report has written: its tables hold all that is shown.
    """
    there = restored(Path(bench.storage)) if Path(bench.storage).is_dir() else _stored(bench.storage)
    found = [study for study in there if DEFINITION in study.user_attrs and ranked(study)]
    if not found:
        raise InputError("the storage holds no study with a complete trial; python -m studies run NAME")
    results = tidy(found)
    bench.write_results(results)
    bench.write("trials.csv", to_csv(table(found)))
    folders = [bench.runs / name for name in sorted(set(results["run"]))]
    known = [run for name in sorted(set(results["run"])) for run in bench.cache.named(name, bench.runs)[:1]]
    runs = [Run.open(folder) for folder in folders if (folder / "config.json").exists()] or known
    bench.write_provenance(runs, studies={study.study_name: study.user_attrs[DEFINITION] for study in found})
    groups = by_metric(found)
    for each in groups:
        figures.history(bench, each)
        figures.plane(bench, each)
    figures.importances(bench, found)
    history, plane = ([figures.suffixed(name, each) for each in groups] for name in (figures.HISTORY, figures.PLANE))
    important = [figures.IMPORTANCE] * any(map(figures.importance, found))
    values: dict[str, Any] = {
        "share": f"{tables.BEST:.0%}",
        "few": figures.FEW,
        "length": lengths(found),
        "metric": metrics(found),
        "history": history,
        "important": important,
        "plane": plane,
        "spans": " or ".join(f"{metric.span:g} {metric.unit}".strip() for metric in map(metric_in, groups)),
    }
    cited = strategies(defined(study)[0].base for study in found)
    made = [tables.comparison(found), tables.best(found), *tables.pairs(found), tables.winners(found)]
    text = Path(__file__).with_name("text.md")
    bench.write_text("Studies", text, made, values, [*history, *important, *plane], cited, PAPERS)


def _stored(storage: str) -> list[OptunaStudy]:
    opened = open_storage(storage, make=False)
    return [optuna.load_study(study_name=name, storage=opened) for name in optuna.get_all_study_names(opened)]


def tidy(found: Sequence[OptunaStudy]) -> pd.DataFrame:
    """One line a trial and seed, and one for each seed of a winner that was trained again."""
    rows: list[dict[str, Any]] = []
    for study in found:
        search, epochs, _ = defined(study)
        for trial in active_trials(study.get_trials(deepcopy=False)):
            known: dict[str, Any] = {
                "row": study.study_name,
                "strategy": search.base.strategy,
                "trial": trial.number,
                "state": trial.state.name.lower(),
            }
            for seed, value in values_of(trial).items():
                (config,) = search.configs(trial.params, [int(seed)], epochs)
                own = {"parameters": changes(config), "seed": int(seed), "run": config.name}
                rows.append(known | own | {"split": "validation", "metric": metric_of(study), "value": value})
        if (again := stored_best(study)) is None:
            continue
        made, _ = again
        trials = {trial.number: trial for trial in ranked(study)}
        for number, values in made["trials"].items():
            for name, by_seed in values.items():
                split, _, metric = name.partition(" ")
                for seed, value in by_seed.items():
                    (config,) = search.configs(trials[int(number)].params, [int(seed)], made["epochs"])
                    own = {"parameters": changes(config), "seed": int(seed), "run": config.name}
                    own["samples"] = made["samples"] if split == "test" and metric != RELAXED else 1
                    known = {"row": study.study_name, "strategy": config.strategy, "trial": number, "state": "again"}
                    rows.append(known | own | {"split": split, "metric": metric, "value": value})
    return pd.DataFrame(rows)


REPORT = Report(
    "studies", "tables and figures of Optuna studies, from any storage", {"stored": Preset()}, make, storage=True
)
