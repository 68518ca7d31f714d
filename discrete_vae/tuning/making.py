"""Make a study in a storage, or find it there: whoever comes first makes it."""

from __future__ import annotations

import time

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection

from discrete_vae.errors import InputError
from discrete_vae.tuning.definition import DEFINITION, current, differences, shared
from discrete_vae.tuning.study import Study

DEFINED_WITHIN = 10.0
"""Seconds after which a study that another worker made, but did not define, is taken for ours."""


def open_study(study: Study, name: str, storage: BaseStorage) -> OptunaStudy:
    """The search ``name`` of a study in a storage; it is made if it is not there, by whoever comes first.

    Raises ``InputError`` for a search that cannot be tried, before anything is made, and if the storage holds another
    search by this name, with the differences, or something else.
    """
    study.check(name)
    asked = study.definition(study.names()[name])
    sampler = study.seeded()
    try:
        storage.create_new_study([StudyDirection.MAXIMIZE], name)
    except DuplicatedStudyError:
        mine = False
    else:
        mine = True
    found = optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=study.pruner())
    end = time.monotonic() + DEFINED_WITHIN
    while not mine and DEFINITION not in found.user_attrs and time.monotonic() < end:
        time.sleep(0.1)
    if DEFINITION not in found.user_attrs:
        if found.get_trials(deepcopy=False) or found.directions != [StudyDirection.MAXIMIZE]:
            raise InputError(f"study {name!r} in this storage is of another program; name another --storage")
        found.set_user_attr(DEFINITION, asked)
    elif (stored := shared(current(found))) != shared(asked):
        told = "; ".join(differences(stored, shared(asked)))
        raise InputError(
            f"study {name!r} in this storage is another one ({told}); ask for what is stored, name another --storage, "
            f"or remove it: python -m studies clean {study.name}"
        )
    return found
