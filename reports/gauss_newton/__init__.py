"""Gauss-Newton targets: how fast every estimator learns, and what weight decay does, each with its own best setting."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.runs import Run
from reports.gauss_newton.choice import Chosen, choose
from reports.gauss_newton.settings import PRESETS, YARDSTICKS, Preset, Row
from reports.gauss_newton.tables import (
    OURS,
    RIVALS,
    decays_table,
    differences,
    gains,
    most_gained,
    named,
    results_table,
    settings_table,
)
from reports.kit.context import Part, ReportContext, strategies
from reports.kit.histories import learning_curves
from reports.kit.report import Report
from reports.kit.results import by_name
from reports.kit.tidy import evaluation_rows

Finals = dict[tuple[Row, str, int], list[Run]]
"""The runs of the tables, by row, yardstick and length."""


def train(preset: Preset, row: Row, bench: ReportContext) -> tuple[Chosen, Finals]:
    """Tune, train and evaluate what is missing of a row."""
    found = choose(preset, bench, row)
    return found, {
        (row, metric, epochs): bench.train(
            final(preset, row, found, metric, epochs), samples=preset.counted(epochs), whole=True
        )
        for metric, epochs in preset.places(row)
    }


def make(preset: Preset, bench: ReportContext) -> None:
    """Train what is missing, then write numbers, tables, figures and documents."""
    made = {row: train(preset, row, bench) for row in preset.rows}
    chosen = {row: found for row, (found, _) in made.items()}
    finals = {place: runs for _, own in made.values() for place, runs in own.items()}
    frames = [
        evaluation_rows(bench.report, named(*key), run, preset.counted(key[2]))
        for key, runs in finals.items()
        for run in runs
    ]
    results = pd.concat(frames, ignore_index=True)
    tried = [each for found in chosen.values() for each in found.tried]
    tuning = pd.concat(
        [evaluation_rows(bench.report, each.row.label, each.run, {"validation": preset.validated}) for each in tried],
        ignore_index=True,
    )
    bench.write_results(results)
    bench.write_results(tuning[tuning["metric"].isin(list(YARDSTICKS))], "tuning.csv")
    runs = [each.run for each in tried] + [run for own in finals.values() for run in own]
    bench.write_provenance(runs, samples=preset.counted(preset.epochs), epochs=preset.epochs)
    longest = {
        row.label: runs
        for (row, *place), runs in finals.items()
        if place == ["elbo", preset.epochs] and row.label in (*OURS, *RIVALS)  # the others lie far below
    }
    figures = learning_curves(bench, longest, {"elbo": "validation ELBO (nats)"})
    tables = [results_table(preset, results, metric) for metric in YARDSTICKS]
    tables += [*differences(preset, results), settings_table(preset, chosen), decays_table(preset, chosen)]
    values = {"preset": bench.preset, "settings": preset, "gains": gains(preset, chosen)}
    values["short"] = most_gained(preset, chosen)
    values |= by_name(results, list(dict.fromkeys(results["row"])))
    text, cited = Path(__file__).with_name("text.md"), strategies(run.config for run in runs)
    bench.write_text("Gauss-Newton targets for categorical latents", text, tables, values, figures, cited, PAPERS)


def final(preset: Preset, row: Row, found: Chosen, metric: str, epochs: int) -> list[Config]:
    """A row at a length with the setting that a yardstick chose, a run a seed."""
    trial = found.settings[metric, epochs].trial
    return [row.config(trial, epochs, seed, preset.base) for seed in preset.seeds]


def parts(preset: Preset) -> dict[str, Part]:
    """What tunes and trains each row."""
    return {row.label: partial(train, preset, row) for row in preset.rows}


def plan(preset: Preset) -> list[Config]:
    """The runs that a preset needs at the least: where both yardsticks choose the same settings."""
    seed, wanted = preset.trial_seeds[0], list[Config]()
    for row in preset.rows:
        wanted += [row.config(trial, preset.trial_epochs, seed, preset.base) for trial in row.trials]
        kept = row.trials[:: len(row.rates)][: preset.keep]  # one of a decay each
        lengths = dict.fromkeys(epochs for _, epochs in preset.places(row))
        longer = [epochs for epochs in lengths if epochs != preset.trial_epochs]
        wanted += [row.config(each, epochs, seed, preset.base) for epochs in longer for each in kept]
        wanted += [row.config(kept[0], epochs, each, preset.base) for epochs in lengths for each in preset.seeds]
    return wanted


PAPERS = (
    "Nitta 2017; Schraudolph 2002; Meulemans et al. 2020; Titsias and Lazaro-Gredilla 2015; "
    "Ghahramani and Jordan 1997; Shekhovtsov et al. 2020; Titsias and Shi 2022; Smet et al. 2023; "
    "Grathwohl et al. 2021; Nisonoff et al. 2025; Rhodes and Gutmann 2022; Sun et al. 2023; Hassibi and Stork 1992; "
    "Nagel et al. 2020; Frantar and Alistarh 2022; Park et al. 2019; Wang and Blei 2013; Khan and Lin 2017; "
    "Shao et al. 2025; Burda et al. 2016; Loshchilov and Hutter 2019"
)
SUMMARY = "Gauss-Newton targets: how fast every estimator learns, and what weight decay does to each"
REPORT = Report("gauss-newton", SUMMARY, PRESETS, make, plan=plan, parts=parts)
