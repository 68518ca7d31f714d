"""The command ``python -m studies``."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import optuna
from cyclopts import App, Parameter
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Column, Table

from discrete_vae import data
from discrete_vae.cli.arguments import Count, Optional, real, whole
from discrete_vae.cli.command import STORAGE, DataFiles, Storage, Where, run
from discrete_vae.cli.console import announce
from discrete_vae.config.config import LONGEST
from discrete_vae.errors import InputError, nearest
from discrete_vae.evaluation.statistics import interval
from discrete_vae.files import write_output
from discrete_vae.places import File, Folder
from discrete_vae.progress import terminal_progress
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.secrets import guard, redact_url
from discrete_vae.training import capacity
from discrete_vae.training import loop as training
from discrete_vae.tuning import (
    METRICS,
    Study,
    Worker,
    active_trials,
    defined,
    done,
    format_params,
    metric_of,
    open_storage,
    open_study,
    ranked,
    revive,
    table,
    train_again,
)
from discrete_vae.tuning.attributes import failure_of, values_of
from discrete_vae.tuning.metrics import Metric
from discrete_vae.tuning.storage import GRACE, PORT, check_address, reached, serve
from reports.names import visible
from studies import studies
from studies.pictures import Pictures

app = App(
    name="python -m studies",
    help="""Tune strategies with Optuna: temperature, learning rates and whatever else a study says.

```
python -m studies list
python -m studies run gumbel-softmax --trials 20   # the same command goes on
python -m studies best gumbel-softmax              # the winner on test images
```

A trial trains several seeds side by side; its value is the mean of their validation ELBOs after the last epoch, in
nats, or of another metric that the study names, and it looks for the highest. Many machines share a study through
PostgreSQL:

```
python -m studies worker gumbel-softmax --storage postgresql+psycopg://user@host/db
```

Trials of one process come out the same each time; those of several do not, for what is tried next depends on what has
ended. What is worth publishing is what `best` gives.""",
    version_flags=[],
)

MEMBERS = 10_000
"""Runs that a trial may have, and trials that train side by side."""
YEAR = 366 * 24 * 3600.0
"""In seconds: the longest that anything may wait."""
Only = Annotated[
    tuple[str, ...], Parameter(help="Of a study with several searches: these alone.", negative="", show_default=False)
]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Asked:
    """Which study, and how its runs are trained."""

    storage: Storage = STORAGE
    only: Only = ()
    epochs: Annotated[int | None, whole(1, LONGEST), Optional] = None
    """Length of a run; by default the study's."""
    compile: Annotated[bool, Parameter(negative="")] = False
    """Let torch.compile fuse the step's kernels."""


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Work(Asked):
    """What a worker does beside."""

    trials: Annotated[int | None, whole(1), Optional] = None
    """Trials that each search shall have, with those of earlier calls and other workers; by default the study's."""
    seeds: Annotated[int | None, whole(1, MEMBERS), Optional] = None
    """Runs of a trial; by default the study's."""
    timeout: Annotated[float | None, real(1, YEAR), Optional] = None
    """Seconds after which no further trial is begun."""
    batch: Annotated[int | None, whole(1, MEMBERS), Optional] = None
    """Trials that train side by side, as one population; by default 1, on a GPU 8."""
    artifacts: Folder = Path("artifacts")
    """Folder for each trial's pictures, which optuna-dashboard shows."""
    grace: Annotated[float, real(1, YEAR)] = GRACE
    """Seconds without a sign of life after which a worker is taken for dead, and its trial taken up by another."""

    def study(self, name: str) -> Study:
        """The study, with what was asked for in place of its own."""
        study = named(name)
        searches = {part: study.searches[part] for part in chosen(study, self.only)}
        seeds = study.seeds if self.seeds is None else tuple(range(self.seeds))
        trials, epochs = self.trials or study.trials, self.epochs or study.epochs
        return dataclasses.replace(study, searches=searches, seeds=seeds, trials=trials, epochs=epochs)


def named(name: str) -> Study:
    """A study by its name. Raises ``InputError`` for one that is not known."""
    known = studies()
    if name not in known:
        raise nearest(name, known, "study")
    return known[name]


def chosen(study: Study, only: Sequence[str]) -> list[str]:
    """The searches asked for, or all of them. Raises ``InputError`` for one that the study does not have."""
    for part in only:
        if "" in study.searches:
            raise InputError(f"only is {part!r}, but {study.name} is one search; leave it off")
        if part not in study.searches:
            raise nearest(part, study.searches, f"search of {study.name}")
    return list(dict.fromkeys(only or study.searches))


@app.command(name="list")
def list_studies() -> None:
    """Show the studies and what they search."""
    for name, study in studies().items():
        print(f"{name}: {study.summary}")
        of_each = " each" if len(study.searches) > 1 else ""
        length = f"{study.trials} trials{of_each}, of {study.epochs} epochs and {len(study.seeds)} seeds"
        print(f"    {length}, by validation {METRICS[study.metric].label}")
        if of_each:
            print(f"    --only {', '.join(study.searches)}")


@app.command(name="run")
def run_study(name: str, *, work: Work = Work(), where: Where = Where(), files: DataFiles = DataFiles()) -> None:
    """Run a study here, from where it stands, until it has all of its trials.

    Ctrl-C stops it; the same command goes on in the middle of the trial.
    """
    _work(name, work, where, files)


@app.command
def worker(name: str, *, work: Work = Work(), where: Where = Where(), files: DataFiles = DataFiles()) -> None:
    """Work on a study that other workers, here or elsewhere, work on too.

    It waits for the others' trials, takes up what a worker leaves that dies, and ends when the study has its number.
    """
    _work(name, work, where, files)


def _work(name: str, work: Work, where: Where, files: DataFiles) -> None:
    """Train until the study has what was asked for, then show it."""
    study = work.study(name)
    study.check()
    device = where.compute_device()
    batch = work.batch or (8 if device.type == "cuda" else 1)
    for search in study.searches.values():
        data.check_files(search.base.data, files.folder, files.download)
        capacity.require_training(search.base, len(study.seeds) * batch, device)
    storage = open_storage(work.storage, work.grace)
    found = {part: (open_study(study, part, storage), search) for part, search in study.names().items()}
    for each, _ in found.values():
        ranked(each)  # what cannot be read is found before anything is trained
    end = None if work.timeout is None else time.monotonic() + work.timeout
    with _stoppable(), terminal_progress() as progress:
        for part, (each, search) in found.items():
            images = data.load(search.base.data, files.folder, device, files.download)
            member = Worker(
                runs=where.runs,
                data=images,
                device=device,
                batch=batch,
                compiled=work.compile,
                progress=progress,
                saved=Pictures(work.artifacts, images),
            )
            left = None if end is None else end - time.monotonic()
            try:
                with reached(part):
                    member.work(each, study, search, study.trials, left)
            except (training.Interrupted, KeyboardInterrupt) as stopped:
                raise training.Interrupted(
                    f"{part}: stopped; {len(done(each.get_trials(deepcopy=False)))} of {study.trials} trials have "
                    "ended, and the same command goes on in the middle of the next"
                ) from stopped
    for each, _ in found.values():
        _show(each, 5)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Have SIGTERM stop as Ctrl-C does, and the latter also where a shell lets background processes ignore it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command
def show(name: str, *, storage: Storage = STORAGE, only: Only = (), most: Count = 10) -> None:
    """Show a study's best trials and how far it is.

    Parameters
    ----------
    most
        Trials to show.
    """
    for found in _stored(name, storage, only):
        _show(found, most)


@app.command
def best(
    name: str,
    *,
    fresh: Annotated[int, whole(1, MEMBERS)] = 5,
    samples: Count = 1000,
    asked: Asked = Asked(),
    where: Where = Where(),
    files: DataFiles = DataFiles(),
) -> None:
    """Train the winner and the runner-up again, with seeds that the study has not seen, and score them.

    What it finds is kept in the study, for `python -m reports studies`.

    Parameters
    ----------
    fresh
        How many seeds; they begin behind the study's own.
    samples
        Samples of the importance-weighted bound on the test images. It takes most of the time: 100 are ten times as
        fast.
    """
    device = where.compute_device()
    for found in _stored(name, asked.storage, asked.only):
        own = metric_of(found)
        metrics = dict.fromkeys([own, "elbo"])
        shown = [f"validation {own}", *(f"test {each}" for each in metrics), "test log_likelihood"]
        if not ranked(found):
            raise InputError(f"{found.study_name} has no complete trial; python -m studies run {name}")
        capacity.require_training(defined(found)[0].base, fresh, device)
        images = data.load(defined(found)[0].base.data, files.folder, device, files.download)
        with terminal_progress() as progress:
            made = train_again(
                found,
                images,
                where.runs,
                device,
                progress,
                fresh=fresh,
                epochs=asked.epochs,
                samples=samples,
                compiled=asked.compile,
            )
        rows = Table(
            "trial",
            Column("parameters", overflow="fold"),
            *(Column(_head(each), justify="right") for each in shown),
            title=f"{visible(found.study_name)}: {fresh} fresh seeds, {made['epochs']} epochs; mean and 95% interval",
        )
        params = {str(trial.number): trial.params for trial in found.get_trials(deepcopy=False)}
        for number, values in made["trials"].items():
            numbers = [
                interval(list(values[each].values())).text(_metric(each).digits) if each in values else ""
                for each in shown
            ]
            rows.add_row(number, visible(format_params(params[number])), *numbers)
        _console().print(rows)


def _console() -> Console:
    """For names as they stand: brackets in them are no markup, and colons no emoji."""
    return Console(markup=False, emoji=False)


def _metric(name: str) -> Metric:
    """Of ``test accuracy`` and the like."""
    return METRICS.get(name.partition(" ")[2], Metric("bound"))


def _head(name: str) -> str:
    """``test ELBO`` for ``test elbo``."""
    return f"{name.partition(' ')[0]} {_metric(name).label}"


def _stored(name: str, url: str, only: Sequence[str], readable: bool = True) -> list[OptunaStudy]:
    """The searches of a study that a storage holds.

    Raises ``InputError`` if there are none and, if they have to be ``readable``, for one that is damaged.
    """
    study = named(name)
    wanted = dict(zip(study.searches, study.names(), strict=True))
    storage = open_storage(url, make=False)
    there = set(optuna.get_all_study_names(storage))
    names = [wanted[part] for part in chosen(study, only) if wanted[part] in there]
    if not names:
        raise InputError(f"{redact_url(url)} holds no study {name!r}; python -m studies run {name}")
    found = [optuna.load_study(study_name=part, storage=storage) for part in names]
    for each in found if readable else []:
        defined(each)
    return found


def _show(found: OptunaStudy, most: int) -> None:
    trials = active_trials(found.get_trials(deepcopy=False))
    states = ", ".join(
        f"{count} {state.name.lower()}"
        for state in TrialState
        if (count := sum(trial.state == state for trial in trials))
    )
    rows = Table(
        "trial",
        Column(METRICS[metric_of(found)].label, justify="right"),
        "each seed",
        Column("parameters", overflow="fold"),
        title=f"{visible(found.study_name)}: {states}",
    )
    for trial in ranked(found)[:most]:
        text = METRICS[metric_of(found)].text
        each = " ".join(text(value) for value in values_of(trial).values())
        rows.add_row(str(trial.number), text(trial.values[0]), each, visible(format_params(trial.params)))
    console = _console()
    console.print(rows)
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    for trial in failed[:most]:
        reason = failure_of(trial) or "its worker died"
        console.print(f"trial {trial.number} failed: {visible(reason)}", markup=False, highlight=False, soft_wrap=True)
    if len(failed) > most:
        console.print(f"{len(failed) - most} more failed; python -m studies export has their reasons", markup=False)


@app.command
def export(name: str, *, out: File, storage: Storage = STORAGE, only: Only = ()) -> None:
    """Write all trials as CSV, one a line, with every parameter, every metric and every seed's value.

    Text that a spreadsheet would compute, such as a study's name that begins with =, begins with an apostrophe instead.

    Parameters
    ----------
    out
        The file, written in place of an older table of trials.
    """
    trials = table(_stored(name, storage, only))
    write_output(out, to_csv(trials), b"study")
    announce(out, f"{out}: {len(trials)} trials")


@app.command
def clean(name: str, *, storage: Storage = STORAGE, only: Only = (), stale: bool = False, yes: bool = False) -> None:
    """Remove a study and its trials from a storage; the runs' folders stay.

    Parameters
    ----------
    stale
        Only give back the trials that are running: their workers are dead.
    yes
        Do not ask.
    """
    for found in _stored(name, storage, only, readable=False):
        count = len(found.get_trials(deepcopy=False))
        if stale:
            before = sum(trial.state == TrialState.RUNNING for trial in found.get_trials(deepcopy=False))
            print(f"{found.study_name}: {before - revive(found, everything=True)} trials given back")
        elif running := sum(trial.state == TrialState.RUNNING for trial in found.get_trials(deepcopy=False)):
            raise InputError(
                f"{found.study_name}: {running} trials are being worked on; stop the workers first or, if they are "
                f"dead, python -m studies clean {name} --stale"
            )
        elif yes or _agreed(f"remove {found.study_name} and its {count} trials?"):
            optuna.delete_study(study_name=found.study_name, storage=found._storage)
            print(f"{found.study_name} removed")


@app.command
def proxy(*, storage: Storage = STORAGE, host: str = "localhost", port: Annotated[int, whole(1, 65535)] = PORT) -> None:
    """Serve a storage to workers that cannot reach its database: they give --storage grpc://HOST:PORT.

    A proxy passes no signs of life on: the trial of a worker that dies stays open until `clean NAME --stale`.

    Parameters
    ----------
    host
        The address to listen at; 0.0.0.0 for all of this machine's. There is no password: for a network you trust.
    port
        The port to listen at.
    """
    check_address(host, port)
    served = open_storage(storage)
    print(f"serving {redact_url(storage)} at grpc://{host}:{port}; Ctrl-C stops it", flush=True)
    serve(served, host, port)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise InputError(f"{question} There is nobody to ask; give --yes")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m studies``."""
    guard()
    sys.exit(run(app, arguments))


if __name__ == "__main__":
    main()
