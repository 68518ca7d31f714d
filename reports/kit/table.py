"""One table, from the same cells as LaTeX (booktabs, siunitx), HTML and Markdown."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from discrete_vae.evaluation import statistics
from reports.kit.latex import Latex
from reports.kit.prose import Prose, escape, inline_html, inline_latex, plain

_BAR = re.compile(r"(?<!\\)\|")
_BLOCK = re.compile(r"^(\d*)(?=[-+*>] |#+ |[|%]|(?<=\d)[.)] )")
"""Where a paragraph would begin as a list, a heading, a quotation, a table or a comment."""
DASH = "–"  # noqa: RUF001
"""An empty cell."""
SMALL = ((8, 112, "scriptsize", 3), (6, 100, "footnotesize", 4), (0, 0, "small", 4))
"""Type, and points beside columns, of a table with more columns than so many, or wider lines (in characters)."""
WIDEST = 48
"""Characters of the words of a column in LaTeX; longer ones are broken."""


@dataclass(frozen=True)
class Number:
    """A number, maybe with half the width of its interval; as text, Markdown: ``−103.12 ± 0.24``."""  # noqa: RUF002

    value: float
    spread: float | None = None
    digits: int = 2
    bold: bool = False
    mark: str = ""
    """Behind it, for a note in the caption."""
    signed: bool = False
    """Whether a plus is shown."""

    @classmethod
    def mean(cls, values: statistics.Seeds, digits: int = 2, *, signed: bool = False) -> Number | str:
        """The mean over seeds with its 95% interval (none for one seed); a dash for no seed."""
        if not values:
            return DASH
        found = statistics.interval(list(values.values()))
        return cls(found.mean, found.half_width, digits, signed=signed)

    def texts(self) -> tuple[str, str]:
        """The number and its spread (empty if it has none) in ASCII, never a negative zero."""
        value = f"{round(self.value, self.digits) + 0.0:{'+' if self.signed else ''}.{self.digits}f}"
        return value, "" if self.spread is None else f"{self.spread:.{self.digits}f}"

    def plain(self) -> str:
        """Unicode text without emphasis."""
        value, spread = self.texts()
        return value.replace("-", "−") + (f" ± {spread}" if spread else "") + self.mark  # noqa: RUF001

    def __str__(self) -> Prose:  # type: ignore[override]
        text = escape(self.plain())
        return Prose(f"**{text}**" if self.bold else text)


Cell = Number | str
"""What is no ``Number`` or ``Prose`` is shown as it stands."""


@dataclass(frozen=True)
class Column:
    """The head of a column, as Markdown; neighbours of one group share a head above."""

    head: str
    group: str = ""
    text: bool = False
    """Whether it holds words, which stand left, and not numbers."""


@dataclass(frozen=True)
class Section:
    """A line across a table, as Markdown; above it a rule, if it is not the first."""

    title: str = ""


Row = Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """A table with a caption (Markdown)."""

    name: str
    """Name of its file and its label."""
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row | Section]

    @property
    def cells(self) -> list[Cell]:
        """All cells, row by row."""
        return [cell for row in self.rows if not isinstance(row, Section) for cell in row]

    def latex(self) -> Latex:
        r"""For ``\input`` into a document that loads booktabs and siunitx."""
        widths = self._widths()
        count, width = len(self.columns), sum(2 + min(each, WIDEST) for each in widths)
        size, space = next(each[2:] for each in SMALL if count > each[0] or width > each[1])
        lines = [*self._heads(), r"\midrule"]
        for i, row in enumerate(self.rows):
            if isinstance(row, Section):
                lines += [r"\midrule"] * bool(i)
                title = rf"\multicolumn{{{len(self.columns)}}}{{@{{}}l}}{{\textit{{{inline_latex(row.title)}}}}} \\"
                lines += [title] * bool(row.title)
            else:
                cells = (_latex(cell, column) for cell, column in zip(row, self.columns, strict=True))
                lines.append(" & ".join(cells) + r" \\")
        body = "\n".join(lines)
        words = ["l" if each <= WIDEST else rf">{{\raggedright\arraybackslash}}p{{{WIDEST / 2}em}}" for each in widths]
        kinds = "".join(words[i] if each.text else self._format(i) for i, each in enumerate(self.columns))
        return Latex(
            "\\begin{table}[htbp]\n\\centering\n"
            f"\\caption{{{inline_latex(self.caption)}}}\n\\label{{tab:{self.name}}}\n"
            f"\\{size}\n\\setlength{{\\tabcolsep}}{{{space}pt}}\n"
            f"\\begin{{tabular}}{{@{{}}{kinds}@{{}}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}\n\\end{{table}}\n"
        )

    def markdown(self) -> str:
        """With its caption below, if it has one; groups stand before their heads."""
        heads = [_BAR.sub(r"\\|", f"{each.group} {each.head}".strip()) for each in self.columns]
        rules = ["---" if each.text else "---:" for each in self.columns]
        rows = [
            [f"*{row.title}*", *[""] * (len(heads) - 1)] if isinstance(row, Section) else [_prose(cell) for cell in row]
            for row in self.rows
            if not isinstance(row, Section) or row.title
        ]
        lines = "".join(f"| {' | '.join(row)} |\n" for row in [heads, rules, *rows])
        caption = _BLOCK.sub(r"\1\\", self.caption)
        return lines + f"\n{caption}\n" * bool(caption)

    def html(self) -> str:
        """A ``<table>`` with its caption, in a box that scrolls where it is too wide."""
        lines = [f'<figure class="table" id="tab:{html.escape(self.name)}">']
        lines.append(f"<figcaption>{inline_html(self.caption)}</figcaption><div><table><thead>")
        if any(each.group for each in self.columns):
            groups = ((group, len(list(columns))) for group, columns in self._groups())
            lines.append(_line(f'<th colspan="{n}" class="center">{inline_html(group)}</th>' for group, n in groups))
        lines.append(_line(f"<th{_kind(each)}>{inline_html(each.head)}</th>" for each in self.columns))
        lines.append("</thead><tbody>")
        for row in self.rows:
            if isinstance(row, Section):
                lines.append(f'<tr class="rule"><td colspan="{len(self.columns)}">{inline_html(row.title)}</td></tr>')
            else:
                cells = zip(row, self.columns, strict=True)
                lines.append(_line(f"<td{_kind(each)}>{inline_html(_prose(cell))}</td>" for cell, each in cells))
        return "\n".join([*lines, "</tbody></table></div></figure>"]) + "\n"

    def _repr_html_(self) -> str:
        return self.html()

    def without(self, *heads: str) -> Table:
        """The table without the columns that have one of these heads."""
        kept = [i for i, each in enumerate(self.columns) if each.head not in heads]
        rows = [row if isinstance(row, Section) else [row[i] for i in kept] for row in self.rows]
        return replace(self, columns=[self.columns[i] for i in kept], rows=rows)

    def _groups(self) -> list[tuple[str, list[int]]]:
        """Neighbours of one group, in their order."""
        found = groupby(range(len(self.columns)), key=lambda i: self.columns[i].group)
        return [(group, list(columns)) for group, columns in found]

    def _heads(self) -> list[str]:
        lines, groups = [], self._groups()
        if any(group for group, _ in groups):
            named = [rf"\multicolumn{{{len(each)}}}{{c}}{{{inline_latex(group)}}}" for group, each in groups]
            lines.append(" & ".join(named) + r" \\")
            lines.append("".join(rf"\cmidrule(lr){{{i[0] + 1}-{i[-1] + 1}}}" for group, i in groups if group))
        heads = (inline_latex(each.head) if each.text else f"{{{inline_latex(each.head)}}}" for each in self.columns)
        return [*lines, " & ".join(heads) + r" \\"]

    def _widths(self) -> list[int]:
        """Characters of the widest cell of each column."""
        rows = [row for row in self.rows if not isinstance(row, Section)]
        return [max((len(_plain(row[i])) for row in rows), default=0) for i in range(len(self.columns))]

    def _format(self, column: int) -> str:
        """siunitx's column for the widest of a column's numbers."""
        cells = [row[column] for row in self.rows if not isinstance(row, Section)]
        numbers = [cell.texts() for cell in cells if isinstance(cell, Number)]
        if not numbers:
            return "r"
        whole = max(len(value.lstrip("+-").split(".")[0]) for value, _ in numbers)
        places = max(len(value.partition(".")[2]) for value, _ in numbers)
        sign = "-" if any(value[0] in "+-" for value, _ in numbers) else ""
        spread = max((len(each.replace(".", "").lstrip("0")) for _, each in numbers), default=0)
        return f"S[table-format={sign}{whole}.{places}{f'({spread})' * bool(spread)}]"


def _plain(cell: Cell) -> str:
    return cell.plain() if isinstance(cell, Number) else plain(cell) if isinstance(cell, Prose) else cell


def _prose(cell: Cell) -> Prose:
    return cell.__str__() if isinstance(cell, Number) else escape(cell)


def _latex(cell: Cell, column: Column) -> str:
    """A cell; within a column of numbers, what is none stands in braces."""
    if not isinstance(cell, Number) or not math.isfinite(cell.value + (cell.spread or 0)):
        return inline_latex(_prose(cell)) if column.text else f"{{{inline_latex(_prose(cell))}}}"
    value, spread = cell.texts()
    text = f"{value} +- {spread}" if spread else value
    mark = f"{{{inline_latex(escape(cell.mark))}}}" if cell.mark else ""
    bold = r"\bfseries " if cell.bold else ""
    return f"{bold}{text}{mark}"


def _kind(column: Column) -> str:
    return ' class="left"' if column.text else ""


def _line(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"
