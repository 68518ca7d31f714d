"""Tables and figures of Optuna studies, from any storage; nothing is trained."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.tuning import open_storage, ranked, standing
from discrete_vae.tuning.worker import DEFINITION, VALUES
from reports.figures import COLOURS, figure
from reports.latex import Latex, render
from reports.report import Bench, Report
from reports.tables import Panel, spread, table

BEST = 0.2
"""The share of trials, the best ones, whose range of a hyper-parameter is given."""
FEW = 8
"""With fewer trials nothing is said of importance."""


@dataclass(frozen=True)
class Preset:
    """Which of the storage's studies."""

    prefix: str = ""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        return "every study of this project in --storage, as it stands; trains nothing"


def make(preset: Preset, bench: Bench) -> None:
    """Read the studies, and write tables, figures and the document."""
    storage = open_storage(bench.storage, make=False)
    there = [
        optuna.load_study(study_name=name, storage=storage) for name in sorted(optuna.get_all_study_names(storage))
    ]
    found = [study for study in there if DEFINITION in study.user_attrs and ranked(study)]
    if not found:
        raise InputError("the storage holds no study with a complete trial; python -m studies run NAME")
    results = pd.concat([_tidy(study) for study in found], ignore_index=True)
    bench.write_results(results)
    parts = {"studies_best.tex": best_table(found), "studies_compare.tex": comparison(found)}
    for name, part in parts.items():
        bench.write(name, part)
    with figure(bench.out, "studies_history", height=2.8) as drawing:
        axes = drawing.subplots()
        for i, study in enumerate(found):
            values = [trial.value for trial in complete(study)]
            style = {"color": COLOURS[i % len(COLOURS)], "label": study.study_name}
            axes.step(range(1, len(values) + 1), np.maximum.accumulate(np.array(values, float)), where="post", **style)
            axes.plot(range(1, len(values) + 1), values, "o", markersize=2.5, alpha=0.5, color=style["color"])
        lowest = np.quantile([trial.values[0] for study in found for trial in complete(study)], 0.1)
        axes.set(xlabel="complete trials", ylabel="validation ELBO (nats)")
        axes.set_ylim(bottom=float(lowest))
        axes.legend(fontsize=7)
    _draw_importance(bench, found)
    _draw_plane(bench, found)
    figures = ["studies_history.pdf", "studies_importance.pdf", "studies_plane.pdf"]
    definitions = {study.study_name: study.user_attrs[DEFINITION] for study in found}
    bench.write("provenance.json", json.dumps({"report": "studies", "studies": definitions}, indent=2) + "\n")
    used = [(config.strategy, config.options) for config in (_fixed(study) for study in found)]
    bench.write_document(render("studies.tex", share=f"{BEST:.0%}"), [*parts, *figures], used)


def complete(study: OptunaStudy) -> list[FrozenTrial]:
    """The complete trials, in their order."""
    return [trial for trial in standing(study.get_trials(deepcopy=False)) if trial.state == TrialState.COMPLETE]


def _fixed(study: OptunaStudy) -> Config:
    return Config.from_dict(study.user_attrs[DEFINITION]["fixed"])


def _tidy(study: OptunaStudy) -> pd.DataFrame:
    """One line a trial and seed."""
    return pd.DataFrame(
        {
            "row": study.study_name,
            "strategy": _fixed(study).strategy,
            "parameters": json.dumps(trial.params, sort_keys=True),
            "seed": int(seed),
            "split": "validation",
            "metric": "elbo",
            "value": value,
            "run": run,
            "trial": trial.number,
            "state": trial.state.name.lower(),
        }
        for trial in standing(study.get_trials(deepcopy=False))
        for (seed, value), run in zip(trial.user_attrs.get(VALUES, {}).items(), trial.user_attrs["runs"], strict=True)
    )


def best_table(found: Sequence[OptunaStudy]) -> Latex:
    """What the best trial of each study has, and what the best fifth of them have."""
    body: list[list[object]] = []
    for study in found:
        ordered = ranked(study)
        top = ordered[: max(1, math.ceil(BEST * len(ordered)))]
        for i, (name, value) in enumerate(ordered[0].params.items()):
            shown = [trial.params[name] for trial in top]
            span: object = ", ".join(sorted(set(map(str, shown))))
            if isinstance(value, float):
                span = Latex(f"{min(shown):.3g} to {max(shown):.3g}")
                value = f"{value:.3g}"
            body.append([study.study_name if i == 0 else "", name, value, span])
    panel = Panel(Latex("llrr"), [Latex(r"study & & best & best fifth \\")], body)
    return table("studies-best", Latex("Hyper-parameters of the best trial, and the range of the best fifth."), [panel])


def comparison(found: Sequence[OptunaStudy]) -> Latex:
    """Each study's best after as many trials as all of them have."""
    budget = min(len(ended(study)) for study in found)
    body: list[list[object]] = []
    for study in found:
        states = [trial.state for trial in standing(study.get_trials(deepcopy=False))]
        within = [trial for trial in ended(study)[:budget] if trial.state == TrialState.COMPLETE]
        best = max(within, key=lambda trial: trial.values[0], default=None)
        values = {int(seed): value for seed, value in best.user_attrs[VALUES].items()} if best else {}
        body.append(
            [
                study.study_name,
                *(states.count(state) for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)),
                spread(values),
                spread({int(seed): value for seed, value in ranked(study)[0].user_attrs[VALUES].items()}),
            ]
        )
    heads = Latex(rf"study & complete & pruned & failed & best of {budget} & best of all \\")
    caption = Latex(
        "Validation ELBO of the best trial in nats, mean $\\pm$ 95\\% interval over its seeds; the comparison at an "
        "equal budget is that of the first column of these. A best trial's value flatters: these very seeds chose it."
    )
    return table("studies-compare", caption, [Panel(Latex("lrrrrr"), [heads], body)])


def ended(study: OptunaStudy) -> list[FrozenTrial]:
    """The trials that have ended, in their order."""
    return [trial for trial in standing(study.get_trials(deepcopy=False)) if trial.state.is_finished()]


def importance(study: OptunaStudy) -> dict[str, float]:
    """Share of each hyper-parameter by PED-ANOVA (Watanabe et al. 2023); empty for few trials."""
    if len(complete(study)) < FEW:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _draw_importance(bench: Bench, found: Sequence[OptunaStudy]) -> None:
    known = {study.study_name: shares for study in found if (shares := importance(study))}
    with figure(bench.out, "studies_importance", height=0.6 + 0.22 * sum(map(len, known.values()))) as drawing:
        axes = drawing.subplots()
        bars = [(f"{study}: {name}", share, i) for i, study in enumerate(known) for name, share in known[study].items()]
        axes.barh(
            [label for label, *_ in bars],
            [share for _, share, _ in bars],
            color=[COLOURS[i % len(COLOURS)] for *_, i in bars],
        )
        axes.invert_yaxis()
        axes.set(xlabel="importance (PED-ANOVA)")


def _draw_plane(bench: Bench, found: Sequence[OptunaStudy]) -> None:
    """Temperature, or the first other hyper-parameter, against the learning rate."""
    with figure(bench.out, "studies_plane", height=2.4) as drawing:
        panels = drawing.subplots(1, len(found), squeeze=False)[0]
        for axes, study in zip(panels, found, strict=True):
            trials = complete(study)
            names = [name for name in trials[0].params if name != "learning_rate"]
            other = "temperature" if "temperature" in names else next(iter(names), "learning_rate")
            points: list[dict[str, Any]] = [trial.params for trial in trials]
            image = axes.scatter(
                [point["learning_rate"] for point in points],
                [point[other] for point in points],
                c=[trial.values[0] for trial in trials],
                cmap="cividis",
                s=14,
            )
            axes.set(xscale="log", xlabel="learning rate", ylabel=other, title=study.study_name)
            if isinstance(points[0][other], float):
                axes.set_yscale("log")
            drawing.colorbar(image, ax=axes, label="validation ELBO")


REPORT = Report("studies", "tables and figures of Optuna studies, from any storage", {"stored": Preset()}, make)
