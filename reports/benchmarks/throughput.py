"""How fast a training step is, beside the work that no step can do without, alone and for populations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from discrete_vae.config import Config
from discrete_vae.runs import Run
from discrete_vae.training.interruption import Interrupted, stoppable
from reports.benchmarks import measurements, throughput_tables
from reports.benchmarks.load import TRIES
from reports.benchmarks.marks import Measured, tell_disturbed
from reports.benchmarks.measurements import Measurement, measure_all
from reports.benchmarks.throughput_cases import DEVICE, PRESETS, Preset, cases, counts, populations, precisions
from reports.benchmarks.throughput_figures import draw_growth, draw_population
from reports.kit.context import Report, ReportContext, strategies
from reports.kit.latex import render
from reports.kit.tables import evaluation_rows


def make(preset: Preset, bench: ReportContext) -> None:
    """Measure what is missing, each case in a process of its own, then write tables, figures and the document.

    Where Ctrl-C or SIGTERM cuts it they are written of what is measured; the next call goes on from there.
    """
    try:
        with stoppable():
            measure_all(cases(preset, torch.get_num_threads()), bench)
            measure_all(populations(preset), bench, enough=_fills_half)
            # With weights: a committed run's seconds would be another machine's.
            runs = bench.train(precisions(preset, bench.device), samples={"validation": 1}, weights=True)
    except (Interrupted, KeyboardInterrupt):
        write(preset, bench, [], cut=True)
        raise
    write(preset, bench, runs)


def _fills_half(made: Measurement) -> bool:
    """Whether twice as many members, and the floor's own matrices, do not fit; by what is stored, as in later calls."""
    return bool(2 * 2.5 * made.metrics["peak_mib"] > made.environment["memory_mib"])


def write(preset: Preset, bench: ReportContext, runs: Sequence[Run], cut: bool = False) -> None:
    """Write results, tables, figures and the document of the measurements that the runs' folder has, if it has any.

    ``cut``: whether some were left out; the provenance then names them.
    """
    asked = cases(preset, torch.get_num_threads()) | populations(preset)
    measured = measurements.stored(asked, bench)
    if not measured:
        return
    found = {name: each.metrics for name, each in measured.items()}
    tell_disturbed(found, bench.runs / measurements.ROOM)
    frames = [measurements.tidy(bench, name, each) for name, each in measured.items()]
    frames += [
        evaluation_rows(bench.report, f"precision {run.config.precision}", run, {"validation": 1}) for run in runs
    ]
    missing = {"cut": True, "not_measured": [name for name in asked if name not in measured]} if cut else {}
    settings = measurements.write(measured, frames, runs, bench, **missing)
    there = parts(preset, found, settings)
    if "evaluation.tex" in there:
        results = pd.concat(frames, ignore_index=True)
        bench.write("evaluation.tex", throughput_tables.evaluation_table(preset, found, results, runs))
    if "population.pdf" in there:
        draw_population(bench.out, throughput_tables.populated(preset, found))
    if "growth.pdf" in there:
        draw_growth(bench.out, throughput_tables.grown(preset, found))
    words(preset, bench, found, settings, [each.case.config for each in measured.values()])


def parts(preset: Preset, found: Measured, settings: Mapping[str, Any]) -> list[str]:
    """The tables and figures that have something to show."""
    threads = settings["measured_in"][0]["threads"]
    populated, grown = throughput_tables.populated(preset, found), throughput_tables.grown(preset, found)
    there = {
        "strategies.tex": any(throughput_tables.lines(preset, found, count) for count in counts(preset, threads)),
        "population.tex": populated and DEVICE in found,
        "growth.tex": grown,
        "evaluation.tex": any(name.startswith("evaluation, ") for name in found),
        "population.pdf": populated,
        "growth.pdf": any(len(own) > 1 for own in grown.values()),
    }
    return [name for name, something in there.items() if something]


def words(
    preset: Preset, bench: ReportContext, found: Measured, settings: Mapping[str, Any], configs: Sequence[Config] = ()
) -> None:
    """Write the tables of metrics alone, and the document around all that there is to show."""
    machine, threads = settings["machine"], settings["measured_in"][0]["threads"]
    there = parts(preset, found, settings)
    made = {
        "strategies.tex": lambda: throughput_tables.strategies_table(preset, found, threads, machine),
        "population.tex": lambda: throughput_tables.population_table(preset, found, machine),
        "growth.tex": lambda: throughput_tables.growth_table(preset, found),
    }
    for name in there:
        if name in made:
            bench.write(name, made[name]())
    bench.write("strategies.md", throughput_tables.strategies_markdown(preset, found, threads))
    bench.write("ratios.md", throughput_tables.ratios_markdown(preset, found, threads))
    watched = all("disturbed" in each for each in found.values() if each)
    source = render("throughput.tex", machine=machine, threads=threads, watched=watched, tries=TRIES, parts=there)
    bench.write_document(source, there, strategies(configs))


REPORT = Report("throughput", "training steps beside their floor, populations, growth, evaluation", PRESETS, make)
