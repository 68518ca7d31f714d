"""The report on Table 1 of Jang et al."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.tasks import Architecture
from reports.jang import draw
from reports.kit.context import ReportContext
from reports.kit.declared import Row
from reports.kit.trials import Entry


def test_curves_of_runs_that_are_measured_after_every_epoch(tmp_path: Path) -> None:
    """A figure a task; other runs would have to be trained again for one."""
    config = Config("straight-through", architecture=Architecture(2, 2, ()), batch_size=1000, epochs=2, keep="best")
    bench, row = ReportContext("jang", "vae", tmp_path / "out", runs=tmp_path / "runs"), Row("ST", "straight-through")
    runs = bench.train([config, replace(config, keep="last")])
    entries = {
        (row.label, task): Entry(row, run.config, [run], {}, ())
        for task, run in zip(("VAE categorical", "SBN categorical"), runs, strict=True)
    }
    assert draw(bench, entries, pd.DataFrame()) == ["curves_vae_categorical"]
    assert (tmp_path / "out" / "curves_vae_categorical.png").exists()
    told = pd.read_csv(tmp_path / "out" / "curves_vae_categorical.csv")
    assert list(told["epoch"]) == [1, 2]
    assert list(told["value"]) == [runs[0].validation(epoch)["elbo"] for epoch in (1, 2)]
