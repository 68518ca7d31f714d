"""Links to Markdown files of the repository that are no pages, such as a report's table: they are downloads."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

LINK = re.compile(r"\]\(((?:\.\./)+[^)\s]+\.md)\)")


def mark(app: Sphinx, page: str, source: list[str]) -> None:
    """Name such links as MyST does, which would look for pages of the site; in place."""
    folder = Path(app.env.doc2path(page)).parent

    def marked(found: re.Match[str]) -> str:
        file = (folder / found[1]).resolve()
        outside = file.is_file() and not file.is_relative_to(app.srcdir)
        return f"](path:{found[1]})" if outside else found[0]

    source[0] = LINK.sub(marked, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", mark)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
