"""Studies out of a folder that the report on studies has written, without their storage."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState, create_trial

from discrete_vae.runs.spreadsheets import read_csv
from discrete_vae.tuning import DEFINITION, VALUES, defined
from discrete_vae.tuning.attributes import METRICS, RUNS
from discrete_vae.tuning.best import BEST
from reports.kit.cache import provenance
from reports.kit.tidy import configuration


def restored(folder: Path) -> list[OptunaStudy]:
    """The studies in memory, with all that the report shows of them. Raises ``InputError`` for another folder."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results, trials = (read_csv(folder / name, dtype={"trial": str}) for name in ("results.csv", "trials.csv"))
    return [
        _study(name, definition, results[results["row"] == name], trials[trials["study"] == name])
        for name, definition in provenance(folder)["settings"]["studies"].items()
    ]


def _study(name: str, definition: dict[str, Any], results: pd.DataFrame, trials: pd.DataFrame) -> OptunaStudy:
    study = optuna.create_study(study_name=name, direction="maximize")
    study.set_user_attr(DEFINITION, definition)
    space = dict(defined(study)[0].space)
    metric = str(definition.get("metric", "elbo"))
    for trial in trials.to_dict("records"):
        complete, seconds = trial["state"] == "complete", trial["seconds"]
        seeds = (str(seed) for seed in definition["seeds"])
        means = {str(key)[5:]: value for key, value in trial.items() if str(key).startswith("mean ")}
        start = datetime(2000, 1, 1)
        made = create_trial(
            state=TrialState[trial["state"].upper()],
            params={each: trial[f"param {each}"] for each in space},
            distributions=space,
            value=trial["value"] if complete else None,
            user_attrs={
                VALUES: {seed: trial[f"{metric} {seed}"] for seed in seeds if pd.notna(trial[f"{metric} {seed}"])},
                METRICS: {name: value for name, value in means.items() if pd.notna(value)},
                RUNS: str(trial["runs"]).split(),
            },
            intermediate_values={int(trial["epochs"]): trial["value"] if complete else 0.0},
        )
        made.datetime_start = start
        made.datetime_complete = start + timedelta(seconds=seconds) if pd.notna(seconds) else start
        study.add_trial(made)
    if len(again := results[results["state"] == "again"]):
        study.set_user_attr(BEST, _again(again))
    return study


def _again(rows: pd.DataFrame) -> dict[str, Any]:
    """What the winners had when they were trained again, as the study keeps it."""
    made: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows.to_dict("records"):
        by_metric = made.setdefault(row["trial"], {})
        by_metric.setdefault(f"{row['split']} {row['metric']}", {})[str(int(row["seed"]))] = row["value"]
    epochs = configuration(rows["strategy"].iloc[0], rows["parameters"].iloc[0]).epochs
    return {"trials": made, "epochs": epochs, "samples": int(rows.loc[rows["split"] == "test", "samples"].max())}
