"""Tidy rows: one number a line, with the run that it comes from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from discrete_vae.config import Config
from discrete_vae.runs import Run

COLUMNS = ["report", "row", "strategy", "parameters", "seed", "split", "samples", "metric", "value", "run"]


def evaluation_rows(report: str, row: str, run: Run, samples: Mapping[str, int]) -> pd.DataFrame:
    """The tidy rows of a run: all that its folder has of an evaluation with ``samples[split]`` samples a split.

    A run that did not finish has none.
    """
    known: dict[str, Any] = {
        "report": report,
        "row": row,
        "strategy": run.config.strategy,
        "parameters": changes(run.config),
        "seed": run.config.seed,
        "run": run.config.name,
    }
    rows = run.evaluation() if run.finished else run.evaluation().head(0)
    # The relaxed reconstruction always stands on one sample an image.
    made = (rows["samples"] == rows["split"].map(samples)) | (rows["metric"] == "reconstruction_relaxed")
    rows = rows[made & rows["split"].isin(list(samples))]
    return rows.assign(**known).reindex(columns=COLUMNS)


def history_rows(row: str, run: Run, metrics: Collection[str], split: str = "validation") -> pd.DataFrame:
    """The tidy rows of metrics by epoch, as far as a run has them; a run that did not finish has none."""
    history = run.history() if run.finished else run.history().head(0)
    found = history[(history["split"] == split) & history["metric"].isin(list(metrics))]
    known: dict[str, Any] = {"strategy": run.config.strategy, "seed": run.config.seed, "run": run.config.name}
    return found.assign(row=row, **known).reindex(columns=[*COLUMNS, "epoch"])


def changes(config: Config) -> str:
    """What differs from the defaults, but for strategy and seed, as JSON on one line."""
    return json.dumps({name: value for name, value in config.changes.items() if name not in ("strategy", "seed")})


def configuration(strategy: str, parameters: str) -> Config:
    """The configuration of a line of a tidy table, but for its seed: the inverse of ``changes``."""
    return Config.from_dict({"strategy": strategy, **json.loads(parameters)})
