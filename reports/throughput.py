"""How fast a training step is, beside the work that no step can do without, alone and for populations."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from rich.console import Console

import discrete_vae.runs.run
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.files import write_atomically
from discrete_vae.progress import terminal_progress
from reports import throughput_cases, throughput_tables
from reports.kit.context import Report, ReportContext, kept, strategies
from reports.kit.latex import render
from reports.kit.tables import COLUMNS, evaluation_rows
from reports.load import TRIES
from reports.measure import MIB, Case
from reports.throughput_cases import DEVICE, PRESETS, Preset


def make(preset: Preset, bench: ReportContext) -> None:
    """Measure what is missing, each case in a process of its own, then write tables, figures and the document."""
    threads = torch.get_num_threads()
    counts = throughput_cases.counts(preset, threads)
    cases = {DEVICE: Case(preset.base, loop="device", seconds=preset.seconds)}
    cases |= throughput_cases.strategies(preset, threads) | throughput_cases.growth(preset)
    cases |= throughput_cases.evaluations(preset)
    measurements = measure_all(cases, bench)
    populations = population_curve(preset, bench)
    measurements |= populations
    tell_disturbed(measurements, bench)
    found = {name: measurement.metrics for name, measurement in measurements.items()}
    runs = bench.train(throughput_cases.precisions(preset, bench.device), samples={"validation": 1})

    frames = [tidy(bench, name, measurement) for name, measurement in measurements.items()]
    frames += [
        evaluation_rows(bench.report, f"precision {run.config.precision}", run, {"validation": 1}) for run in runs
    ]
    results = pd.concat(frames, ignore_index=True)
    bench.write_results(results)
    environments: list[dict[str, Any]] = []
    for measurement in measurements.values():
        environments += [measurement.environment] if measurement.environment not in environments else []
    machine = environments[0]["machine"]
    side_by_side = {name: measurement.case for name, measurement in populations.items()}
    bench.write("strategies.tex", throughput_tables.strategies_table(preset, found, counts, machine))
    bench.write("strategies.md", throughput_tables.readme_table(preset, found, counts))
    bench.write("population.tex", throughput_tables.population_table(side_by_side, found, machine))
    bench.write("growth.tex", throughput_tables.growth_table(preset.growth, found))
    bench.write("evaluation.tex", throughput_tables.evaluation_table(preset, found, results, runs))
    throughput_tables.draw_population(bench.out, {case.members: found[name] for name, case in side_by_side.items()})
    throughput_tables.draw_growth(bench.out, preset.growth, found)
    bench.write_provenance(
        runs,
        machine=machine,
        measured_in=environments,
        cases={name: measurement.case.to_dict() for name, measurement in measurements.items()},
    )
    configs = [measurement.case.config for measurement in measurements.values()]
    write_document(
        bench, machine, threads, configs, watched=all("disturbed" in each for each in found.values() if each)
    )


def tell_disturbed(measurements: Mapping[str, Measurement], bench: ReportContext) -> None:
    """Print which measurements other processes disturbed, in every try."""
    console = Console(highlight=False, soft_wrap=True)
    disturbed = {name: each for name, each in measurements.items() if each.metrics.get("disturbed")}
    for name, each in disturbed.items():
        console.print(f"disturbed: {name}: {throughput_tables.beside(each.metrics)}", markup=False)
    if disturbed:
        console.print(
            f"{len(disturbed)} of {len(measurements)} measurements were disturbed and are marked; to take them again, "
            f"remove {bench.runs / 'throughput'} and repeat the command when the machine does nothing else",
            markup=False,
        )


def write_document(bench: ReportContext, machine: str, threads: int, configs: Sequence[Config], watched: bool) -> None:
    """Write the document around tables and figures; ``watched``: whether it is known what disturbed measurements."""
    parts = ["strategies.tex", "population.tex", "growth.tex", "evaluation.tex", "population.pdf", "growth.pdf"]
    bench.write_document(
        render("throughput.tex", machine=machine, threads=threads, watched=watched, tries=TRIES),
        parts,
        strategies(configs),
    )


def measure_all(cases: Mapping[str, Case], bench: ReportContext) -> dict[str, Measurement]:
    """Measurements of every case."""
    found = {}
    with (
        terminal_progress() as progress,
        progress.counting(f"{len(cases)} measurements", len(cases)) as done,
    ):
        for name, case in cases.items():
            found[name] = measure(case, bench)
            done(1)
    return found


def population_curve(preset: Preset, bench: ReportContext) -> dict[str, Measurement]:
    """Gumbel-Softmax with 1, 2, 4 ... members, as far as the preset and the memory go."""
    found = {}
    sizes = [2**i for i in range(preset.members.bit_length())]
    with terminal_progress() as progress, progress.counting("populations", sum(sizes)) as done:
        for members in sizes:
            measurement = measure(Case(preset.base, members, seconds=preset.seconds), bench)
            found[f"population, P = {members}"] = measurement
            done(members)
            # Twice as many, and the floor's own matrices; by what is stored, so that a second call stops here too.
            if 2 * 2.5 * measurement.metrics["peak_mib"] > measurement.environment["memory_mib"]:
                break
    return found


@dataclass(frozen=True)
class Measurement:
    """A case, its metrics, and the environment that they were measured in."""

    case: Case
    metrics: dict[str, float]
    environment: dict[str, Any]


def measure(case: Case, bench: ReportContext) -> Measurement:
    """A case's measurement: that of the runs' folder, or of a new process.

    Raises ``InputError`` where the process ends badly, as it does without memory.
    """
    asked = {"case": case.to_dict(), "device": str(bench.device), "threads": torch.get_num_threads()}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    path = bench.runs / "throughput" / f"{key}.json"
    if not path.exists():
        command = [sys.executable, "-m", "reports.measure", json.dumps(asked)]
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        child = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        child |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        ended = subprocess.run(command, env=child, capture_output=True, text=True, check=False)
        if ended.returncode:
            reason = (ended.stderr.strip().splitlines() or [f"exit {ended.returncode}"])[-1]
            raise InputError(f"a measurement of {case.config.strategy} x {case.members} failed: {reason}")
        environment = discrete_vae.runs.run.environment(bench.device)
        environment |= {"machine": describe(bench.device), "memory_mib": memory(bench.device)}
        environment.pop("command")
        metrics = json.loads(ended.stdout.strip().splitlines()[-1])
        write_atomically(path, json.dumps(asked | {"metrics": metrics, "environment": environment}, indent=2) + "\n")
    found = kept(path, "metrics", "environment")
    return Measurement(case, found["metrics"], found["environment"])


def tidy(bench: ReportContext, name: str, measurement: Measurement) -> pd.DataFrame:
    """A measurement's numbers, one a line."""
    case = measurement.case
    known = {
        "report": bench.report,
        "row": name,
        "strategy": case.config.strategy if case.loop != "textbook" else "textbook",
        "parameters": json.dumps(case.to_dict(), sort_keys=True),
    }
    lines = [{**known, "metric": metric, "value": value} for metric, value in measurement.metrics.items()]
    return pd.DataFrame(lines).reindex(columns=COLUMNS)


def memory(device: torch.device) -> int:
    """MiB of memory that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // MIB
    return int(psutil.virtual_memory().total) // MIB


def describe(device: torch.device) -> str:
    """The machine in a line, for captions and provenance."""
    known = discrete_vae.runs.run.environment(device)
    blas = "MKL" if torch.backends.mkl.is_available() else "no MKL"  # type: ignore[no-untyped-call]
    kind = f"{torch.backends.cpu.get_cpu_capability()}, {known['cores']} cores"
    if device.type == "cuda":
        kind = f"CUDA {torch.version.cuda}"
    size = f"{memory(device) / 2**10:.0f} GiB"
    return f"{known['device']}, {kind}, {size}; torch {known['packages']['torch']}, {blas}"


REPORT = Report("throughput", "training steps beside their floor, populations, growth, evaluation", PRESETS, make)
