"""The validation metrics of a trial's runs, as their folders have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from discrete_vae.errors import InputError
from discrete_vae.runs.run import Run
from discrete_vae.tuning.metrics import METRICS
from discrete_vae.tuning.study import Study


def shown_value(study: Study, value: float) -> str:
    """``ELBO -103.21``, or what else the study maximises."""
    return f"{METRICS[study.metric].label} {METRICS[study.metric].text(value)}"


def score_of(metrics: Mapping[str, float], name: str) -> float:
    """A validation metric. Raises ``InputError`` where the runs do not have it."""
    if name not in metrics:
        raise InputError(f"the runs have no {name!r}; have the study maximise one of {', '.join(metrics)}")
    return metrics[name]


def known_scores(runs: Sequence[Run], metric: str) -> list[tuple[int, float]]:
    """The epochs that all of some runs have finished, and the mean of a validation metric after each.

    Raises ``InputError`` where a run does not have the metric.
    """
    if any(run.failure for run in runs):
        return []
    values = []
    for run in runs:
        history = run.history()
        own = history[(history["split"] == "validation") & (history["metric"] == metric)]
        if own.empty and len(history):
            raise InputError(f"{run.folder} has no {metric!r}; have the study maximise another metric")
        values.append(dict(zip(own["epoch"], own["value"], strict=True)))
    whole = min(run.step // run.steps_per_epoch for run in runs)
    return [(epoch, fmean(own[epoch] for own in values)) for epoch in range(1, whole + 1)]


def metrics_after(run: Run, epoch: int | None) -> dict[str, Any]:
    """A run's validation metrics after an epoch, or its last one; of its best one until then, if it keeps that."""
    last = max(run.history()["epoch"], default=0) if epoch is None else epoch
    return run.validation(run.kept_at(last * run.steps_per_epoch))
