"""A committed folder is what its report makes from the tables in it."""

from __future__ import annotations

from dataclasses import replace
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


TOLD = {page.parent.name: provenance(page.parent) for page in sorted(RESULTS.glob(f"*/{PAGE}"))}
TRAINED = [
    name for name, told in TOLD.items() if (report := REPORTS[told["report"]]).plan(report.presets[told["preset"]])
]
"""Folders that stand on runs, and not on measured times."""


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.suffix in WRITTEN}


def refuse(*arguments: object, **options: object) -> None:
    raise AssertionError("nothing is trained or evaluated here")


@pytest.mark.parametrize("name", TRAINED)
def test_a_report_makes_its_committed_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_train_population", refuse)
    monkeypatch.setattr(evaluation, "evaluate_population", refuse)
    report, preset = REPORTS[TOLD[name]["report"]], TOLD[name]["preset"]
    bench = ReportContext(report.name, preset, tmp_path / "out", tmp_path / "runs", torch.device("cpu"))
    bench = replace(bench, known_only=TOLD[name].get("known_only", False))
    bench.check_out()
    report.make(report.presets[preset], bench)
    assert texts(tmp_path / "out") == texts(RESULTS / name)
    assert not (tmp_path / "runs").exists()
