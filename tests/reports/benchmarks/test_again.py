"""Committed tables, figures and documents of benchmarks are what the code makes of the committed numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reports.benchmarks.__main__ import show
from reports.kit.cache import PROVENANCE
from reports.kit.context import RESULTS


@pytest.mark.parametrize(
    "name",
    ["throughput", "throughput-h100", "throughput-h200", "throughput-short", "speed-by-classes", "storage-overhead"],
)
def test_committed_files_follow_from_the_committed_numbers(name: str, tmp_path: Path) -> None:
    for file in ("results.csv", PROVENANCE):
        shutil.copy(RESULTS / name / file, tmp_path / file)
    show(tmp_path)
    texts = {".tex", ".md", ".bib", ".csv", ".json"}
    made, committed = (
        {path.name: path.read_text() for path in folder.iterdir() if path.suffix in texts}
        for folder in (tmp_path, RESULTS / name)
    )
    assert made == committed, f"python -m reports.benchmarks reports/results/{name} writes others"
    assert (tmp_path / "report.html").is_file()
