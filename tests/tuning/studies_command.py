"""The command ``python -m studies`` in this process, and the tiny study in its storage."""

from __future__ import annotations

import optuna

from discrete_vae.cli import command as cli
from discrete_vae.tuning import open_storage
from studies import __main__ as command

KNOWN = ("--dataset", "binarised-mnist")


def studies_command(*words: str) -> int:
    return cli.run(command.app, list(words))


def stored(url: str = "studies.sqlite") -> optuna.Study:
    return optuna.load_study(study_name="tiny", storage=open_storage(url))


def trial_of(study: optuna.Study, number: int) -> optuna.Trial:
    return optuna.Trial(study, study.get_trials()[number]._trial_id)
