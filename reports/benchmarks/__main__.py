"""Tables, figures and documents again, from the results that folders have: ``python -m reports.benchmarks FOLDER ...``.

For a change of words, or of how a table is laid out. Nothing is measured.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from discrete_vae.files import read_text
from reports.benchmarks import speed_by_classes, storage_overhead, throughput
from reports.kit.cache import PROVENANCE
from reports.kit.context import ReportContext

BENCHMARKS: dict[str, Any] = {each.REPORT.name: each for each in (throughput, speed_by_classes, storage_overhead)}


def show(out: Path) -> None:
    """Write them in a folder that has ``results.csv`` and ``provenance.json`` of a benchmark."""
    made = json.loads(read_text(out / PROVENANCE))
    report = BENCHMARKS[made["report"]]
    report.show(report.REPORT.presets[made["preset"]], ReportContext(made["report"], made["preset"], out))


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        show(Path(folder))
