"""A report: a row of ``REPORTS``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from reports.kit.context import ReportContext


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

    def missing(self, preset: Any, bench: ReportContext) -> list[Config]:
        """Those of them that have to be trained."""
        return bench.missing(self.plan(preset))
