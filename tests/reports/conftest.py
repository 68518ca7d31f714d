"""What the tests of all reports share."""

from __future__ import annotations

import pytest

from reports.kit import latex


@pytest.fixture(autouse=True)
def _typeset(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module's own report is typeset, and what its tests make is not, which takes seconds each.

    They are where the module says ``TYPESET = True``.
    """
    if not getattr(request.module, "TYPESET", False):
        monkeypatch.setattr(latex, "engine", lambda: None)
