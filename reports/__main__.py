"""The command ``python -m reports``."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from discrete_vae.cli.arguments import Optional, whole
from discrete_vae.cli.command import run
from discrete_vae.cli.where import STORAGE, Jobs, Storage, choose_device
from discrete_vae.data import has_files
from discrete_vae.errors import InputError, nearest
from discrete_vae.places import Folder
from discrete_vae.secrets import guard
from reports import (
    adversarial_vae,
    auto_encoder,
    critics,
    gradients,
    jang,
    reinmax,
    semi_supervised,
    sequences,
    speed_by_classes,
    storage_overhead,
    studies,
    target_propagation,
    thesis,
    throughput,
)
from reports.report import Report, ReportContext

REPORTS: dict[str, Report] = {
    "thesis": thesis.REPORT,
    "throughput": throughput.REPORT,
    "target-propagation": target_propagation.REPORT,
    "auto-encoder": auto_encoder.REPORT,
    "adversarial-vae": adversarial_vae.REPORT,
    "gradients": gradients.REPORT,
    "critics": critics.REPORT,
    "jang": jang.REPORT,
    "reinmax": reinmax.REPORT,
    "semi-supervised": semi_supervised.REPORT,
    "sequences": sequences.REPORT,
    "speed-by-classes": speed_by_classes.REPORT,
    "studies": studies.REPORT,
    "storage-overhead": storage_overhead.REPORT,
}

app = App(
    name="python -m reports",
    help="""Regenerate tables and figures: train what is missing, then write them as CSV, LaTeX, PDF and PNG.

For example `python -m reports thesis --preset quick --out out`. A second call trains nothing and writes the same bytes.
`python -m reports list` shows the reports and their presets.""",
    version_flags=[],
)


@app.default
def make(
    name: str,
    *,
    preset: Annotated[str | None, Parameter(show_default=False)] = None,
    out: Folder,
    runs: Folder = Path("runs"),
    device: str = "cpu",
    threads: Annotated[int | None, whole(1, 1024), Optional] = None,
    jobs: Jobs = None,
    folder: Annotated[Folder | None, Parameter(show_default=False)] = None,
    download: Annotated[bool, Parameter(negative="")] = False,
    storage: Storage = STORAGE,
) -> None:
    """Make a report.

    Parameters
    ----------
    name
        The report; `list` shows them.
    preset
        How long to train: quick, full, or another that `list` shows; by default the first of them.
    out
        Folder for the report's files: a new one, or one that the same report has made.
    runs
        Folder that holds the runs' folders; what it has is not trained again.
    device
        cpu, cuda, cuda:1 ...; auto takes CUDA where there is one.
    threads
        Processor threads; by default torch's choice.
    folder
        Folder with IDX files, for presets that train on data that are not bundled.
    download
        Download such data if they are not there.
    """
    if name not in REPORTS:
        raise nearest(name, REPORTS, "report")
    report = REPORTS[name]
    preset = next(iter(report.presets)) if preset is None else preset
    if preset not in report.presets:
        raise nearest(preset, report.presets, "preset")
    if (folder is not None or download) and not any(map(has_files, report.data(report.presets[preset]))):
        raise InputError(
            f"{'download' if folder is None else f'folder {folder}'} has no effect with {name} --preset {preset}, "
            "whose data need no files; leave it off"
        )
    if storage not in (STORAGE, os.environ.get("DISCRETE_VAE_STORAGE")) and not report.storage:
        raise InputError(f"storage has no effect with {name}, which reads no studies; leave it off")
    bench = ReportContext(name, preset, out, runs, choose_device(device, threads), folder, download, storage, jobs)
    bench.check_out()
    report.make(report.presets[preset], bench)


@app.command(name="list")
def list_reports() -> None:
    """Show the reports and their presets."""
    for name, report in REPORTS.items():
        print(f"{name}: {report.summary}")
        for preset, settings in report.presets.items():
            print(f"    --preset {preset}: {settings.summary}")


def main(tokens: Sequence[str] | None = None) -> None:
    """The command ``python -m reports``."""
    guard()
    sys.exit(run(app, tokens))


if __name__ == "__main__":
    main()
