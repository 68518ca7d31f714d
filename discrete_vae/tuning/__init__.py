"""Optuna studies of any strategy: what is searched, where it is kept, and the workers that train it."""

from discrete_vae.tuning.best import kept, train_again
from discrete_vae.tuning.retries import FAILURE, revive, standing
from discrete_vae.tuning.search import DEFINITION, Search, Space, Study, configure, defined, median, tpe
from discrete_vae.tuning.storage import alone, open_storage
from discrete_vae.tuning.table import table
from discrete_vae.tuning.worker import VALUES, Worker, complete, done, open_study, ranked, told

__all__ = [
    "DEFINITION",
    "FAILURE",
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
