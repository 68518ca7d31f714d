"""A study's trials as a table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState

from discrete_vae.tuning.attributes import failure_of, metrics_of, runs_of, value_of, values_of
from discrete_vae.tuning.definition import metric_of
from discrete_vae.tuning.retries import active_trials


def table(studies: Sequence[OptunaStudy]) -> pd.DataFrame:
    """One line a trial that counts: study, trial, state, value (nats; of complete trials), epochs, seconds, its
    parameters as ``param NAME``, each seed's value as ``elbo SEED`` (or of the metric that the study maximises), the
    means of all metrics as ``mean NAME``, the runs' folders and why it failed.

    A pruned trial has the metrics of the epoch after which it was stopped.
    """
    rows = [
        {
            "study": study.study_name,
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": value_of(trial) if trial.state == TrialState.COMPLETE else None,
            "epochs": max(trial.intermediate_values, default=0),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
            **{f"param {name}": value for name, value in trial.params.items()},
            **{f"{metric_of(study)} {seed}": value for seed, value in values_of(trial).items()},
            **{f"mean {name}": value for name, value in metrics_of(trial).items()},
            "runs": " ".join(runs_of(trial)),
            "failure": failure_of(trial),
        }
        for study in studies
        for trial in active_trials(study.get_trials(deepcopy=False))
    ]
    made = pd.DataFrame(rows)
    order = ("param ", *dict.fromkeys(f"{metric_of(study)} " for study in studies), "mean ")
    grouped = [name for prefix in order for name in made.columns if str(name).startswith(prefix)]
    first = ["study", "trial", "state", "value", "epochs", "seconds"]
    return made.reindex(columns=[*first, *grouped, "runs", "failure"])
