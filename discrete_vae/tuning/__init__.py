"""Optuna studies of any strategy: what is searched, where it is kept, and the workers that train it."""

from typing import TYPE_CHECKING

from discrete_vae.deprecation import renamed
from discrete_vae.tuning.attributes import FAILURE, VALUES
from discrete_vae.tuning.best import stored_best, train_again
from discrete_vae.tuning.definition import DEFINITION, defined, metric_of
from discrete_vae.tuning.making import open_study
from discrete_vae.tuning.metrics import METRICS
from discrete_vae.tuning.naming import configure
from discrete_vae.tuning.retries import active_trials, revive
from discrete_vae.tuning.sampling import median, tpe
from discrete_vae.tuning.search import Search, Space
from discrete_vae.tuning.storage import open_storage, single_process
from discrete_vae.tuning.study import Study
from discrete_vae.tuning.table import table
from discrete_vae.tuning.trials import complete, done, format_params, ranked
from discrete_vae.tuning.worker import Worker

__all__ = [
    "DEFINITION",
    "FAILURE",
    "METRICS",
    "VALUES",
    "Search",
    "Space",
    "Study",
    "Worker",
    "active_trials",
    "complete",
    "configure",
    "defined",
    "done",
    "format_params",
    "median",
    "metric_of",
    "open_storage",
    "open_study",
    "ranked",
    "revive",
    "single_process",
    "stored_best",
    "table",
    "tpe",
    "train_again",
]

if not TYPE_CHECKING:  # type checkers know the new names alone
    __getattr__ = renamed(
        __name__,
        {"alone": "single_process", "kept": "stored_best", "standing": "active_trials", "told": "format_params"},
    )
