"""Target propagation for a categorical VAE: what the thesis' rule lacks, what replaces it, and how far that goes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.runs import Run
from reports.kit.context import ReportContext, strategies
from reports.kit.report import Report
from reports.kit.results import by_name
from reports.kit.tidy import evaluation_rows, history_rows
from reports.target_propagation import figures
from reports.target_propagation.settings import PRESETS, Preset, Trial, Variant
from reports.target_propagation.tables import DIAGNOSTICS, relations_table, results_table, setting, variants_table
from reports.target_propagation.tuning import Tuned, tune, tuning

METRICS = (*DIAGNOSTICS, "pull_cosine")
"""Of a run's history, that are written."""


def train(preset: Preset, bench: ReportContext) -> tuple[Tuned, list[tuple[str, Run]]]:
    """Tune, then train what was chosen: the trials, and the finals with their labels."""
    tuned = tune(preset, bench) if preset.variants else ([], preset.finalists, {})
    samples, epochs = preset.evaluated, range(1, preset.epochs + 1)
    return tuned, [
        (variant.label, run)
        for variant in preset.finalists
        for run in bench.train(final(preset, variant, tuned[1][variant]), samples=samples, whole=True, epochs=epochs)
    ]


def make(preset: Preset, bench: ReportContext) -> None:
    """Tune, train and evaluate what is missing, then write numbers, tables, figures and documents."""
    (tuned, chosen, short), finals = train(preset, bench)
    samples = preset.evaluated
    results = pd.concat([evaluation_rows(bench.report, *each, samples) for each in finals], ignore_index=True)
    curves, signals = (
        pd.concat([history_rows(*each, METRICS) for each in runs], ignore_index=True)
        for runs in (finals, [(row, tried.run) for row, tried in short.items()] or finals)
    )
    bench.write_results(results)
    bench.write_results(curves, "learning_curves.csv")
    settings = {variant.label: setting(variant, chosen[variant], bool(tuned)) for variant in preset.finalists}
    tables = [results_table(preset, results, settings), relations_table(results, len(preset.seeds))]
    if tuned:
        bench.write_results(tuning(tuned), "tuning.csv")
        bench.write_results(signals, "signals.csv")
        tables.append(variants_table(short))
    runs = [run for _, run in finals] + [tried.run for tried in tuned]
    bench.write_provenance(runs, samples=samples, epochs=preset.epochs, chosen=settings)
    figures.learning_curves(bench.out, curves)
    figures.signals(bench.out, signals)
    last = signals[signals["epoch"] == signals["epoch"].max()]
    values = {"preset": bench.preset, "settings": preset, "short": by_name(last, list(short))["mean"]}
    values |= by_name(results, list(settings))
    text, cited = Path(__file__).with_name("text.md"), strategies(run.config for run in runs)
    names = ["learning_curves", "signals"]
    bench.write_text("Target propagation through categorical latents", text, tables, values, names, cited)


def final(preset: Preset, variant: Variant, trial: Trial) -> list[Config]:
    """A row of the table, a run a seed."""
    return [variant.config(trial, preset.epochs, seed, preset.base) for seed in preset.seeds]


def plan(preset: Preset) -> list[Config]:
    """The runs that a preset starts, if it finds the same settings; most of the short ones stop early."""
    tried = [(variant, trial, preset.trial_epochs) for variant in preset.variants for trial in variant.trials]
    if preset.variants:
        tried += [(variant, trial, preset.epochs) for variant in preset.finalists for trial in variant.known]
    found = [variant.config(trial, epochs, preset.trial_seeds[0], preset.base) for variant, trial, epochs in tried]
    return found + [config for row in preset.finalists.items() for config in final(preset, *row)]


SUMMARY = "target propagation through categorical latents: what fails, what wins"
REPORT = Report(
    "target-propagation", SUMMARY, PRESETS, make, plan=plan, parts=lambda preset: {"all": partial(train, preset)}
)
