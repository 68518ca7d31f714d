"""Tables and figures of Optuna studies, from any storage; nothing is trained."""

from __future__ import annotations

import itertools
import math
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.errors import InputError
from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run, parameters
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.tuning import (
    DEFINITION,
    METRICS,
    Study,
    active_trials,
    complete,
    defined,
    done,
    format_params,
    metric_of,
    open_storage,
    ranked,
    stored_best,
    table,
)
from discrete_vae.tuning.attributes import values_of
from discrete_vae.tuning.metrics import Metric
from discrete_vae.tuning.overriding import MARK
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.figures import COLOURS, figure, legend, plain
from reports.kit.latex import Latex, escape, render
from reports.kit.markdown import table as markdown_table
from reports.kit.names import distinct, shown
from reports.kit.tables import Panel, compared, mean_ci
from reports.kit.tables import table as latex_table

BEST = 0.2
"""The share of complete trials, the best ones, whose range of a hyper-parameter is given."""
FEW = 8
"""With fewer complete trials nothing is said of importance."""
RATE = "learning_rate"
HISTORY, IMPORTANCE, PLANE = "studies_history", "studies_importance", "studies_plane"
"""Names of the figures."""
WINNERS = {"elbo": "ELBO", "log_likelihood": "IW bound"}
"""What winners are compared by."""
SCALES = {"accuracy": 100.0}
"""Of metrics that are shown in per cent."""
PAPERS = "Akiba et al. 2019; Bergstra et al. 2011; Watanabe et al. 2023"
"""Of Optuna, of its sampler and of the importance of hyper-parameters."""


@dataclass(frozen=True)
class Preset:
    """All studies of a storage."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return "every study of this project in --storage, as it stands; trains nothing"


def make(preset: Preset, bench: ReportContext) -> None:
    """Read the studies, and write tables, figures and the document."""
    storage = open_storage(bench.storage, make=False)
    there = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    found = [study for study in there if DEFINITION in study.user_attrs and ranked(study)]
    if not found:
        raise InputError("the storage holds no study with a complete trial; python -m studies run NAME")
    results = _tidy(found)
    bench.write_results(results)
    bench.write("trials.csv", to_csv(table(found)))
    for each in by_metric(found):
        _draw_history(bench, each)
        _draw_plane(bench, each)
    _draw_importance(bench, found)
    folders = [bench.runs / name for name in sorted(set(results["run"]))]
    runs = [Run.open(folder) for folder in folders if (folder / "config.json").exists()]
    bench.write_provenance(runs, studies={study.study_name: study.user_attrs[DEFINITION] for study in found})
    words(bench, found)


def words(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    """Write tables and document from studies that have complete trials."""
    parts = {"studies_compare.tex": comparison(found), "studies_best.tex": best_table(found)}
    for name, part in parts.items():
        bench.write(name, part)
    bench.write("studies.md", markdown(found))
    groups = by_metric(found)
    history, plane = ([f"{_suffixed(name, each)}.pdf" for each in groups] for name in (HISTORY, PLANE))
    configs = [defined(study)[0].base for study in found]
    source = render(
        "studies.tex",
        share=f"{BEST:.0%}",
        few=FEW,
        length=lengths(found),
        importance=any(map(importance, found)),
        metric=metrics(found),
        paired=paired(found),
        history=[Latex(file) for file in history],
        plane=[Latex(file) for file in plane],
        spans=" or ".join(f"{metric.span:g} {metric.unit}".strip() for metric in map(metric_in, groups)),
    )
    bench.write_document(source, [*parts, *history, f"{IMPORTANCE}.pdf", *plane], strategies(configs), PAPERS)


def paired(found: Sequence[OptunaStudy]) -> Latex:
    """By how much winners differ on the test images, over the fresh seeds that they have in common, with tests."""
    names = labels(found)
    values = {
        (study.study_name, metric): _seeds(again[0]["trials"][str(ranked(study)[0].number)].get(f"test {metric}", {}))
        for study in found
        if (again := stored_best(study)) is not None
        for metric in WINNERS
    }
    studies = list(dict.fromkeys(study for study, _ in values))
    told = []
    for metric, title in WINNERS.items():
        pairs = [
            (one, other)
            for one, other in itertools.combinations(studies, 2)
            if len(values[one, metric].keys() & values[other, metric].keys()) >= statistics.MINIMUM_SEEDS
        ]
        p_values = statistics.holm([statistics.paired_p(values[a, metric], values[b, metric]) for a, b in pairs])
        differences = [
            f"{escape(names[one])} less {escape(names[other])} "
            f"{compared(values[one, metric], values[other, metric], p)}"
            for (one, other), p in zip(pairs, p_values, strict=True)
        ]
        told += [f"{title}: {'; '.join(differences)}."] if differences else []
    return Latex("Winners with fresh seeds, on the test images. " + " ".join(told) if told else "")


def labels(found: Sequence[OptunaStudy]) -> dict[str, str]:
    """What the studies' names are shown as: without what precedes the slash where all are searches of one.

    And without changes, such as ``+hidden=128``, that all have in common, so that what differs is seen.
    """
    names = [study.study_name for study in found]
    of_one = len({name.partition("/")[0] for name in names}) == 1
    parts = {name: ((name.partition("/")[2] or name) if of_one else name).split(MARK) for name in names}
    changes = [{each for each in own[1:] if "=" in each} for own in parts.values()]
    common = set.intersection(*changes) if changes else set()
    kept = {name: own[:1] + [each for each in own[1:] if each not in common] for name, own in parts.items()}
    return distinct((name, shown(MARK.join(own))) for name, own in kept.items())


def by_metric(found: Sequence[OptunaStudy]) -> list[list[OptunaStudy]]:
    """The studies that maximise the same metric together, for no two metrics share an axis."""
    names = dict.fromkeys(map(metric_of, found))
    return [[study for study in found if metric_of(study) == name] for name in names]


def metric_in(group: Sequence[OptunaStudy]) -> Metric:
    """The metric of studies that have one in common."""
    return METRICS[metric_of(group[0])]


def metrics(found: Sequence[OptunaStudy]) -> str:
    """``ELBO``, or ``ELBO or accuracy``: what the studies maximise."""
    return " or ".join(METRICS[metric_of(group[0])].label for group in by_metric(found))


def budget(found: Sequence[OptunaStudy]) -> int:
    """As many trials as all of the studies have."""
    return min(len(done(study.get_trials(deepcopy=False))) for study in found)


def lengths(found: Sequence[OptunaStudy]) -> str:
    """``8 epochs and 2 seeds a trial``, of whatever lengths there are."""
    known = dict.fromkeys((epochs, len(seeds)) for _, epochs, seeds in map(defined, found))
    return " or ".join(f"{epochs} epochs and {seeds} seed{'s' * (seeds > 1)} a trial" for epochs, seeds in known)


def _tidy(found: Sequence[OptunaStudy]) -> pd.DataFrame:
    """One line a trial and seed, and one for each seed of a winner that was trained again."""
    rows: list[dict[str, Any]] = []
    for study in found:
        search, epochs, _ = defined(study)
        for trial in active_trials(study.get_trials(deepcopy=False)):
            known: dict[str, Any] = {
                "row": study.study_name,
                "strategy": search.base.strategy,
                "trial": trial.number,
                "state": trial.state.name.lower(),
            }
            for seed, value in values_of(trial).items():
                (config,) = search.configs(trial.params, [int(seed)], epochs)
                own = {"parameters": parameters(config), "seed": int(seed), "run": config.name}
                rows.append(known | own | {"split": "validation", "metric": metric_of(study), "value": value})
        if (again := stored_best(study)) is None:
            continue
        made, _ = again
        trials = {trial.number: trial for trial in ranked(study)}
        for number, values in made["trials"].items():
            for name, by_seed in values.items():
                split, _, metric = name.partition(" ")
                for seed, value in by_seed.items():
                    (config,) = search.configs(trials[int(number)].params, [int(seed)], made["epochs"])
                    own = {"parameters": parameters(config), "seed": int(seed), "run": config.name}
                    known = {"row": study.study_name, "strategy": config.strategy, "trial": number, "state": "again"}
                    rows.append(known | own | {"split": split, "metric": metric, "value": value})
    return pd.DataFrame(rows)


def best_table(found: Sequence[OptunaStudy]) -> Latex:
    """What the best trial of each study has, and what the best fifth of its complete trials have."""
    body: list[list[object]] = []
    names = labels(found)
    for study in found:
        ordered = ranked(study)
        top = ordered[: max(1, math.ceil(BEST * len(ordered)))]
        for i, (name, value) in enumerate(ordered[0].params.items()):
            values = [trial.params[name] for trial in top if name in trial.params]
            span: object = shown(", ".join(sorted(set(map(str, values)))))
            if all(isinstance(each, float) for each in values):
                span = Latex(f"{min(values):.3g} to {max(values):.3g}")
            value = f"{value:.3g}" if isinstance(value, float) else shown(value)
            label = f"{names[study.study_name]} ({len(top)} of {len(ordered)})" if i == 0 else ""
            body.append([label, _short(name), value, span])
    heads = [Latex(rf"study & & best & best {BEST:.0%} \\".replace("%", r"\%"))]
    caption = Latex(
        rf"Hyper-parameters of the best complete trial, and their interval over the best {BEST * 100:.0f}\% of the "
        r"complete ones (in brackets: how many)."
    )
    return latex_table("studies-best", caption, [Panel(Latex("llrr"), heads, body)])


def comparison(found: Sequence[OptunaStudy]) -> Latex:
    """Each study's best after as many trials as all of them have, and what became of the winner on fresh seeds."""
    within, names = budget(found), labels(found)
    accurate = any(metric_of(study) == "accuracy" for study in found)
    scored = ["elbo", "log_likelihood", *["accuracy"] * accurate]
    body: list[list[object]] = []
    lengths = set()
    for study in found:
        ended = done(study.get_trials(deepcopy=False))
        states = [trial.state for trial in ended]
        early = [trial for trial in ended[:within] if trial.state == TrialState.COMPLETE]
        best = max(early, key=lambda trial: trial.values[0], default=None)
        row: list[object] = [
            names[study.study_name],
            *(states.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)),
            *(_mean(study, trial) for trial in (best, ranked(study)[0])),
        ]
        if (again := stored_best(study)) is not None:
            made, winner = again
            values = made["trials"][str(winner.number)]
            lengths.add((made["epochs"], made["samples"]))
            row += [mean_ci(_seeds(values.get(f"test {name}", {}), SCALES.get(name, 1.0))) for name in scored]
        else:
            row += [mean_ci({}) for _ in scored]
        body.append(row)
    share = r"& acc., \% " * accurate
    heads = Latex(
        r"& \multicolumn{3}{c}{trials} & \multicolumn{2}{c}{validation "
        rf"{metrics(found)}}} & \multicolumn{{{len(scored)}}}{{c}}{{winner again, test}} "
        rf"\\ study & complete & pruned & failed & best of {within} & best of all & ELBO & bound {share}\\"
    )
    again_note = "".join(
        f" Winner again: trained for {epochs} epochs with fresh seeds, mean $\\pm$ 95\\% interval over these; the "
        f"bound is of {samples} samples."
        for epochs, samples in sorted(lengths)
    )
    caption = Latex(
        f"Validation {metrics(found)} of the best trial, mean over its seeds, {_in_nats(found)}: of the first {within} "
        "trials, which all studies have, and of all. It is "
        f"biased upwards, because the same seeds chose it.{again_note}"
    )
    panel = Panel(Latex("lrrrrr" + "r" * len(scored)), [heads], body)
    return latex_table("studies-compare", caption, [panel], separation="4pt")


def markdown(found: Sequence[OptunaStudy]) -> str:
    """The winners for a README: their values, validation ELBO, and on the test images with fresh seeds."""
    names = labels(found)
    heads = ["", "winner", "trials", f"valid. {metrics(found)}", "test ELBO, fresh seeds", "test IW bound"]
    lines = []
    for study in found:
        winner, count = ranked(study)[0], len(done(study.get_trials(deepcopy=False)))
        cells = [
            names[study.study_name],
            format_params(winner.params),
            str(count),
            METRICS[metric_of(study)].text(winner.values[0]),
        ]
        values = again[0]["trials"][str(winner.number)] if (again := stored_best(study)) else {}
        for name in ("test elbo", "test log_likelihood"):
            each = list(values.get(name, {}).values())
            cells.append(statistics.interval(each).text(2) if each else "")
        lines.append(cells)
    return markdown_table(heads, lines, left=2)


def _mean(study: OptunaStudy, trial: FrozenTrial | None) -> Latex:
    return Latex("--") if trial is None else Latex(f"${METRICS[metric_of(study)].text(trial.values[0])}$")


def _in_nats(found: Sequence[OptunaStudy]) -> str:
    units = {METRICS[metric_of(study)].unit for study in found}
    return "in nats" if units == {"nats"} else "ELBO and bound in nats"


def _suffixed(name: str, group: Sequence[OptunaStudy]) -> str:
    """A figure's name, with its metric's where that is not the ELBO."""
    metric = metric_of(group[0])
    return name if metric == Study.metric else f"{name}_{metric}"


def _seeds(values: dict[str, float], scale: float = 1.0) -> statistics.Seeds:
    return {int(seed): scale * value for seed, value in values.items()}


def _short(name: str) -> str:
    """A hyper-parameter's name in a table or at an axis."""
    return name.partition("+")[0].replace("_", " ").replace(".", " ")


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


def _draw_history(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    """The best value so far, by trials that have ended, and each complete trial's."""
    file = _suffixed(HISTORY, found)
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


def _draw_importance(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    names = _drawn(found)
    known = {names[study.study_name]: shares for study in found if (shares := importance(study))}
    bars = [
        (f"{study}: {_short(name)}", known[study][name], i) for i, study in enumerate(known) for name in known[study]
    ]
    with figure(bench.out, IMPORTANCE, height=0.6 + 0.22 * len(bars)) as drawing:
        axes = drawing.subplots()
        places = range(len(bars))
        axes.barh(places, [share for _, share, _ in bars], color=[COLOURS[i % len(COLOURS)] for *_, i in bars])
        axes.set_yticks(places, [plain(label) for label, *_ in bars])
        axes.invert_yaxis()
        axes.set(xlabel="importance (PED-ANOVA)")


def _draw_plane(bench: ReportContext, found: Sequence[OptunaStudy]) -> None:
    """Temperature, or the first other hyper-parameter, against the learning rate, of studies that have them."""
    planes = [(study, *plane) for study in found if (plane := _plane(study))]
    best = max((trial.values[0] for study, *_ in planes for trial in complete(study)), default=0.0)
    rows = math.ceil(len(planes) / 3)
    file, metric = _suffixed(PLANE, found), metric_in(found)
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
            axes.set(xscale="log", xlabel="learning rate", ylabel=_short(other))
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


REPORT = Report(
    "studies", "tables and figures of Optuna studies, from any storage", {"stored": Preset()}, make, storage=True
)
