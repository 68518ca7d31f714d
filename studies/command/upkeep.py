"""Commands that look after stored studies: export, clean, and proxy."""

from __future__ import annotations

import sys
from typing import Annotated

import optuna
from optuna.trial import TrialState

from discrete_vae.cli.arguments import whole
from discrete_vae.cli.console import announce
from discrete_vae.cli.where import STORAGE, Storage
from discrete_vae.errors import InputError
from discrete_vae.files import write_output
from discrete_vae.places import File
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.secrets import redact_url
from discrete_vae.tuning import open_storage, revive, table
from discrete_vae.tuning.storage import PORT, check_address, serve
from studies.command.choice import stored_searches
from studies.command.options import Only


def export(name: str, *, out: File, storage: Storage = STORAGE, only: Only = ()) -> None:
    """Write all trials as CSV, one a line, with every parameter, every metric and every seed's value.

    Text that a spreadsheet would compute, such as a study's name that begins with =, begins with an apostrophe instead.

    Parameters
    ----------
    out
        The file, written in place of an older table of trials.
    """
    trials = table(stored_searches(name, storage, only))
    write_output(out, to_csv(trials), b"study")
    announce(out, f"{out}: {len(trials)} trials")


def clean(name: str, *, storage: Storage = STORAGE, only: Only = (), stale: bool = False, yes: bool = False) -> None:
    """Remove a study and its trials from a storage; the runs' folders stay.

    Parameters
    ----------
    stale
        Only give back the trials that are running: their workers are dead.
    yes
        Do not ask.
    """
    for found in stored_searches(name, storage, only, readable=False):
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
