"""Optuna studies of any strategy: what is searched, where it is kept, and the workers that train it."""

from discrete_vae.tuning.search import Search, Space, Study, configure, median, tpe
from discrete_vae.tuning.storage import alone, open_storage, revive
from discrete_vae.tuning.worker import Worker, done, open_study, ranked, standing

__all__ = [
    "Search",
    "Space",
    "Study",
    "Worker",
    "alone",
    "configure",
    "done",
    "median",
    "open_storage",
    "open_study",
    "ranked",
    "revive",
    "standing",
    "tpe",
]
