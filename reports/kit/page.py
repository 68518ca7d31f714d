"""A report as one HTML file, which needs no network, no script and no LaTeX."""

from __future__ import annotations

from html import escape

import jinja2

from reports.kit.latex import environment


def page(title: str, body: str) -> str:
    """A whole page: a plain title, and a body of HTML as ``prose.html`` and tables give it.

    A table's first column stands left and the others right; the classes ``left`` and ``center`` of a cell, and
    ``rule`` of a row with a line below it, say otherwise. A long caption is a paragraph of the class ``caption`` above
    the table, since a ``caption`` element is as narrow as its table.
    """
    return _TEMPLATES.get_template("page.html").render(title=escape(title), body=body)


_TEMPLATES = environment(str, jinja2.StrictUndefined)
