"""A row of a comparison on a task: its settings tried by the validation images, and the best of them in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
import pandas as pd

from discrete_vae.config import Config
from discrete_vae.errors import InputError, nearest
from discrete_vae.runs import Run
from discrete_vae.tuning import defined, open_storage
from discrete_vae.tuning.trials import ranked
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task, lasting, settings
from reports.kit.search import BETA, TEMPERATURE, at_end, rate_axis, widened
from reports.kit.tables import changes


@dataclass(frozen=True)
class Entry:
    """What became of a row on a task."""

    config: Config
    """The setting that was chosen."""
    runs: Sequence[Run]
    """Of the table's seeds."""
    trials: Mapping[Config, Sequence[Run]]
    """By setting, a run a seed; empty where there was nothing to choose."""
    ends: Sequence[str]
    """Hyper-parameters whose chosen value lies at the end of what was tried."""
    study: str = ""
    """The study that the setting comes from, if it does."""


def enter(preset: Preset, bench: ReportContext, row: Row, task: Task, metric: str) -> Entry:
    """Choose a row's setting, grow its grids while the best lies at their end, and train it with every seed."""
    if row.study:
        config = best_of(row.study, bench.storage)
        return Entry(config, _trained(preset, bench, config), {}, (), row.study)
    tried = settings(row, task, preset)
    if len(tried) == 1:
        return Entry(tried[0], _trained(preset, bench, tried[0]), {}, ())
    length, trials = preset.trial_epochs or preset.epochs, dict[Config, list[Run]]()

    def score(configs: Sequence[Config]) -> dict[Config, float]:
        wanted = [run for config in configs for run in lasting(config, length, preset.trial_seeds)]
        made = iter(bench.train(wanted, epochs=(length,)))
        trials.update({config: [next(made) for _ in preset.trial_seeds] for config in configs})
        return {config: mean(trials[config], metric) for config in configs}

    axes = [rate_axis(row.shared_rate), TEMPERATURE, BETA]
    scores = widened(tried, score, axes, preset.growth)
    best = max(scores, key=scores.__getitem__)
    runs = _trained(preset, bench, best) if scores[best] > float("-inf") else []
    return Entry(best, runs, trials, at_end(best, list(scores), axes))


def best_of(study: str, storage: str) -> Config:
    """The setting of a study's best trial. Raises ``InputError`` where the storage has no such trial."""
    behind = open_storage(storage, make=False)
    if study not in (known := optuna.get_all_study_names(behind)):
        raise nearest(study, known, "study")
    found = optuna.load_study(study_name=study, storage=behind)
    search, epochs, seeds = defined(found)
    if not (trials := ranked(found)):
        raise InputError(f"study {study} has no complete trial; finish it with: python -m studies run {study}")
    return search.configs(trials[0].params, seeds[:1], epochs)[0]


def _trained(preset: Preset, bench: ReportContext, config: Config) -> list[Run]:
    epochs = range(1, preset.epochs + 1) if preset.curves else ()
    return bench.train(lasting(config, preset.epochs, preset.seeds), samples=preset.evaluated, epochs=epochs)


def mean(runs: Sequence[Run], metric: str) -> float:
    """The mean of the last validation metric; minus infinity where a run failed. Raises ``InputError`` for no such."""
    return sum(_last(run, metric) for run in runs) / len(runs)


def _last(run: Run, metric: str) -> float:
    if run.failure is not None:
        return float("-inf")
    history = run.history()
    found = history[(history["split"] == "validation") & (history["epoch"] == run.config.epochs)].set_index("metric")
    if metric not in found.index:
        raise InputError(f"{run.config.name} has no validation {metric} to choose by; it has {', '.join(found.index)}")
    return float(found["value"][metric])


def tuning(entries: Mapping[str, Entry], metric: str) -> pd.DataFrame:
    """The trials' scores by row, as tidy rows; no value for a run that failed."""
    return pd.DataFrame(
        {
            "row": row,
            "strategy": run.config.strategy,
            "parameters": changes(run.config),
            "seed": run.config.seed,
            "split": "validation",
            "metric": metric,
            "value": None if run.failure is not None else _last(run, metric),
            "run": run.config.name,
            "epoch": run.config.epochs,
        }
        for row, entry in entries.items()
        for runs in entry.trials.values()
        for run in runs
    )
