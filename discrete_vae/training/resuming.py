"""Which runs leave early, and at which step those that go on begin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from discrete_vae.runs import checkpoints
from discrete_vae.runs.run import Run

Prune = Callable[[int, Mapping[Run, Mapping[str, float]]], Collection[Run]]
"""Which runs to prune, from their epoch and the validation metrics of all that train side by side."""


def never(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> Collection[Run]:
    """The ``Prune`` that lets every run go on."""
    return ()


def pruned_before(runs: Sequence[Run], prune: Prune) -> set[Run]:
    """The runs that were pruned before: ``prune`` is asked again about the epochs at which they stand."""
    standing: dict[int, dict[Run, dict[str, float]]] = {}
    for run in runs:
        epoch, rest = divmod(run.step, run.steps_per_epoch)
        if rest or run.finished:
            continue
        if metrics := run.validation(epoch):
            standing.setdefault(epoch, {})[run] = metrics
    return {run for epoch, metrics in standing.items() for run in prune(epoch, metrics)}


def resume_at(run: Run, others: Sequence[Run]) -> int:
    """The step at which a run joins unfinished others: the least advanced run's newest one, of those that it still has.

    So the members of a population that was killed while it wrote its checkpoints go on together, in the same products
    and with the same rounding, while runs that were asked for later start apart.
    """
    newest = {
        other.step
        for other in others
        if other.config.population_key == run.config.population_key and checkpoints.steps(other.folder)
    }
    return min(newest.intersection(checkpoints.steps(run.folder)), default=run.step)
