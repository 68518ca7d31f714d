"""The report on speed against the number of classes, on a small network: real measurements, and the same bytes."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from discrete_vae.tasks import Architecture
from reports.benchmarks import measure, measurements, speed_by_classes
from reports.benchmarks.case import SINGLE, Case
from reports.benchmarks.measure import speeds
from reports.benchmarks.speed_by_classes import PRESETS, Preset
from reports.kit.context import ReportContext
from reports.kit.tidy import COLUMNS

SMALL = dataclasses.replace(
    PRESETS["quick"].base, architecture=Architecture(latents=1, hidden=(16,), style=3), batch_size=50
)
TINY = Preset(0.02, (10,), SMALL)
FILES = {
    "results.csv",
    "provenance.json",
    "references.bib",
    "report.html",
    "speed-by-classes.tex",
    *(f"{table}.{suffix}" for table in ("times", "speeds") for suffix in ("md", "tex")),
    "speed_by_classes.png",
    "speed_by_classes.pdf",
}


def call(out: Path, runs: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed_by_classes, "Case", partial(Case, tries=1))  # other tests run beside this one
        speed_by_classes.make(TINY, ReportContext("speed-by-classes", "tiny", out, runs))


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, runs = tmp_path / "out", tmp_path / "runs"
    call(out, runs)
    assert {path.name for path in out.iterdir()} - {"speed-by-classes.pdf"} == FILES
    results = pd.read_csv(out / "results.csv")
    assert list(results.columns) == [each for each in COLUMNS if each != "samples"]
    assert set(results["row"]) == {"K = 10"}
    own = results.set_index(["metric", "strategy"])["value"]
    assert all(own["speed", name] > 0 for name in SINGLE)
    assert own["speed", "marginalisation"] == 1
    assert "| 2.0 |" in (out / "speeds.md").read_text()
    assert "cores" in json.loads((out / "provenance.json").read_text())["settings"]["machine"]
    written = {path.name: path.read_bytes() for path in out.iterdir()}

    monkeypatch.setattr(measurements, "subprocess", None)  # nothing is measured again
    again = tmp_path / "again"
    call(again, runs)
    assert all((again / name).read_bytes() == written[name] for name in FILES)


def test_classes_are_made_up_for_any_number_of_them() -> None:
    architecture = dataclasses.replace(SMALL.architecture, categories=50)
    case = Case(dataclasses.replace(SMALL, architecture=architecture), loop="classes", seconds=0.01)
    found = measure.measure(case, torch.device("cpu"))
    assert found["speed marginalisation"] == 1.0
    assert found["speed gumbel-softmax"] > 0


def test_a_step_has_its_floor() -> None:
    """Of what the task looks at, which is more than a batch of images."""
    found = measure.measure(Case(SMALL, seconds=0.01), torch.device("cpu"))
    assert found["step_over_floor"] > 0


def test_presets_go_from_five_classes_to_a_thousand() -> None:
    for preset in PRESETS.values():
        assert list(preset.cases()) == [f"K = {count}" for count in (5, 10, 20, 50, 100, 200, 500, 1000)]


def test_speeds_are_those_within_a_turn() -> None:
    """A turn in which the machine does something else as well moves both times, and not their ratio."""
    found = speeds({"marginalisation": [8.0, 80.0, 9.0], "reinmax": [2.0, 20.0, 3.0]})
    assert found == {"step_ms marginalisation": 9, "step_ms reinmax": 3, "speed marginalisation": 1, "speed reinmax": 4}
