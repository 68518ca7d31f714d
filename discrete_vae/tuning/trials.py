"""The trials of a stored study: which have ended, which are best, and how they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.errors import InputError
from discrete_vae.tuning.attributes import REMEDY, value_of
from discrete_vae.tuning.definition import DEFINITION, defined
from discrete_vae.tuning.retries import active_trials


def done(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that have ended: complete, pruned or failed."""
    return [trial for trial in active_trials(trials) if trial.state.is_finished()]


def complete(found: OptunaStudy) -> list[FrozenTrial]:
    """The complete trials, in their order. Raises ``InputError`` for one with other parameters than the study's."""
    trials = [trial for trial in active_trials(found.get_trials(deepcopy=False)) if trial.state == TrialState.COMPLETE]
    space = defined(found)[0].space if DEFINITION in found.user_attrs else None
    for trial in trials:
        if space is not None and trial.params.keys() != space.keys():
            names, known = (", ".join(each) or "no parameters" for each in (trial.params, space))
            raise InputError(f"trial {trial.number} has {names}, but {found.study_name!r} has {known}; {REMEDY}")
    return trials


def ranked(found: OptunaStudy) -> list[FrozenTrial]:
    """The complete trials, best first."""
    return sorted(complete(found), key=value_of, reverse=True)


def format_params(params: Mapping[str, object]) -> str:
    """A trial's values in one line: floats with three digits, joined names by the first of them."""
    return " ".join(
        f"{name.partition('+')[0]}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )
