"""Commands that show studies and their trials: list, and show."""

from __future__ import annotations

from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Column, Table

from discrete_vae.cli.arguments import Count
from discrete_vae.cli.where import STORAGE, Storage
from discrete_vae.tuning import METRICS, active_trials, format_params, metric_of, ranked
from discrete_vae.tuning.attributes import failure_of, values_of
from reports.kit.names import visible
from studies import studies
from studies.command.choice import stored_searches
from studies.command.options import Only


def list_studies() -> None:
    """Show the studies and what they search."""
    for name, study in studies().items():
        print(f"{name}: {study.summary}")
        of_each = " each" if len(study.searches) > 1 else ""
        length = f"{study.trials} trials{of_each}, of {study.epochs} epochs and {len(study.seeds)} seeds"
        print(f"    {length}, by validation {METRICS[study.metric].label}")
        if of_each:
            print(f"    --only {', '.join(study.searches)}")


def show(name: str, *, storage: Storage = STORAGE, only: Only = (), most: Count = 10) -> None:
    """Show a study's best trials and its progress.

    Parameters
    ----------
    most
        Trials to show.
    """
    for found in stored_searches(name, storage, only):
        show_search(found, most)


def console() -> Console:
    """For names as they stand: brackets in them are no markup, and colons no emoji."""
    return Console(markup=False, emoji=False)


def show_search(found: OptunaStudy, most: int) -> None:
    trials = active_trials(found.get_trials(deepcopy=False))
    states = ", ".join(
        f"{count} {state.name.lower()}"
        for state in TrialState
        if (count := sum(trial.state == state for trial in trials))
    )
    rows = Table(
        "trial",
        Column(METRICS[metric_of(found)].label, justify="right"),
        "each seed",
        Column("parameters", overflow="fold"),
        title=f"{visible(found.study_name)}: {states}",
    )
    for trial in ranked(found)[:most]:
        text = METRICS[metric_of(found)].text
        each = " ".join(text(value) for value in values_of(trial).values())
        rows.add_row(str(trial.number), text(trial.values[0]), each, visible(format_params(trial.params)))
    terminal = console()
    terminal.print(rows)
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    for trial in failed[:most]:
        reason = failure_of(trial) or "its worker died"
        terminal.print(f"trial {trial.number} failed: {visible(reason)}", markup=False, highlight=False, soft_wrap=True)
    if len(failed) > most:
        terminal.print(f"{len(failed) - most} more failed; python -m studies export has their reasons", markup=False)
