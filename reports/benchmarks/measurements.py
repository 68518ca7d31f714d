"""Measurements that a runs' folder keeps: taken where they are missing, then written as tidy rows with provenance."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
from filelock import FileLock

import discrete_vae.runs.run
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.files import read_text, write_atomically
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import read_csv
from reports.benchmarks.case import MIB, Case
from reports.kit.cache import PROVENANCE
from reports.kit.context import ReportContext, strategies
from reports.kit.tidy import COLUMNS

ROOM = "throughput"
"""The folder among the runs that keeps every case's measurement."""


@dataclass(frozen=True)
class Measurement:
    """A case, its metrics, and the environment that they were measured in."""

    case: Case
    metrics: dict[str, float]
    environment: dict[str, Any]


def keep(folder: Path, asked: Mapping[str, Any], take: Callable[[], dict[str, Any]], *names: str) -> dict[str, Any]:
    """What the folder keeps of what was asked; ``take`` makes it where there is nothing.

    Who asks while another process makes it waits for that. Raises as ``kept`` does.
    """
    path = path_of(folder, asked)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                write_atomically(path, json.dumps(take(), indent=2) + "\n")
    return kept(path, *names)


def kept(path: Path, *names: str) -> dict[str, Any]:
    """A measurement that the runs' folder has, with what it has under these names.

    Raises ``InputError`` if it cannot be read or lacks one of them.
    """
    try:
        found = json.loads(read_text(path))
        if not isinstance(found, dict) or not found.keys() >= set(names):
            raise ValueError(f"it has no {', '.join(names)}")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it to measure again") from error
    return found


def path_of(folder: Path, asked: Mapping[str, Any]) -> Path:
    """The file that keeps what was asked."""
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"{key}.json"


def measure(case: Case, bench: ReportContext) -> Measurement:
    """A case's measurement: that of the runs' folder, or of a new process.

    Raises ``InputError`` if the process fails, e.g. for lack of memory.
    """
    asked = _asked(case, bench)
    found = keep(bench.runs / ROOM, asked, lambda: asked | _measured(case, asked, bench), "metrics", "environment")
    return Measurement(case, found["metrics"], found["environment"])


def _asked(case: Case, bench: ReportContext) -> dict[str, Any]:
    return {"case": case.to_dict(), "device": str(bench.device), "threads": torch.get_num_threads()}


def _measured(case: Case, asked: Mapping[str, Any], bench: ReportContext) -> dict[str, Any]:
    command = [sys.executable, "-m", "reports.benchmarks.measure", json.dumps(asked)]
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    child = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    child |= {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    ended = subprocess.run(command, env=child, capture_output=True, text=True, check=False)
    if ended.returncode:
        reason = (ended.stderr.strip().splitlines() or [f"exit {ended.returncode}"])[-1]
        raise InputError(f"a measurement of {case.config.strategy} x {case.members} failed: {reason}")
    metrics = json.loads(ended.stdout.strip().splitlines()[-1])
    return {"metrics": metrics, "environment": environment(bench.device) | {"memory_mib": memory(bench.device)}}


def measure_all(
    cases: Mapping[str, Case], bench: ReportContext, enough: Callable[[Measurement], bool] = lambda made: False
) -> dict[str, Measurement]:
    """Measurements of the cases, in their order, until one is ``enough``."""
    found = {}
    with terminal_progress() as progress, progress.counting(f"{len(cases)} measurements", len(cases)) as done:
        for name, case in cases.items():
            found[name] = measure(case, bench)
            done(1)
            if enough(found[name]):
                break
    return found


def stored(cases: Mapping[str, Case], bench: ReportContext) -> dict[str, Measurement]:
    """The measurements that the runs' folder has of the cases."""
    there = {name: path_of(bench.runs / ROOM, _asked(case, bench)).exists() for name, case in cases.items()}
    return {name: measure(case, bench) for name, case in cases.items() if there[name]}


def write(
    measured: Mapping[str, Measurement],
    lines: Sequence[pd.DataFrame],
    runs: Sequence[Run],
    bench: ReportContext,
    **settings: object,
) -> None:
    """Write the tidy table and its provenance, which ``settings`` are added to."""
    bench.write_results(pd.concat(lines, ignore_index=True))
    environments = [each.environment for each in measured.values()]
    bench.write_provenance(
        runs,
        machine=environments[0]["machine"],
        device=str(bench.device),
        threads=torch.get_num_threads(),
        measured_in=[each for i, each in enumerate(environments) if each not in environments[:i]],
        cases={name: each.case.to_dict() for name, each in measured.items()},
        **settings,
    )


def written(bench: ReportContext) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The results in the report's folder and their provenance."""
    return read_csv(bench.out / "results.csv"), json.loads(read_text(bench.out / PROVENANCE))


def cited(settings: Mapping[str, Any]) -> list[tuple[str, object]]:
    """The strategies of a provenance's cases, with their options."""
    return strategies(Config.from_dict(case["config"]) for case in settings["cases"].values())


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


def by_row(results: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Metrics by row: the inverse of ``tidy``."""
    alone = results[results["seed"].isna()]
    return {
        str(row): dict(zip(own["metric"], own["value"], strict=True)) for row, own in alone.groupby("row", sort=False)
    }


def memory(device: torch.device) -> int:
    """MiB of memory that the device has."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // MIB
    return int(psutil.virtual_memory().total) // MIB


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and commit, and the machine in a line; not the command, which may hold private paths."""
    known = discrete_vae.runs.run.environment(device)
    known.pop("command")
    blas = "MKL" if torch.backends.mkl.is_available() else "no MKL"  # type: ignore[no-untyped-call]
    kind = f"{torch.backends.cpu.get_cpu_capability()}, {known['cores']} cores"
    if device.type == "cuda":
        kind = f"CUDA {torch.version.cuda}"
    size = f"{memory(device) / 2**10:.0f} GiB"
    machine = f"{known['device']}, {kind}, {size}; torch {known['packages']['torch']}, {blas}"
    return known | {"machine": machine}
