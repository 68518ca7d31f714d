"""The command ``python -m studies``."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import optuna
import pandas as pd
import torch
from cyclopts import App, Parameter
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState
from rich.console import Console
from rich.table import Column, Table

from discrete_vae import data, evaluation, training
from discrete_vae.cli import choose_device, run
from discrete_vae.config import Config
from discrete_vae.errors import InputError, nearest
from discrete_vae.files import write_atomically
from discrete_vae.progress import terminal_progress
from discrete_vae.tuning import Study, Worker, done, open_storage, open_study, ranked, revive, standing
from discrete_vae.tuning.storage import DEFAULT, GRACE
from discrete_vae.tuning.worker import FAILURE, METRICS, VALUES
from studies import studies
from studies.pictures import Pictures

app = App(
    name="python -m studies",
    help=f"""Tune strategies with Optuna: temperature, learning rates and whatever else a study says.

    python -m studies list
    python -m studies run gumbel-softmax --trials 20      # into {DEFAULT}; the same command goes on
    python -m studies best gumbel-softmax                 # the winner again, with fresh seeds, on the test images

A trial trains several seeds side by side; its value is the mean of their validation ELBOs after the last epoch, in
nats, and the study looks for the highest. Many machines share a study through PostgreSQL:

    python -m studies worker gumbel-softmax --storage postgresql+psycopg://user:password@host/database

Trials of one process come out the same each time; those of several do not, for what is tried next depends on what has
ended. What is worth publishing is what `best` gives.""",
    version_flags=[],
)

Storage = Annotated[str | None, Parameter(show_default=False)]


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Asked:
    """What is trained for a study, and where."""

    trials: Annotated[int | None, Parameter(show_default=False)] = None
    """Trials that the study shall have, those of earlier calls and other workers with them; by default the study's."""
    seeds: Annotated[int | None, Parameter(show_default=False)] = None
    """Runs of a trial; by default the study's."""
    epochs: Annotated[int | None, Parameter(show_default=False)] = None
    """Length of a run; by default the study's."""
    timeout: Annotated[float | None, Parameter(show_default=False)] = None
    """Seconds after which no further trial is begun."""
    only: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Of a study with several searches: these alone."""
    storage: Storage = None
    """An SQLite file, postgresql+psycopg://user:password@host/database, or grpc://host:port; else studies.sqlite."""
    runs: Path = Path("runs")
    """Folder that holds the runs' folders."""
    artifacts: Path = Path("artifacts")
    """Folder for each trial's pictures, which optuna-dashboard shows."""
    batch: int = 1
    """Trials that train side by side, as one population; worth it on a GPU."""
    grace: float = GRACE
    """Seconds without a sign of life after which a worker is taken for dead, and its trial taken up by another."""
    device: str = "auto"
    """cpu, cuda, cuda:1 ...; auto takes CUDA where there is one."""
    threads: Annotated[int | None, Parameter(show_default=False)] = None
    """Processor threads; by default torch's choice."""
    compile: Annotated[bool, Parameter(negative="")] = False
    """Let torch.compile fuse the step's kernels."""

    def study(self, name: str) -> Study:
        """The study, with what was asked for in place of its own."""
        study = named(name)
        changes: dict[str, object] = {}
        for field in ("trials", "seeds", "epochs"):
            if (value := getattr(self, field)) is not None:
                if value < 1:
                    raise InputError(f"{field} is {value}; give at least 1")
                changes[field] = tuple(range(value)) if field == "seeds" else value
        if self.batch < 1:
            raise InputError(f"batch is {self.batch}; give at least 1")
        if self.only:
            for part in self.only:
                if part not in study.searches:
                    raise nearest(part, study.searches, f"search of {name}")
            changes["searches"] = {part: study.searches[part] for part in self.only}
        return dataclasses.replace(study, **changes)  # type: ignore[arg-type]


def named(name: str) -> Study:
    """A study by its name. Raises ``InputError`` for one that is not known."""
    known = studies()
    if name not in known:
        raise nearest(name, known, "study")
    return known[name]


@app.command(name="list")
def list_studies() -> None:
    """Show the studies and what they search."""
    for name, study in studies().items():
        print(f"{name}: {study.summary}")
        print(f"    {study.trials} trials of {study.epochs} epochs, {len(study.seeds)} seeds")
        if len(study.searches) > 1:
            print(f"    {', '.join(study.searches)}")


@app.command(name="run")
def run_study(name: str, *, asked: Asked = Asked()) -> None:
    """Run a study here, from where it stands, until it has all of its trials.

    Ctrl-C stops it; the same command goes on in the middle of the trial.
    """
    work(name, asked)


@app.command
def worker(name: str, *, asked: Asked = Asked()) -> None:
    """Work on a study that other workers, here or elsewhere, work on too.

    It waits for the others' trials, takes up what a worker leaves that dies, and ends when the study has its number.
    """
    work(name, asked)


def work(name: str, asked: Asked) -> None:
    """Train until the study has what was asked for, then show it."""
    study = asked.study(name)
    device = choose_device(asked.device, asked.threads)
    storage = open_storage(asked.storage, asked.grace)
    found = {part: (open_study(study, part, storage), search) for part, search in study.names().items()}
    with terminal_progress() as progress:
        for part, (each, search) in found.items():
            images = data.load(search.base.data, device=device)
            member = Worker(
                asked.runs,
                images,
                device,
                asked.batch,
                asked.compile,
                progress,
                Pictures(asked.artifacts, images),
            )
            try:
                member.work(each, study, search, study.trials, asked.timeout)
            except training.Interrupted as stopped:
                raise training.Interrupted(
                    f"{part}: stopped; {len(done(each.get_trials(deepcopy=False)))} of {study.trials} trials have "
                    "ended, and the same command goes on in the middle of the next"
                ) from stopped
    for each, _ in found.values():
        _show(each, 5)


@app.command
def show(name: str, *, storage: Storage = None, most: int = 10) -> None:
    """Show a study's best trials and how far it is.

    Parameters
    ----------
    storage
        As for `run`.
    most
        Trials to show.
    """
    for found in _stored(name, storage):
        _show(found, most)


@app.command
def best(name: str, *, fresh: int = 5, samples: int = 1000, asked: Asked = Asked()) -> None:
    """Train the winner and the runner-up again, with seeds that the study has not seen, and score them.

    Parameters
    ----------
    fresh
        How many seeds; they begin behind the study's own.
    samples
        Samples of the importance-weighted bound on the test images.
    """
    if fresh < 1:
        raise InputError(f"fresh is {fresh}; give at least 1")
    study = asked.study(name)
    device = choose_device(asked.device, asked.threads)
    first = max(study.seeds) + 1
    for found in _stored(name, asked.storage):
        search, table = (
            study.names()[found.study_name],
            Table(
                "trial",
                "parameters",
                *(Column(head, justify="right") for head in ("validation ELBO", "test ELBO", "bound")),
                title=f"{found.study_name}, seeds {first} to {first + fresh - 1}",
            ),
        )
        for trial in ranked(found)[:2]:
            configs = search.configs(trial.params, range(first, first + fresh), study.epochs)
            made = _scored(configs, samples, asked, device)
            means = made.groupby(["split", "metric"])["value"].mean()
            numbers = [means["validation", "elbo"], means["test", "elbo"], means.get(("test", "log_likelihood"))]
            table.add_row(
                str(trial.number), _told(trial.params), *("" if each is None else f"{each:.2f}" for each in numbers)
            )
        Console().print(table)


def _scored(configs: Sequence[Config], samples: int, asked: Asked, device: torch.device) -> pd.DataFrame:
    """The metrics of runs, trained if they are not: run, split, metric, value."""
    images = data.load(configs[0].data, device=device)
    frames = []
    with terminal_progress() as progress:
        made = training.train(configs, asked.runs, images, device=device, progress=progress, compiled=asked.compile)
        for split, count in (("validation", 1), ("test", samples)):
            missing = [each for each in made if each.finished and evaluation.stored(each, split, count).empty]
            with progress.counting(split, len(missing) * len(images.split(split))) as advance:
                if missing:
                    evaluation.evaluate(missing, images, split, count, device=device, advance=advance)
            frames += [evaluation.stored(each, split, count).assign(run=each.folder.name) for each in made]
    return pd.concat(frames, ignore_index=True)


def _stored(name: str, url: str | None) -> list[OptunaStudy]:
    """The searches of a study that a storage holds. Raises ``InputError`` if there are none."""
    storage = open_storage(url, make=False)
    there = set(optuna.get_all_study_names(storage))
    found = [optuna.load_study(study_name=part, storage=storage) for part in named(name).names() if part in there]
    if not found:
        raise InputError(f"{url or DEFAULT} holds no study {name!r}; python -m studies run {name}")
    return found


def _told(params: dict[str, object]) -> str:
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in params.items()
    )


def _show(found: OptunaStudy, most: int) -> None:
    trials = standing(found.get_trials(deepcopy=False))
    states = ", ".join(
        f"{count} {state.name.lower()}"
        for state in TrialState
        if (count := sum(trial.state == state for trial in trials))
    )
    table = Table(
        "trial", Column("ELBO", justify="right"), "each seed", "parameters", title=f"{found.study_name}: {states}"
    )
    for trial in ranked(found)[:most]:
        each = " ".join(f"{value:.1f}" for value in trial.user_attrs.get(VALUES, {}).values())
        table.add_row(str(trial.number), f"{trial.value:.2f}", each, _told(trial.params))
    console = Console()
    console.print(table)
    for trial in trials:
        if trial.state == TrialState.FAIL:
            console.print(
                f"trial {trial.number} failed: {trial.user_attrs.get(FAILURE, 'its worker died')}", markup=False
            )


@app.command
def export(name: str, *, out: Path, storage: Storage = None) -> None:
    """Write all trials as CSV, one a line, with every metric and every seed's value.

    Parameters
    ----------
    out
        The file.
    storage
        As for `run`.
    """
    rows = [
        {
            "study": found.study_name,
            "trial": trial.number,
            "state": trial.state.name,
            "value": trial.value if trial.state == TrialState.COMPLETE else None,
            "parameters": json.dumps(trial.params),
            "seeds": json.dumps(trial.user_attrs.get(VALUES, {})),
            "metrics": json.dumps(trial.user_attrs.get(METRICS, {})),
            "failure": trial.user_attrs.get(FAILURE),
            "seconds": trial.duration.total_seconds() if trial.duration else None,
        }
        for found in _stored(name, storage)
        for trial in standing(found.get_trials(deepcopy=False))
    ]
    write_atomically(out, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    print(f"{out}: {len(rows)} trials")


@app.command
def clean(name: str, *, storage: Storage = None, stale: bool = False, yes: bool = False) -> None:
    """Remove a study and its trials from a storage; the runs' folders stay.

    Parameters
    ----------
    storage
        As for `run`.
    stale
        Only give back the trials that are running: their workers are dead.
    yes
        Do not ask.
    """
    for found in _stored(name, storage):
        if stale:
            left = revive(found, everything=True)
            print(f"{found.study_name}: {left} running")
        elif (
            yes
            or input(f"remove {found.study_name} and its {len(found.get_trials(deepcopy=False))} trials? [y/N] ") == "y"
        ):
            optuna.delete_study(study_name=found.study_name, storage=found._storage)
            print(f"{found.study_name} removed")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m studies``."""
    sys.exit(run(app, arguments))


if __name__ == "__main__":
    main()
