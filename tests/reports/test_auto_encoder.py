"""The auto-encoder's report on a small network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.tasks import Architecture
from reports.auto_encoder import REPORT
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Task


def test_it_is_made(tmp_path: Path) -> None:
    few = DataConfig("binarised-mnist-1000")
    task = Task(base=Config(architecture=Architecture(4, 3, (16,)), batch_size=40, data=few))
    preset = Preset(2, (0, 1, 2), samples=1, tasks=[task])
    report = replace(REPORT, presets={"tiny": preset})
    report.make(preset, ReportContext(report.name, "tiny", tmp_path / "out", tmp_path / "runs"))
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    found = results[results["metric"] == "reconstruction_hard"].groupby(["row", "split"])["value"].mean()
    assert len(found) == 12
    assert (found > -784 * 0.6931).all()  # better than an even chance for every pixel
    curves = pd.read_csv(tmp_path / "out" / "learning_curves.csv")
    assert len(curves) == 4 * 3 * 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "results.csv",
        "results.tex",
        "results.md",
        "learning_curves.csv",
        "learning_curves.pdf",
        "learning_curves.png",
        "auto-encoder.tex",
        "report.html",
        "references.bib",
        "provenance.json",
    }
