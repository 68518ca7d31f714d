"""The report on digits against a critic, on small networks and 1,000 digits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.evaluation import classifier
from discrete_vae.runs import Run
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from reports import digits
from reports.digits import settings
from reports.digits.settings import DIGITS, FEW, PRESETS, Part, Preset
from reports.kit import latex
from reports.kit.context import ReportContext

SMALL = Architecture(hidden=(8,), activation="relu", style=3)
TINY = Preset(Part(SMALL, 2, 1e-3, 20), Part(SMALL, 3, 1e-3, 20))
FIGURES = {f"digits_{name}.{kind}" for name in ("samples", "scores", "overfitting") for kind in ("pdf", "png")}


def call(out: Path, runs: Path) -> Mapping[str, bytes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "steps_per_epoch", 2)
        patch.setattr(classifier, "updates_of", lambda images: 2)
        patch.setattr(latex, "engine", lambda: None)
        patch.setitem(settings.DATA, DIGITS, settings.DATA[FEW])
        digits.REPORT.make(TINY, ReportContext("digits", "tiny", out, runs, jobs=1))
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_it_is_made_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = call(tmp_path / "out", tmp_path / "runs")
    assert FIGURES | {"scores.md", "distances.md", "results.csv", "curves.csv", "report.html"} <= made.keys()
    assert b"salimans2016" in made["references.bib"]
    results, curves = (pd.read_csv(tmp_path / "out" / name) for name in ("results.csv", "curves.csv"))
    scored = results.query("metric == 'inception_score' and split == 'test'")
    assert scored["row"].nunique() == 5
    assert "test digits" in made["scores.md"].decode()
    few = curves[(curves["row"].str.startswith(FEW)) & (curves["metric"] == "wasserstein")]
    assert few.groupby(["row", "split"])["epoch"].apply(list).tolist() == [[1, 2, 3]] * 4
    monkeypatch.setattr(training, "_train_population", lambda *args: pytest.fail("trained again"))
    assert call(tmp_path / "again", tmp_path / "runs") == made


def test_at_most_a_hundred_epochs_are_drawn() -> None:
    few = PRESETS["paper"].few
    assert few.epochs > 100
    assert few.shown[-1] == few.epochs
    assert len(few.shown) == 100
    assert list(Part(SMALL, 3, 1e-3, 20).shown) == [1, 2, 3]
