"""Target propagation for a categorical VAE: what the thesis' rule lacks, what mends it, and how far that goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.runs import Run
from reports import target_propagation_figures
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.latex import Latex, render
from reports.kit.tables import COLUMNS, evaluation_rows
from reports.target_propagation_settings import CHOSEN, PRESETS, SHOWN, Preset
from reports.target_propagation_tables import main_table, markdown, relations_table, setting
from reports.target_propagation_text import budget, comparison, geometry, goals, length, lost, yardsticks
from reports.target_propagation_tuning import Tried, tune, tuning


def make(preset: Preset, bench: ReportContext) -> None:
    """Tune, train and evaluate what is missing, then write the table, the figures and the document."""
    chosen = {variant: CHOSEN[variant] for variant in preset.finalists if variant in CHOSEN}
    tuned: list[Tried] = []
    short: dict[str, Tried] = {}
    if preset.search:
        tuned, chosen, short = tune(preset, preset.search, bench)
    samples = {"train": 1, "validation": 1, "test": preset.samples}
    rows = {
        variant.label: bench.train(
            [variant.config(chosen[variant], preset.epochs, seed, preset.base) for seed in preset.seeds],
            samples=samples,
            epochs=range(1, preset.epochs + 1),
        )
        for variant in preset.finalists
    }
    final = [run for runs in rows.values() for run in runs]

    results = pd.concat(
        [evaluation_rows(bench.report, name, run, samples) for name, runs in rows.items() for run in runs],
        ignore_index=True,
    )
    curves = pd.concat([history(name, run) for name, runs in rows.items() for run in runs], ignore_index=True)
    signals = (
        pd.concat([history(name, tried.run) for name, tried in short.items()], ignore_index=True) if short else curves
    )
    bench.write_results(results)
    bench.write_results(curves, "learning_curves.csv")
    if tuned:
        bench.write_results(tuning(tuned), "tuning.csv")
        bench.write_results(signals, "signals.csv")

    settings = {variant.label: setting(variant, chosen[variant]) for variant in preset.finalists}
    target_propagation_figures.learning_curves(bench.out, curves, list(rows))
    target_propagation_figures.signals(bench.out, signals, target_propagation_figures.told(signals))
    every = [*final, *(tried.run for tried in tuned)]
    bench.write_provenance(
        every,
        samples=samples,
        epochs=preset.epochs,
        chosen={label: str(text) for label, text in settings.items()},
    )
    words(preset, bench, results, settings, short, tuning(tuned) if tuned else None, [run.config for run in every])


def words(
    preset: Preset,
    bench: ReportContext,
    results: pd.DataFrame,
    settings: Mapping[str, Latex],
    short: Mapping[str, Tried],
    trials: pd.DataFrame | None,
    configs: Sequence[Config],
) -> None:
    """Write tables and document from what was measured."""
    note = length(preset)
    bench.write("target_propagation_table.tex", main_table(results, settings, short, preset, note))
    bench.write("target_propagation_relations.tex", relations_table(results))
    bench.write("target_propagation.md", markdown(results, settings))
    source = render(
        "target_propagation.tex",
        length=note,
        comparison=comparison(results),
        goals=goals(results),
        yardsticks=yardsticks(results),
        geometry=geometry(short, preset),
        lost=lost(short, preset),
        tuning=budget(preset, results, trials),
        signal_note=Latex("the best short run of each, one seed" if short else "the mean of the runs of the table"),
    )
    parts = ["target_propagation_table.tex", "target_propagation_relations.tex", "learning_curves.pdf", "signals.pdf"]
    bench.write_document(source, parts, strategies(configs))


def history(row: str, run: Run) -> pd.DataFrame:
    """A run's validation metrics by epoch, tidy."""
    rows = run.history()
    rows = rows[(rows["split"] == "validation") & rows["metric"].isin(SHOWN)]
    known: dict[str, Any] = {
        "row": row,
        "strategy": run.config.strategy,
        "seed": run.config.seed,
        "run": run.config.name,
    }
    return rows.assign(**known).reindex(columns=[*COLUMNS, "epoch"])


REPORT = Report(
    "target-propagation", "target propagation through categorical latents: what fails, what wins", PRESETS, make
)
