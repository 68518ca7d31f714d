"""Committed tables and documents are what the reports' code makes of the committed numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from discrete_vae.cli import command as cli
from reports.rewrite import RESULTS, REWRITERS, app, rewrite

GENERATED = {
    "sequences": {"sequences_examples.tex"},
    "throughput": {"evaluation.tex"},
}
"""Files that need the runs or the measurements themselves, and are not written here."""


@pytest.mark.parametrize("name", REWRITERS)
def test_tables_and_documents_follow_from_the_committed_numbers(name: str, tmp_path: Path) -> None:
    written = set(rewrite(name, tmp_path))
    for file in written:
        assert (tmp_path / file).read_text() == (RESULTS / name / file).read_text(), (
            f"python -m reports.rewrite {name} writes another {file}"
        )
    committed = {path.name for path in (RESULTS / name).iterdir() if path.suffix in (".tex", ".md")}
    assert committed - written == GENERATED.get(name, set())


def test_an_unknown_report_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(app, ["thesi"]) == 2
    assert capsys.readouterr().err == "error: unknown report to rewrite 'thesi'; did you mean 'thesis'?\n"
