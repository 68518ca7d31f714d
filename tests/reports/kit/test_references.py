"""Every paper that a report can cite, as a line of a page."""

from __future__ import annotations

import re

from discrete_vae.citations import entries
from reports.kit.references import listed


def test_every_entry_is_a_line_without_tex() -> None:
    page = listed("\n".join(entries().values()))
    assert page.count("<li>") == len(entries())
    assert not re.search(r"[{}\\]|\$", page)
    assert "Nicholas Léonard" in page
    assert '<a href="https://arxiv.org/abs/1611.01144">' in page
    assert listed("") == ""
