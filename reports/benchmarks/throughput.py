"""How fast a training step is, beside the work that no step can do without, alone and for populations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from discrete_vae.files import read_text
from discrete_vae.runs import Run
from discrete_vae.training.interruption import Interrupted, stoppable
from reports.benchmarks import measurements, throughput_tables
from reports.benchmarks.load import TRIES
from reports.benchmarks.marks import tell_disturbed
from reports.benchmarks.measurements import Measurement, measure_all
from reports.benchmarks.throughput_cases import PRESETS, Preset, cases, populations, precisions
from reports.benchmarks.throughput_figures import draw_growth, draw_population
from reports.kit.context import ReportContext
from reports.kit.prose import fill
from reports.kit.report import Report
from reports.kit.tidy import evaluation_rows


def make(preset: Preset, bench: ReportContext) -> None:
    """Measure what is missing, each case in a process of its own, then write tables, figures and the document.

    After Ctrl-C or SIGTERM they are written from what is measured; the next call goes on from there.
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
    """Whether twice as many members and the floor's own matrices do not fit, by what is stored, as in later calls."""
    return bool(2 * 2.5 * made.metrics["peak_mib"] > made.environment["memory_mib"])


def write(preset: Preset, bench: ReportContext, runs: Sequence[Run], cut: bool = False) -> None:
    """Write all of the measurements that the runs' folder has, if it has any.

    ``cut``: whether some were left out; the provenance then names them.
    """
    asked = cases(preset, torch.get_num_threads()) | populations(preset)
    measured = measurements.stored(asked, bench)
    if not measured:
        return
    tell_disturbed({name: each.metrics for name, each in measured.items()}, bench.runs / measurements.ROOM)
    lines = [measurements.tidy(bench, name, each) for name, each in measured.items()]
    lines += [
        evaluation_rows(bench.report, f"precision {run.config.precision}", run, {"validation": 1}) for run in runs
    ]
    missing = {"cut": True, "not_measured": [name for name in asked if name not in measured]} if cut else {}
    measurements.write(measured, lines, runs, bench, **missing)
    show(preset, bench)


def show(preset: Preset, bench: ReportContext) -> None:
    """Write tables, figures and documents of the results that the folder has."""
    results, provenance = measurements.written(bench)
    found, settings = measurements.by_row(results), provenance["settings"]
    threads = settings["measured_in"][0]["threads"]
    populated = throughput_tables.populated(preset, found)
    grown = {name: own for name, own in throughput_tables.grown(preset, found).items() if len(own) > 1}
    if populated:
        draw_population(bench.out, populated)
    if grown:
        draw_growth(bench.out, grown)
    figures = ["population"] * bool(populated) + ["growth"] * bool(grown)
    bench.write("ratios.md", throughput_tables.ratios(preset, found, threads).markdown())
    made = throughput_tables.tables(preset, results, provenance)
    values = {
        "machine": settings["machine"],
        "threads": threads,
        "watched": all("disturbed" in each for each in found.values()),
        "tries": TRIES,
        "cut": settings.get("cut", False),
        "tables": [table.name for table in made],
        "figures": figures,
    }
    text = fill(read_text(Path(__file__).with_suffix(".md")), **values)  # it places the tables that there are
    bench.write_text("Training steps beside their floor", text, made, {}, figures, measurements.cited(settings))


REPORT = Report("throughput", "training steps beside their floor, populations, growth, evaluation", PRESETS, make)
