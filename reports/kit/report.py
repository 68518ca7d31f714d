"""A report: a row of ``REPORTS``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from reports.kit.context import Missing, ReportContext


@dataclass(frozen=True)
class Report:
    """A row of ``REPORTS``: ``make(preset, bench)`` writes the report's files."""

    name: str
    summary: str
    presets: Mapping[str, Any]
    make: Callable[[Any, ReportContext], None]
    data: Callable[[Any], Iterable[DataConfig]] = lambda preset: ()
    """The data of a preset that are not bundled, and maybe others."""
    storage: bool = False
    """Whether it reads a storage of Optuna studies."""
    plan: Callable[[Any], Sequence[Config]] = lambda preset: ()
    """The runs that a preset needs at the least."""
    train: Callable[[Any, ReportContext], object] | None = None
    """All of its training, where what some runs show decides on others."""

    def missing(self, preset: Any, bench: ReportContext) -> list[Config]:
        """Those of them that have to be trained: none, where ``train`` gets to its end without."""
        with contextlib.suppress(Missing):
            if self.train:
                self.train(preset, replace(bench, dry=True))
                return []
        return bench.missing(self.plan(preset))
