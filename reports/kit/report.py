"""A report: a row of ``REPORTS``."""

from __future__ import annotations

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
    """All of its training, so that ``missing`` knows what is needed; also of a report that trains in one call."""

    def missing(self, preset: Any, bench: ReportContext) -> list[Config]:
        """The runs that have to be trained, as far as that is known: none if ``train`` gets to its end without any.

        They are the runs of the first call that lacks some, and all others of the plan that tables do not know.
        """
        first = list[Config]()
        if self.train:
            try:
                self.train(preset, replace(bench, dry=True))
                return []
            except Missing as error:
                first = error.configs
        return list(dict.fromkeys([*first, *bench.missing(self.plan(preset))]))
