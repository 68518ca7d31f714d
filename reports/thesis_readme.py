"""Table 5.1 for the README: the same numbers in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.kit.markdown import table as markdown_table
from reports.kit.tables import by_seed
from reports.thesis_settings import PRINTED

COLUMNS = {
    "relaxed": [("train", "reconstruction_relaxed"), ("validation", "reconstruction_relaxed")],
    "hard": [("train", "reconstruction_hard"), ("validation", "reconstruction_hard")],
    "KL": [("validation", "kl")],
    "ELBO": [("validation", "elbo")],
    "test ELBO": [("test", "elbo")],
    "test IW bound": [("test", "log_likelihood")],
}
"""Head of a column, and what its cells show, parted by a slash."""


def table(results: pd.DataFrame, rows: Sequence[str]) -> str:
    """The rows of Table 5.1 as a Markdown table: means over seeds, and the interval of the test ELBO and bound."""
    lines = []
    for row in rows:
        printed = PRINTED.get(row)
        cells = [f"{printed.train:.1f} / {printed.validation:.1f}" if printed else ""]
        for head, metrics in COLUMNS.items():
            values = [list(by_seed(results, row, *each).values()) for each in metrics]
            interval = head.startswith("test")
            cells.append(" / ".join(statistics.interval(each).text(1, interval) for each in values if each))
        lines.append([row.replace("tau", "τ"), *cells])
    return markdown_table(["", "printed", *COLUMNS], lines)
