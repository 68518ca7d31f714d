"""Tables of many tasks, one below the other: a section each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.kit.prose import escape
from reports.kit.results import Difference, Metric, differences_table
from reports.kit.table import DASH, Row, Section, Table


def sections(rows: Mapping[str, Sequence[Row]]) -> list[Row | Section]:
    """Rows by the task that they are of, below a line that names it."""
    found: list[Row | Section] = []
    for task, own in rows.items():
        found += [Section(escape(task)), *own]
    return found


def stacked_differences(
    name: str,
    caption: str,
    results: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    metric: Metric,
    tasks: Sequence[str],
) -> Table:
    """The differences of the same pairs on every task (``differences_table``); tests are corrected within a task.

    A task of too few seeds to test has dashes where another is tested.
    """
    head = metric.group or metric.head or metric.split
    made = {task: differences_table(name, caption, results, pairs, [Difference(metric, head, task)]) for task in tasks}
    columns = max((table.columns for table in made.values()), key=len)
    rows = {
        task: [[*row, *[DASH] * (len(columns) - len(row))] for row in table.rows if not isinstance(row, Section)]
        for task, table in made.items()
    }
    return Table(name, caption, columns, sections(rows))
