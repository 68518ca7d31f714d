"""Markdown tables whose cells are text."""

from __future__ import annotations

from collections.abc import Sequence

from reports.kit import prose
from reports.kit.prose import Prose as Markdown
from reports.kit.prose import escape

__all__ = ["Markdown", "code", "escape", "table"]


def code(text: str) -> Markdown:
    """Text as code; a bar is escaped as tables want it."""
    return Markdown(prose.code(text).replace("|", r"\|"))


def table(heads: Sequence[object], rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """A table, whose first ``left`` columns stand left and the others right."""
    rules = [Markdown("---" if i < left else "---:") for i in range(len(heads))]
    return "".join(f"| {' | '.join(map(escape, row))} |\n" for row in [heads, rules, *rows])
