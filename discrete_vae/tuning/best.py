"""After a study: its winner and its runner-up again, with seeds that it has not seen, on the test images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial

from discrete_vae import parallel
from discrete_vae.data import Dataset
from discrete_vae.errors import InputError
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.progress import TerminalProgress
from discrete_vae.runs.run import Run
from discrete_vae.tuning.attributes import is_number
from discrete_vae.tuning.definition import defined
from discrete_vae.tuning.trials import ranked

BEST = "best again"
"""A study's attribute: what ``best`` found, by trial, split and metric, for every seed."""


def train_again(
    found: OptunaStudy,
    data: Dataset,
    runs: Path,
    device: torch.device,
    progress: TerminalProgress,
    *,
    fresh: int,
    epochs: int | None,
    samples: int,
    compiled: bool = False,
    jobs: int | None = 1,
) -> dict[str, Any]:
    """Train and score the two best trials with ``fresh`` seeds behind the study's own, and keep that in the study.

    Gives epochs, samples and, under ``trials``, each trial's values: number, ``"validation elbo"`` and the like, seed.
    Existing results are reused; a study with one complete trial has no runner-up. ``jobs`` is the number of
    processes, see ``parallel.train``.
    """
    search, own, seeds = defined(found)
    epochs = epochs or own
    behind = range(max(seeds) + 1, max(seeds) + 1 + fresh)
    made: dict[str, Any] = {"epochs": epochs, "samples": samples, "trials": {}}
    for trial in ranked(found)[:2]:
        configs = search.configs(trial.params, behind, epochs)
        again = parallel.train(configs, runs, data, device=device, progress=progress, compiled=compiled, jobs=jobs)
        for split, count in (("validation", 1), ("test", samples)):
            missing = [run for run in again if run.finished and evaluation.stored(run, split, count).empty]
            if missing:
                with progress.counting(split, len(missing) * len(data.split(split))) as advance:
                    parallel.evaluate(missing, data, split, count, device=device, advance=advance, jobs=jobs)
        made["trials"][str(trial.number)] = _values(again, {"validation": 1, "test": samples})
    found.set_user_attr(BEST, made)
    return made


def _values(runs: Sequence[Run], samples: dict[str, int]) -> dict[str, dict[str, float]]:
    """Values by split and metric, then by seed; a run that failed has none."""
    values: dict[str, dict[str, float]] = {}
    for run in runs:
        for split, count in samples.items():
            scored = evaluation.stored(run, split, count)
            for metric, value in zip(scored["metric"], scored["value"], strict=True):
                values.setdefault(f"{split} {metric}", {})[str(run.config.seed)] = float(value)
    return values


def stored_best(found: OptunaStudy) -> tuple[dict[str, Any], FrozenTrial] | None:
    """The results of ``train_again`` for a study, with its present winner; None if another one was trained again.

    Raises ``InputError`` for what ``train_again`` does not keep.
    """
    made: Any = found.user_attrs.get(BEST)
    trials = {str(trial.number) for trial in ranked(found)}
    if made is None or not trials:
        return None
    if not _fits(made) or not made["trials"].keys() <= trials:
        told = f"{found.study_name}: its {BEST!r} is {repr(made)[:80]}, which `best` does not write"
        raise InputError(f"{told}; call python -m studies best {found.study_name.partition('/')[0]} again")
    winner = ranked(found)[0]
    return (made, winner) if str(winner.number) in made["trials"] else None


def _fits(made: Any) -> bool:
    """Whether an attribute is what ``train_again`` keeps."""
    try:
        seeds = [seeds for values in made["trials"].values() for seeds in values.values()]
        numbers = [made["epochs"], made["samples"], *(value for each in seeds for value in each.values())]
        return all(map(is_number, numbers)) and all(seed.isdecimal() for each in seeds for seed in each)
    except (TypeError, KeyError, AttributeError):
        return False
