"""A report's text and tables as documents: LaTeX with its PDF, and a page that any browser shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from discrete_vae.citations import bibliography
from discrete_vae.files import read_text
from reports.kit import latex, prose
from reports.kit.page import page
from reports.kit.references import listed
from reports.kit.results import judged
from reports.kit.table import Table

if TYPE_CHECKING:
    from reports.kit.context import ReportContext

PAGE = "report.html"


def write(
    bench: ReportContext,
    title: str,
    text: str | Path,
    tables: Sequence[Table],
    values: Mapping[str, Any],
    figures: Sequence[str],
    cited: Iterable[tuple[str, object]],
    papers: str = "",
) -> None:
    """Write ``NAME.tex`` and ``report.html`` around tables and figures; compile the former where LaTeX is installed.

    The text is Markdown (``reports.kit.prose``); ``<< name >>`` asks for one of ``values``. Tables and figures that it
    does not place follow it. Each table is written as ``.tex`` and ``.md`` too. The documents close with what to cite
    for the strategies, given with their options, and other papers: ``references.bib``.
    """
    tables = [judged(each) for each in tables]
    source = read_text(text) if isinstance(text, Path) else text
    filled: str = prose.fill(source, **values)
    placed = prose.tables(filled)
    filled += "".join(f"\n\n[table: {each.name}]\n" for each in tables if each.name not in placed)
    filled += "".join(f"\n\n![]({name})\n" for name in figures if f"]({name})" not in filled)
    for table in tables:
        bench.write(f"{table.name}.tex", table.latex())
        bench.write(f"{table.name}.md", table.markdown())
    references = bibliography(cited, papers)
    bench.write("references.bib", references)
    body = prose.latex(filled, {table.name: rf"\input{{{table.name}.tex}}" for table in tables})
    bench.write(f"{bench.report}.tex", latex.document(title, body))
    images = {name: (bench.out / f"{name}.png").read_bytes() for name in figures}
    content = prose.html(filled, {table.name: table.html() for table in tables}, images)
    bench.write(PAGE, page(title, content + listed(references)))
    parts = [*(f"{table.name}.tex" for table in tables), *(f"{name}.pdf" for name in figures), "references.bib"]
    compiled = latex.compile_document(bench.out, bench.report, parts)
    console = Console(highlight=False, soft_wrap=True)
    if not compiled:
        console.print(f"{bench.report}.tex was not compiled: {latex.INSTALL}", markup=False)
    for name in ([f"{bench.report}.pdf"] if compiled else []) + [PAGE]:
        console.print(bench.out / name, markup=False)
