"""The figures of the report on studies."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState

from discrete_vae.tuning import Study, complete, done, metric_of, ranked
from reports.kit.context import ReportContext
from reports.kit.figures import COLOURS, figure, legend, plain
from reports.kit.names import distinct, shown
from reports.studies.groups import labels, metric_in, short

FEW = 8
"""With fewer complete trials nothing is said of importance."""
RATE = "learning_rate"
HISTORY, IMPORTANCE, PLANE = "studies_history", "studies_importance", "studies_plane"
"""Names of the figures."""


def suffixed(name: str, group: Sequence[OptunaStudy]) -> str:
    """A figure's name, with its metric's where that is not the ELBO."""
    metric = metric_of(group[0])
    return name if metric == Study.metric else f"{name}_{metric}"


def importance(study: OptunaStudy) -> dict[str, float]:
    """Share of each hyper-parameter by PED-ANOVA (Watanabe et al. 2023); empty for few trials."""
    if len(complete(study)) < FEW:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _drawn(found: Sequence[OptunaStudy]) -> dict[str, str]:
    """The labels with characters that the figures' font has, and no longer for that."""
    return distinct((name, shown(plain(label))) for name, label in labels(found).items())


def history(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    """The best value so far, by trials that have ended, and each complete trial's."""
    file = suffixed(HISTORY, found)
    with figure(bench.out, file, height=max(2.8, 1.2 + 0.15 * len(found))) as drawing:  # the legend's lines fit in
        axes = drawing.subplots()
        names, handles, complete_values = _drawn(found), {}, []
        for i, study in enumerate(found):
            values = [
                trial.values[0] if trial.state == TrialState.COMPLETE else math.nan
                for trial in done(study.get_trials(deepcopy=False))
            ]
            colour, numbers = COLOURS[i % len(COLOURS)], range(1, len(values) + 1)
            (line,) = axes.step(numbers, np.fmax.accumulate(np.array(values, float)), where="post", color=colour)
            handles[names[study.study_name]] = line
            axes.plot(numbers, values, "o", markersize=2.5, alpha=0.5, color=colour)
            complete_values += [value for value in values if not math.isnan(value)]
        axes.set(xlabel="trials", ylabel=f"validation {metric_in(found).axis}")
        axes.set_ylim(bottom=float(np.quantile(complete_values, 0.1)))
        legend(axes, handles, fontsize=7)


def importances(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    """Bars of each study's hyper-parameters."""
    names = _drawn(found)
    known = {names[study.study_name]: shares for study in found if (shares := importance(study))}
    bars = [
        (f"{study}: {short(name)}", known[study][name], i) for i, study in enumerate(known) for name in known[study]
    ]
    with figure(bench.out, IMPORTANCE, height=0.6 + 0.22 * len(bars)) as drawing:
        axes = drawing.subplots()
        places = range(len(bars))
        axes.barh(places, [share for _, share, _ in bars], color=[COLOURS[i % len(COLOURS)] for *_, i in bars])
        axes.set_yticks(places, [plain(label) for label, *_ in bars])
        axes.invert_yaxis()
        axes.set(xlabel="importance (PED-ANOVA)")


def plane(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    """Temperature, or the first other hyper-parameter, against the learning rate, of studies that have them."""
    planes = [(study, *own) for study in found if (own := _plane(study))]
    best = max((trial.values[0] for study, *_ in planes for trial in complete(study)), default=0.0)
    rows = math.ceil(len(planes) / 3)
    file, metric = suffixed(PLANE, found), metric_in(found)
    with figure(bench.out, file, height=0.3 + 2.1 * max(rows, 1)) as drawing:
        names = _drawn(found)
        same = len({other for *_, other in planes}) == 1
        panels = drawing.subplots(max(rows, 1), min(3, max(len(planes), 1)), squeeze=False, sharex=True, sharey=same)
        for axes in panels.flat[len(planes) :]:
            axes.set_visible(False)
        words = {other: each for *_, other in planes if (each := _words(found, other))}

        def place(name: str, value: object) -> Any:
            return words[name].index(str(value)) if name in words else value

        image = None
        for axes, (study, rate, other) in zip(panels.flat, planes, strict=False):
            pruned = [
                trial.params for trial in done(study.get_trials(deepcopy=False)) if trial.state == TrialState.PRUNED
            ]
            axes.plot(
                [each[rate] for each in pruned],
                [place(other, each[other]) for each in pruned],
                "x",
                color="0.6",
                markersize=3,
            )
            trials = complete(study)
            image = axes.scatter(
                [trial.params[rate] for trial in trials],
                [place(other, trial.params[other]) for trial in trials],
                c=[trial.values[0] for trial in trials],
                cmap="cividis",
                vmin=best - metric.span,
                vmax=best,
                s=16,
            )
            winner = ranked(study)[0].params
            axes.plot(
                winner[rate], place(other, winner[other]), "o", markersize=8, markerfacecolor="none", color=COLOURS[2]
            )
            axes.set(xscale="log", xlabel="learning rate", ylabel=short(other))
            axes.set_title(textwrap.fill(names[study.study_name], 40), fontsize=7)
            if other in words:
                axes.set_yticks(range(len(words[other])), [shown(plain(shown(each)), 20) for each in words[other]])
            elif isinstance(winner[other], float):
                axes.set_yscale("log")
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axes.yaxis.set_minor_formatter(NullFormatter())
            axes.label_outer()
        if image is not None:
            drawing.colorbar(image, ax=panels.ravel().tolist(), label=f"validation {metric.axis}", extend="min")


def _words(found: Sequence[OptunaStudy], name: str) -> list[str]:
    """The values of a hyper-parameter that are no numbers, in the order of a scale; none where all are numbers."""
    values = [
        trial.params[name] for study in found for trial in study.get_trials(deepcopy=False) if name in trial.params
    ]
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    return [] if numbers else list(dict.fromkeys(map(str, values)))


def _plane(study: OptunaStudy) -> tuple[str, str] | None:
    """The names of the learning rate and of what stands against it, or None."""
    names = list(complete(study)[0].params)
    rate = next((name for name in names if name.split("+")[0] == RATE), None)
    others = sorted((name for name in names if name != rate), key=lambda name: name != "temperature")
    return (rate, others[0]) if rate and others else None
