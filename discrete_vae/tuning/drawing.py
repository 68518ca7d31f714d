"""The trials of a study of random draws, known without running it."""

from __future__ import annotations

from typing import Any

from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage

from discrete_vae.errors import InputError
from discrete_vae.tuning.making import open_study
from discrete_vae.tuning.study import Study


def drawn(study: Study, name: str) -> list[dict[str, Any]]:
    """The values of each trial of the search ``name``, in the trials' order.

    A report that trains them reuses the runs of the study, where it was run, and the study those of the report. Raises
    ``InputError`` for a study whose trials depend on the results of others.
    """
    if not isinstance(study.sampler(study.seed), RandomSampler):
        kind = type(study.sampler(study.seed)).__name__
        raise InputError(f"study {study.name} has a {kind}, whose trials are not known before; give a RandomSampler")
    found, space = open_study(study, name, InMemoryStorage()), study.names()[name].space
    return [found.ask(dict(space)).params for _ in range(study.trials)]
