"""The tables of the report on studies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.evaluation import statistics
from discrete_vae.tuning import METRICS, done, format_params, metric_of, ranked, stored_best
from reports.kit.names import shown
from reports.kit.results import difference_cells, tested, tests_of
from reports.kit.table import DASH, Cell, Column, Number, Table
from reports.studies.groups import budget, labels, metrics, short

BEST = 0.2
"""The share of complete trials, the best ones, whose range of a hyper-parameter is given."""
AGAIN = {"elbo": "ELBO", "log_likelihood": "IW bound", "accuracy": "accuracy, %"}
"""Test metrics of winners that were trained again, and their heads."""
SCALES = {"accuracy": 100.0}
"""Scales of metrics that are shown in per cent."""


def again(study: OptunaStudy) -> dict[str, statistics.Seeds]:
    """Test metrics of the winner with fresh seeds; empty where it was not trained again."""
    if (kept := stored_best(study)) is None:
        return {}
    made, winner = kept
    found: Mapping[str, Mapping[str, float]] = made["trials"][str(winner.number)]
    return {
        name: {int(seed): SCALES.get(name, 1.0) * value for seed, value in found.get(f"test {name}", {}).items()}
        for name in AGAIN
    }


def scored(found: Sequence[OptunaStudy]) -> list[str]:
    """Test metrics that some winner has, or that all have in other reports."""
    return [name for name in AGAIN if name != "accuracy" or any(metric_of(study) == name for study in found)]


def comparison(found: Sequence[OptunaStudy]) -> Table:
    """Each study's best after as many trials as all of them have, and what became of the winner on fresh seeds."""
    within, names, body = budget(found), labels(found), list[list[Cell]]()
    told = set()
    for study in found:
        ended = done(study.get_trials(deepcopy=False))
        states = [trial.state for trial in ended]
        early = [trial for trial in ended[:within] if trial.state == TrialState.COMPLETE]
        best = max(early, key=lambda trial: trial.values[0], default=None)
        counts = (states.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
        values = [_mean(study, trial) for trial in (best, ranked(study)[0])]
        fresh = again(study)
        tested = [Number.mean(fresh.get(name, {})) for name in scored(found)]
        body.append([names[study.study_name], *(Number(each, digits=0) for each in counts), *values, *tested])
        if (kept := stored_best(study)) is not None:
            told.add((kept[0]["epochs"], kept[0]["samples"]))
    columns = [
        Column("study", text=True),
        *(Column(each, "trials") for each in ("complete", "pruned", "failed")),
        *(Column(each, f"validation {metrics(found)}") for each in (f"best of {within}", "best of all")),
        *(Column(AGAIN[name], "winner again, test") for name in scored(found)),
    ]
    lengths = "".join(
        f" Winner again: trained for {epochs} epochs with fresh seeds, mean ± 95% interval over these; the bound is of "
        f"{samples} samples."
        for epochs, samples in sorted(told)
    )
    caption = (
        f"Validation {metrics(found)} of the best trial, mean over its seeds (ELBO and bound in nats): of the first "
        f"{within} trials, which all studies have, and of all. It is biased upwards, because the same seeds chose it."
    )
    return Table("compare", caption + lengths, columns, body)


def best(found: Sequence[OptunaStudy]) -> Table:
    """What the best trial of each study has, and what the best fifth of its complete trials have."""
    body: list[list[Cell]] = []
    names = labels(found)
    for study in found:
        ordered = ranked(study)
        top = ordered[: max(1, math.ceil(BEST * len(ordered)))]
        for i, (name, value) in enumerate(ordered[0].params.items()):
            values = [trial.params[name] for trial in top if name in trial.params]
            span = shown(", ".join(sorted(set(map(str, values)))))
            if all(isinstance(each, float) for each in values):
                span = f"{min(values):.3g} to {max(values):.3g}"
            own = f"{value:.3g}" if isinstance(value, float) else shown(value)
            label = f"{names[study.study_name]} ({len(top)} of {len(ordered)})" if i == 0 else ""
            body.append([label, short(name), own, span])
    heads = [Column("study", text=True), Column("", text=True), Column("best"), Column(f"best {BEST:.0%}")]
    caption = (
        f"Hyper-parameters of the best complete trial, and their interval over the best {BEST:.0%} of the complete "
        "ones (in brackets: how many)."
    )
    return Table("best", caption, heads, body)


def pairs(found: Sequence[OptunaStudy]) -> list[Table]:
    """Differences between winners on the test images, over the fresh seeds that they have in common, with tests."""
    names, fresh = labels(found), {study.study_name: again(study) for study in found}
    body: list[list[Cell]] = []
    for metric in ("elbo", "log_likelihood"):
        values = {name: own[metric] for name, own in fresh.items() if own.get(metric)}
        both = {
            (one, other): (values[one], values[other])
            for one, other in itertools.combinations(values, 2)
            if len(values[one].keys() & values[other].keys()) >= statistics.MINIMUM_SEEDS
        }
        for (one, other), apart in tested(both).items():
            body.append([f"{names[one]} less {names[other]}", AGAIN[metric], *difference_cells(*apart)])
    heads = [Column("", text=True), Column("test", text=True), Column("difference"), Column("$p$"), Column("Holm")]
    caption = f"Winners with fresh seeds, on the test images, in nats: {tests_of('of a measure')}"
    return [Table("pairs", caption, heads, body)] if body else []


def winners(found: Sequence[OptunaStudy]) -> Table:
    """The winners' values, and the numbers that a reader wants first."""
    names, body = labels(found), list[list[Cell]]()
    for study in found:
        winner, count = ranked(study)[0], len(done(study.get_trials(deepcopy=False)))
        fresh = again(study)
        tested = [Number.mean(fresh.get(name, {})) for name in ("elbo", "log_likelihood")]
        shown_as, values = names[study.study_name], format_params(winner.params)
        body.append([shown_as, values, Number(count, digits=0), _mean(study, winner), *tested])
    heads = [Column("", text=True), Column("winner", text=True), Column("trials"), Column(f"valid. {metrics(found)}")]
    heads += [Column("test ELBO, fresh seeds"), Column("test IW bound")]
    return Table("winners", "Each study's winner.", heads, body)


def _mean(study: OptunaStudy, trial: FrozenTrial | None) -> Cell:
    digits = len(METRICS[metric_of(study)].text(0.5).partition(".")[2])
    return DASH if trial is None else Number(trial.values[0], digits=digits)
