"""A row of a comparison on a task: its settings tried by the validation images, and the best of them in full."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import optuna
import pandas as pd

from discrete_vae.config import Config
from discrete_vae.errors import InputError, nearest
from discrete_vae.runs import Run
from discrete_vae.tuning import defined, done, metric_of, open_storage, ranked
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task, counted, lasting, settings
from reports.kit.prose import code, escape
from reports.kit.search import BETA, LENGTH, TEMPERATURE, WEIGHT_DECAY, at_end, rate_axis, widened
from reports.kit.tidy import changes


@dataclass(frozen=True)
class Entry:
    """A row on a task: the setting that was chosen, its runs and its trials."""

    row: Row
    config: Config
    """The setting that was chosen, with the length that it was chosen by."""
    runs: Sequence[Run]
    """Runs with the table's seeds."""
    trials: Mapping[Config, Sequence[Run]]
    """Trials by setting and length, a run a seed; empty where there was nothing to choose."""
    ends: Sequence[str]
    """Hyper-parameters whose chosen value lies at the end of what was tried."""
    study: str = ""
    """How a study chose the setting, as Markdown, if one did."""


def enter(preset: Preset, bench: ReportContext, row: Row, task: Task, metric: str) -> Entry:
    """Choose a row's setting, grow its grids while the best lies at their end, and train it with every seed."""
    if row.study:
        config, chosen = best_of(row.study, bench.storage)
        for what, own, wanted in (
            ("strategy", config.strategy, row.strategy),
            ("task", config.task, task.base.task),
            ("data", config.data, task.base.data),
            ("architecture", config.architecture, task.base.architecture),
        ):
            if own != wanted:
                raise InputError(f"study {row.study} has {what} {own}, but row {row.label} is of {wanted}")
        return Entry(row, config, _trained(preset, bench, config), {}, (), f"{escape(row.label)}: {chosen}")
    tried, lengths = settings(row, task, preset), preset.lengths(row)
    if len(tried) * len(lengths) == 1:
        (config,) = lasting(tried[0], max(row.lengths, default=preset.epochs), preset.seeds[:1])
        return Entry(row, config, _trained(preset, bench, config, bool(row.lengths)), {}, ())
    trials = dict[Config, list[Run]]()

    def score(configs: Sequence[Config]) -> dict[Config, float]:
        wanted = [run for config in configs for run in lasting(config, max(lengths), preset.trial_seeds)]
        metrics, whole = _judged(configs, metric)
        told = [("validation", each) for each in metrics]
        made = iter(bench.train(wanted, epochs=range(1, max(lengths) + 1) if whole else lengths, metrics=told))
        runs = {config: [next(made) for _ in preset.trial_seeds] for config in configs}
        found = {replace(config, epochs=each): own for config, own in runs.items() for each in lengths}
        trials.update(found)
        return {config: mean(own, metric, config.epochs) for config, own in found.items()}

    axes = [rate_axis(row.shared_rate), TEMPERATURE, BETA, WEIGHT_DECAY]
    scores = widened(tried, score, axes, preset.growth)
    best = max(scores, key=scores.__getitem__)
    runs = _trained(preset, bench, best, bool(row.lengths)) if scores[best] > float("-inf") else []
    return Entry(row, best, runs, trials, at_end(best, list(scores), [*axes, LENGTH]))


def best_of(study: str, storage: str) -> tuple[Config, str]:
    """The setting of a study's best trial, and how it was chosen; raises ``InputError`` where there is none."""
    behind = open_storage(storage, make=False)
    if study not in (known := optuna.get_all_study_names(behind)):
        raise nearest(study, known, "study")
    found = optuna.load_study(study_name=study, storage=behind)
    search, epochs, seeds = defined(found)
    if not (trials := ranked(found)):
        raise InputError(f"study {study} has no complete trial; finish it with: python -m studies run {study}")
    told = (
        f"the best of {counted(len(done(found.get_trials(deepcopy=False))), 'trial')} of the study {code(study)} "
        f"({counted(epochs, 'epoch')}, {counted(len(seeds), 'seed')}, by validation {metric_of(found)})"
    )
    return search.configs(trials[0].params, seeds[:1], epochs)[0], told


def _trained(preset: Preset, bench: ReportContext, config: Config, own_length: bool = False) -> list[Run]:
    length = config.epochs if own_length else preset.epochs
    return bench.train(lasting(config, length, preset.seeds), samples=preset.evaluated, whole=True)


def mean(runs: Sequence[Run], metric: str, epochs: int) -> float:
    """The mean of a validation metric after so many epochs; minus infinity where a run failed.

    Of a run that keeps its best epoch, the metric after the best of these. Raises ``InputError`` where there is no such
    metric.
    """
    return sum(_after(epochs, run, metric) for run in runs) / len(runs)


def _after(epochs: int, run: Run, metric: str) -> float:
    if run.failure is not None:
        return float("-inf")
    found = run.validation(run.kept_at(epochs * run.steps_per_epoch))
    if metric not in found:
        raise InputError(f"{run.config.name} has no validation {metric} to choose by; it has {', '.join(found)}")
    return found[metric]


def _judged(configs: Collection[Config], metric: str) -> tuple[Sequence[str], bool]:
    """What a choice between trials needs: metrics, and whether after every epoch.

    Every epoch is needed if some keep their best one or have patience, since the score's history tells which it is.
    """
    scores = [config.score_metric for config in configs if config.keep == "best" or config.patience]
    return list(dict.fromkeys([metric, *scores])), bool(scores)


def _told(run: Run, epochs: int, whole: bool) -> Sequence[int]:
    """The epochs after which a trial's metrics are needed."""
    return range(1, min(epochs, run.last_epoch) + 1) if whole and not run.failure else [epochs]


def tuning(entries: Mapping[str, Entry], metric: str) -> pd.DataFrame:
    """The trials' scores by row, as tidy rows; no value for a run that failed.

    Where some keep their best epoch or have patience every epoch has one: the table alone tells which is chosen.
    """
    places = []
    for row, entry in entries.items():
        metrics, whole = _judged(entry.trials, metric)
        places += [
            (row, config, run, name, epoch)
            for config, runs in entry.trials.items()
            for run in runs
            for name in metrics
            for epoch in _told(run, config.epochs, whole)
        ]
    return pd.DataFrame(
        {
            "row": row,
            "strategy": run.config.strategy,
            "parameters": changes(replace(run.config, epochs=config.epochs)),
            "seed": run.config.seed,
            "split": "validation",
            "metric": name,
            "value": None if run.failure is not None else run.validation(epoch)[name],
            "run": run.config.name,
            "epoch": epoch,
        }
        for row, config, run, name, epoch in places
    )
