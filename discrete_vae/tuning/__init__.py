"""Optuna studies of any strategy: what is searched, where it is kept, and the workers that train it."""

from discrete_vae.tuning.attributes import FAILURE, VALUES
from discrete_vae.tuning.best import kept, train_again
from discrete_vae.tuning.retries import revive, standing
from discrete_vae.tuning.search import (
    DEFINITION,
    METRICS,
    Search,
    Space,
    Study,
    configure,
    defined,
    median,
    metric_of,
    tpe,
)
from discrete_vae.tuning.storage import alone, open_storage
from discrete_vae.tuning.table import table
from discrete_vae.tuning.worker import Worker, complete, done, open_study, ranked, told

__all__ = [
    "DEFINITION",
    "FAILURE",
    "METRICS",
    "VALUES",
    "Search",
    "Space",
    "Study",
    "Worker",
    "alone",
    "complete",
    "configure",
    "defined",
    "done",
    "kept",
    "median",
    "metric_of",
    "open_storage",
    "open_study",
    "ranked",
    "revive",
    "standing",
    "table",
    "told",
    "tpe",
    "train_again",
]
