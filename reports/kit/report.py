"""A report: a row of ``REPORTS``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from reports.kit.context import Missing, Part, ReportContext


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
    parts: Callable[[Any], Mapping[str, Part]] = lambda preset: {}
    """All of its training by what its rows are called, so that ``missing`` knows what is needed, and that several
    processes and machines can share it; none for a report that trains in a way of its own."""

    def missing(self, preset: Any, bench: ReportContext, rows: Collection[str] = ()) -> list[Config]:
        """The runs that have to be trained, as far as that is known: none if all parts get to their end without any.

        They are the runs of each part's first call that lacks some and, unless only some ``rows`` are asked for, all
        others of the plan that tables do not know.
        """
        parts, wanted = self.parts(preset), list[Config]()
        for label in rows or parts:
            try:
                parts[label](replace(bench, dry=True))
            except Missing as error:
                wanted += error.configs
        if not rows and (wanted or not parts):
            wanted += bench.missing(self.plan(preset))
        return list(dict.fromkeys(wanted))
