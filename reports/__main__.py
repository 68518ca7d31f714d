"""The command ``python -m reports``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console

from discrete_vae.cli.arguments import Optional, whole
from discrete_vae.cli.command import run
from discrete_vae.cli.where import STORAGE, Jobs, Storage, choose_device
from discrete_vae.data import has_files
from discrete_vae.errors import InputError, nearest
from discrete_vae.files import check_room
from discrete_vae.foreign import is_file, out_of_file
from discrete_vae.places import Folder
from discrete_vae.secrets import guard
from reports import (
    adversarial_vae,
    architectures,
    auto_encoder,
    critics,
    data_bias,
    digits,
    gauss_newton,
    gradients,
    jang,
    listops,
    more_data,
    moves,
    polynomial,
    real_sequences,
    reinmax,
    semi_supervised,
    sequences,
    studies,
    target_propagation,
    thesis,
)
from reports.benchmarks import speed_by_classes, storage_overhead, throughput
from reports.kit import cost, kept, shared
from reports.kit.cache import provenance
from reports.kit.checks import NAME, THE_NAME
from reports.kit.comparison import Comparison
from reports.kit.context import RESULTS, Part, ReportContext, committed
from reports.kit.declared import counted
from reports.kit.kept import KEPT
from reports.kit.report import Report

REPORTS: dict[str, Report | Comparison] = {
    module.REPORT.name: module.REPORT
    for module in (
        thesis,
        throughput,
        target_propagation,
        gauss_newton,
        auto_encoder,
        adversarial_vae,
        gradients,
        critics,
        architectures,
        digits,
        jang,
        reinmax,
        polynomial,
        listops,
        more_data,
        data_bias,
        moves,
        semi_supervised,
        sequences,
        real_sequences,
        speed_by_classes,
        studies,
        storage_overhead,
    )
}
LONG = 60.0
"""Seconds; what takes longer is announced before it starts."""

app = App(
    name="python -m reports",
    help="""Regenerate tables and figures: train what is missing, then write them as CSV, LaTeX, PDF, PNG and HTML.

For example `python -m reports thesis --preset quick --out out`. Runs that committed results know are not trained
again, and a second call trains nothing and writes the same bytes. `python -m reports list` shows the reports, their
presets and what they cost. A report of your own is a file that defines REPORT:
`python -m reports path/to/mine.py --preset quick --out out`.""",
    version_flags=[],
)


@Parameter(name="*")
@dataclass(frozen=True)
class Training:
    """How much of a report is trained, where, and by what.

    Parameters
    ----------
    preset
        How long to train: quick, full, or another that `list` shows; by default the first of them.
    runs
        Folder that holds the runs' folders, or tables that `keep` made; what it has is not trained again.
    device
        cpu, cuda, cuda:1 ...; auto takes CUDA where there is one.
    threads
        Processor threads; by default torch's choice.
    folder
        Folder with the files of data that are not bundled; of several data sets, one with a subfolder for each.
    download
        Download such data if they are not there.
    retrain
        Train also what committed results know already.
    """

    preset: Annotated[str | None, Parameter(show_default=False)] = None
    runs: Folder = Path("runs")
    device: str = "auto"
    threads: Annotated[int | None, whole(1, 1024), Optional] = None
    jobs: Jobs = None
    folder: Annotated[Folder | None, Parameter(show_default=False)] = None
    download: Annotated[bool, Parameter(negative="")] = False
    storage: Storage = STORAGE
    retrain: Annotated[bool, Parameter(negative="")] = False

    def context(self, name: str, report: Report | Comparison, out: Path) -> ReportContext:
        """The context of a call; raises ``InputError`` for an option that has no effect on the report."""
        preset, folder, storage = chosen_preset(report, self.preset), self.folder, self.storage
        if (folder is not None or self.download) and not any(map(has_files, report.data(report.presets[preset]))):
            raise InputError(
                f"{asked_for(folder)} has no effect with {name} --preset {preset}, whose data need no files; leave it "
                "off"
            )
        if storage not in (STORAGE, os.environ.get("DISCRETE_VAE_STORAGE")) and not report.storage:
            raise InputError(f"storage has no effect with {name}, which reads no studies; leave it off")
        return ReportContext(
            report.name,
            preset,
            out,
            self.runs,
            choose_device(self.device, self.threads),
            folder,
            self.download,
            storage,
            self.retrain,
            file="" if name in REPORTS else name,
            jobs=self.jobs,
        )


DEFAULTS = Training()


@app.default
def make(
    name: str,
    *,
    out: Folder,
    known: Annotated[bool, Parameter(negative="")] = False,
    training: Training = DEFAULTS,
) -> None:
    """Make a report.

    Parameters
    ----------
    name
        The report, which `list` shows, or a Python file that defines REPORT.
    out
        Folder for the report's files: a new one, or one that the same report has made.
    known
        Train nothing: of a comparison whose training lasts, show the rows that have ended. The others are left out or
        dashes.
    """
    report = named(name)
    bench = replace(training.context(name, report, out), known_only=known)
    if known and not isinstance(report, Comparison):
        raise InputError(
            f"known has no effect with {name}, which is no comparison and is made as a whole; leave it off"
        )
    if known and training.retrain:
        raise InputError("known and retrain contradict each other; leave one off")
    bench.check_out()
    if not known:
        announce(report, bench)
    report.make(report.presets[bench.preset], bench)


@app.command
def train(
    name: str,
    *,
    row: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    training: Training = DEFAULTS,
) -> int:
    """Train and evaluate a report's rows, and write nothing but their runs.

    Several calls at once, on one machine or on several that share the folder of runs, share the rows: each takes those
    that no other is at. The exit code is 0 when all rows have ended, and 1 while others are at some. The report is then
    made with the same folder, or `keep` takes the numbers to where it is made. For example
    `python -m reports train jang --preset vae --row "ReinMax, VAE categorical" --folder data`.

    Parameters
    ----------
    name
        The report, which `list` shows, or a Python file that defines REPORT.
    row
        A row, as `rows` calls it; may be given several times, and they are trained in this order. By default all.
    """
    report = named(name)
    bench = training.context(name, report, RESULTS / report.name)
    wanted = shared.chosen(parts_of(name, report, bench.preset), row, bench)
    check_room(bench.runs)
    if free := shared.free(wanted, bench):
        announce(report, bench, row if len(free) == len(wanted) else free)
    others = list[str]()
    for label, done in shared.train(wanted, bench):
        print(f"{label}: {'ended' if done else 'another process is at it'}", flush=True)
        others += [label] * (not done)
    for label in [each for each in others if shared.ended(wanted[each], bench)]:
        print(f"{label}: ended meanwhile")
        others.remove(label)
    if others:
        print(f"{len(others)} of {counted(len(wanted), 'row')} not ended: other processes are at it. Call again later")
    return int(bool(others))


def asked_for(folder: Path | None) -> str:
    """What a call asks for that names a folder of data, or else downloads them."""
    return "download" if folder is None else f"folder {folder}"


def named(name: str) -> Report | Comparison:
    """A report by its name, or by the file that defines it. Raises ``InputError`` for one that is not known."""
    if name in REPORTS:
        return REPORTS[name]
    if not is_file(name):
        raise nearest(name, REPORTS, "report")
    own = out_of_file(name, "report", "REPORT")
    if not isinstance(own, Report | Comparison):
        raise InputError(f"{name} defines no report; write REPORT = Comparison(...), as reports/reinmax does")
    if own.name in REPORTS:
        raise InputError(f"{name} is called {own.name}, as one of the project's reports; give it another name")
    return own


def chosen_preset(report: Report | Comparison, preset: str | None) -> str:
    """The preset, by default the first. Raises ``InputError`` for one that is not known."""
    if preset is not None and preset not in report.presets:
        raise nearest(preset, report.presets, "preset")
    return preset or next(iter(report.presets))


def announce(report: Report | Comparison, bench: ReportContext, rows: Sequence[str] = ()) -> None:
    """Say what is known already, and how long the rest will take if that is long; of all rows, or of some."""
    console, preset = Console(highlight=False, soft_wrap=True), report.presets[bench.preset]
    planned, missing, parts = report.plan(preset), report.missing(preset, bench, rows), report.parts(preset)
    if planned and not missing and all(shared.ended(parts[row], bench) for row in rows or parts):
        console.print("all runs are known already; none is trained", markup=False)
    if missing and (seconds := cost.seconds(missing, bench.dataset, bench.device)) > LONG:
        console.print(
            f"training {'at least ' * bool(rows)}{counted(len(missing), 'run')} takes about {cost.told(seconds)} "
            f"({cost.steps(missing):,} steps, by a measured step of each kind); evaluations, and values that a grid "
            "grows by, come on top",
            markup=False,
        )


@app.command
def rows(name: str, *, preset: Annotated[str | None, Parameter(show_default=False)] = None) -> None:
    """Show the rows of a report that `train` trains, one a line.

    Parameters
    ----------
    name
        The report, which `list` shows, or a Python file that defines REPORT.
    preset
        The preset, which `list` shows; by default the first of them.
    """
    report = named(name)
    print("\n".join(parts_of(name, report, chosen_preset(report, preset))))


def parts_of(name: str, report: Report | Comparison, preset: str) -> Mapping[str, Part]:
    """What trains each row; raises ``InputError`` for a report without."""
    if found := report.parts(report.presets[preset]):
        return found
    make_it = f"python -m reports {name} --preset {preset} --out FOLDER"
    raise InputError(f"{name} trains in a way of its own, and not by rows; make it: {make_it}")


@app.command
def keep(
    name: str,
    *,
    runs: Folder = Path("runs"),
    out: Annotated[Folder | None, Parameter(show_default=False)] = None,
    metrics: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)] = (),
) -> None:
    """Keep the numbers of runs that have ended, before their report is whole.

    They are added to tables that every report looks into, so that these runs are not trained again, here or where the
    tables are copied to. For example `python -m reports keep jang --runs runs`, and with another machine's tables
    `python -m reports keep jang --runs theirs`.

    Parameters
    ----------
    name
        What to call them: the report's name, or another.
    runs
        Folder that holds the runs' folders, or tables that were kept on another machine.
    out
        Folder of the tables; by default reports/kept/NAME.
    metrics
        Metrics by epoch that settings are chosen by or figures draw, beside the task's own: accuracy, for example, and
        of generators of strings critic_loss and valid.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"name is {name!r}; {THE_NAME}, and another place with --out")
    where = out or KEPT / name
    known = kept.keep(runs, where, metrics)
    print(f"{where}: {counted(len(known), 'run')}")
    unscored = sum(run.finished and run.evaluation().empty for run in known)
    if unscored:
        print(
            f"{counted(unscored, 'run')} of these without an evaluation, as trials are: settings are chosen by them. A "
            "report that shows one trains it again, so keep a folder after its rows have ended"
        )


@app.command(name="list")
def list_reports(
    *name: str,
    device: str = "auto",
    threads: Annotated[int | None, whole(1, 1024), Optional] = None,
    folder: Annotated[Folder | None, Parameter(show_default=False)] = None,
    download: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show the reports, their presets, what they cost, and which results are committed.

    Parameters
    ----------
    name
        Reports whose presets' minutes are told, from a step of each kind of run that is measured here.
    device
        Where steps are measured: cpu, cuda, cuda:1 ...; auto takes CUDA where there is one.
    threads
        Processor threads; by default torch's choice.
    folder
        Folder with the files of data that are not bundled, which steps are measured on.
    download
        Download such data if they are not there.
    """
    if not name and (folder is not None or download):
        raise InputError(f"{asked_for(folder)} has no effect without a report's name; give one")
    shown = [named(each) for each in dict.fromkeys(name)] or list(REPORTS.values())
    bench = ReportContext("list", "", Path(), device=choose_device(device, threads), folder=folder, download=download)
    for report in shown:
        print(f"{report.name}: {report.summary}")
        for preset, settings in report.presets.items():
            print(f"    --preset {preset}: {settings.summary}{costs(report, preset, bench, measured=bool(name))}")
        for made in committed(report.name):
            told = provenance(made)
            took = told.get("training_seconds")
            trained = f", {cost.told(took)} of training" if took else ""
            some = ", some of its rows" * bool(told.get("known_only"))
            place = f" in {made.name}" * (made.name != report.name)
            print(f"    committed{place}: --preset {told['preset']}{some}{trained}")


def costs(report: Report | Comparison, preset: str, bench: ReportContext, *, measured: bool) -> str:
    """What a preset's training costs, as the list of reports tells it behind the preset's summary."""
    settings = report.presets[preset]
    planned = list(dict.fromkeys(report.plan(settings)))
    if not planned:
        return "; it trains in a way of its own, whose minutes are not measured" * (measured and not report.storage)
    known = f"; {len(planned)} runs, {cost.steps(planned):,} steps"
    if not measured:
        return known
    try:
        return f"{known}, about {cost.told(cost.seconds(planned, bench.dataset, bench.device))} if none is known"
    except InputError:
        if bench.folder is not None or bench.download or not any(map(has_files, report.data(settings))):
            raise
        return f"{known}; with --folder FOLDER of their data, or --download, it tells the minutes"


def main(tokens: Sequence[str] | None = None) -> None:
    """The command ``python -m reports``."""
    guard()
    sys.exit(run(app, tokens))


if __name__ == "__main__":
    main()
