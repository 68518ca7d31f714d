"""Markdown tables whose cells are text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reports.kit.names import visible

_SPECIAL = re.compile(
    r"""
    (?P<entity>[<>&])
    | [\\`*|\[\]~$]
    | (?<![^\W_])_ | _(?![^\W_])  # one within a word is no emphasis
    """,
    re.VERBOSE,
)
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


class Markdown(str):
    """Text that is Markdown already; every other string is escaped on its way into a table."""


def escape(text: object) -> Markdown:
    """Plain text as Markdown of one line that shows the same characters."""
    if isinstance(text, Markdown):
        return text
    return Markdown(_SPECIAL.sub(lambda found: _ENTITIES.get(found[0]) or f"\\{found[0]}", visible(str(text))))


def code(text: str) -> Markdown:
    """Text as code, within more backticks than it has in a row; a bar is escaped as tables want it."""
    text = visible(text).replace("|", r"\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    edge = " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{fence}{edge}{text}{edge}{fence}")


def table(heads: Sequence[object], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """A table, whose first ``left`` columns stand left and the others right."""
    rules = [Markdown("---" if i < left else "---:") for i in range(len(heads))]
    return "".join(f"| {' | '.join(map(escape, row))} |\n" for row in [heads, rules, *rows])
