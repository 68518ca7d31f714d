"""Random architectures under both constraints of a critic, after section 5.1 of Gulrajani et al. (2017)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.runs import Run
from reports.architectures import parts
from reports.architectures.settings import PRESETS, SPACE, Preset, study
from reports.kit.context import ReportContext, strategies
from reports.kit.declared import counted
from reports.kit.report import Report
from reports.kit.tidy import evaluation_rows

TITLE = "Random architectures under a gradient penalty and under weight clipping"
PAPERS = "Gulrajani et al. 2017; Arjovsky et al. 2017; Salimans et al. 2016"


def make(preset: Preset, bench: ReportContext) -> None:
    """Train and score what is missing, then write tables, the figure and the documents."""
    plan = preset.plan()
    runs = dict(zip(plan, train(preset, list(plan.values()), bench), strict=True))
    frames = [
        evaluation_rows(bench.report, constraint, run, preset.evaluated).assign(trial=trial)
        for (constraint, trial), run in runs.items()
    ]
    results = pd.concat(frames, ignore_index=True)
    bench.write_results(results)
    bench.write_provenance(list(runs.values()), trials=preset.trials, sampler="RandomSampler", seed=study(preset).seed)
    scores = parts.scores(results, sorted({trial for _, trial in runs}))
    parts.draw(bench, scores, parts.real(results))
    base = next(iter(runs.values())).config
    values = {
        "preset": bench.preset,
        "trials": preset.trials,
        "different": len(scores),
        "failed": parts.failures(runs),
        "epochs": counted(preset.epochs, "epoch"),
        "updates": f"{next(iter(runs.values())).total_steps:,}",
        "base": base,
        "whole": preset.space == SPACE,
        "real": parts.real(results),
        "count": lambda threshold: parts.counts(scores, threshold),
        "p": lambda threshold: parts.p_of(scores, threshold),
    }
    tables = [parts.successes(scores), parts.choices(scores, runs)]
    text, cited = Path(__file__).with_name("text.md"), strategies([base])
    bench.write_text(TITLE, text, tables, values, [parts.FIGURE], cited, PAPERS)


def train(preset: Preset, configs: Sequence[Config], bench: ReportContext) -> list[Run]:
    """The runs of some of the plan."""
    return bench.train(configs, samples=preset.evaluated, whole=True)


REPORT = Report(
    "architectures",
    "60 random architectures, each with a penalised and with a clipped critic, after Gulrajani et al. 2017",
    PRESETS,
    make,
    plan=lambda preset: list(preset.plan().values()),
    parts=lambda preset: {
        f"{constraint}, trial {trial}": partial(train, preset, [config])
        for (constraint, trial), config in preset.plan().items()
    },
)
