"""A committed folder is what its report makes from the tables in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.training import loop as training
from reports.__main__ import REPORTS
from reports.kit.cache import provenance
from reports.kit.context import RESULTS, ReportContext
from reports.kit.documents import PAGE

WRITTEN = {".bib", ".csv", ".json", ".md", ".tex"}
"""Kinds of files that are the same on every machine; pictures depend on fonts and libraries."""


def preset_of(name: str) -> str:
    return str(provenance(RESULTS / name)["preset"])


TRAINED = [
    name
    for name, report in REPORTS.items()
    if (RESULTS / name / PAGE).is_file() and report.plan(report.presets[preset_of(name)])
]
"""Reports that stand on runs, and not on measured times."""


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix in WRITTEN}


def refuse(*arguments: object, **options: object) -> None:
    raise AssertionError("nothing is trained or evaluated here")


@pytest.mark.parametrize("name", TRAINED)
def test_a_report_makes_its_committed_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_train_population", refuse)
    monkeypatch.setattr(evaluation, "evaluate_population", refuse)
    report, preset = REPORTS[name], preset_of(name)
    bench = ReportContext(name, preset, tmp_path / "out", tmp_path / "runs", torch.device("cpu"))
    bench.check_out()
    report.make(report.presets[preset], bench)
    assert texts(tmp_path / "out") == texts(RESULTS / name)
    assert not (tmp_path / "runs").exists()
