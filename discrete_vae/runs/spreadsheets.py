"""CSV files whose text no spreadsheet takes for a formula."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

_FORMULA = re.compile(r"'*(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")  # noqa: RUF001 (of full width, too)
"""The start of text that a spreadsheet computes, with apostrophes before it, so that removing one is the inverse."""
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan)", re.IGNORECASE | re.ASCII)
TEXT = ("report", "row", "strategy", "parameters", "split", "metric", "run", "study", "state", "runs", "failure")
"""Columns that are text, whatever stands in them."""


def to_csv(frame: pd.DataFrame) -> str:
    """The table as CSV. Text that would be a formula begins with an apostrophe; numbers stay as they are."""
    made = frame.assign(**{name: frame[name].astype(object).map(_safe) for name in _words(frame)}).rename(columns=_safe)
    # Before Python 3.13 the writer leaves a carriage return bare, which is the end of a line to a reader.
    bare = any("\r" in value for value in [*made.columns, *made.to_numpy().ravel()] if isinstance(value, str))
    quoting: Any = csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL
    return made.to_csv(index=False, lineterminator="\n", quoting=quoting)


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """The inverse of ``to_csv``. Text such as ``NA`` or ``007`` stays text in the columns of ``TEXT``.

    Raises ``ValueError`` for a file that is cut off in the middle of a line, whose last number would be another.
    """
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        raise ValueError(f"{path} is cut off in its last line")
    dtype = dict.fromkeys(TEXT, str) | options.pop("dtype", {})
    frame: pd.DataFrame = pd.read_csv(
        io.BytesIO(content), dtype=dtype, keep_default_na=False, na_values=[""], **options
    )
    return frame.assign(**{name: frame[name].map(_plain) for name in _words(frame)}).rename(columns=_plain)


def _words(frame: pd.DataFrame) -> list[str]:
    """The columns that are not of numbers alone."""
    return [str(name) for name in frame.columns if not is_numeric_dtype(frame[name])]


def _safe(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.encode("utf-8", "backslashreplace").decode()  # no file can hold a lone surrogate
    return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value


def _plain(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value) else value
