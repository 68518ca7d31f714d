"""The SLURM script on a real SLURM: an array whose tasks share a study, are cancelled and requeued."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

import studies
from discrete_vae.runs import Run
from discrete_vae.tuning import open_storage
from discrete_vae.tuning.retries import HISTORY, STOPPED, WORKER
from tests.tuning import postgres, slurm
from tests.tuning.postgres import PASSWORD, Server
from tests.tuning.slurm import Cluster, until
from tests.tuning.test_faults import check

ROOT = Path(__file__).parents[2]
EPOCHS, TASKS, TRIALS = 6, 4, 5
STUDY = f'''
"""The tests' study. Its workers wait for each other, so that all begin at once."""

import dataclasses
import os
import time
from pathlib import Path

from discrete_vae.data import DataConfig
from tests.tuning.tiny_worker import BASE, tiny

STUDY = tiny({EPOCHS}, dataclasses.replace(BASE, batch_size=5000, data=DataConfig()))  # which every worker can load
there = Path("there")
there.mkdir(exist_ok=True)
(there / os.environ["SLURM_ARRAY_TASK_ID"]).touch()
while len(list(there.iterdir())) < {TASKS}:
    time.sleep(0.05)
'''

pytestmark = [
    pytest.mark.skipif(bool(slurm.missing()), reason=f"no SLURM is installed: {', '.join(slurm.missing())}"),
    pytest.mark.skipif(postgres.programs() is None, reason="no PostgreSQL server is installed"),
]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with slurm.cluster() as made:
        yield made


@pytest.fixture
def database() -> Iterator[Server]:
    with postgres.server() as made:
        yield made


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a study of its own."""
    folder = tmp_path / "check out"
    shutil.copytree(Path(studies.__file__).parent, folder / "studies", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "studies" / "tiny.py").write_text(STUDY)
    return folder


def found(storage: BaseStorage) -> list[FrozenTrial]:
    if "tiny" not in optuna.get_all_study_names(storage):
        return []
    return optuna.load_study(study_name="tiny", storage=storage).get_trials()


def in_its_midst(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.RUNNING and 0 < len(trial.intermediate_values) < EPOCHS - 1


def halt(storage: BaseStorage, halted: dict[int, str]) -> bool:
    """Halt the processes of two trials in their midst: by the trial's number, the array's task; whether both are."""
    for trial in found(storage):
        if len(halted) < 2 and trial.number not in halted and in_its_midst(trial):
            process = psutil.Process(int(trial.user_attrs[WORKER].rpartition(":")[2]))
            process.suspend()
            if in_its_midst(storage.get_trial(trial._trial_id)):
                halted[trial.number] = process.environ()["SLURM_ARRAY_TASK_ID"]
            else:
                process.resume()
    return len(halted) == 2


def test_an_arrays_tasks_share_a_study(
    cluster: Cluster, database: Server, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is cancelled and one requeued in the middle of a trial, which others go on with from its checkpoints."""
    url = database.url.replace(f":{PASSWORD}", "")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    environment = {
        "DISCRETE_VAE_STORAGE": url,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RUNS": str(checkout / "shared runs"),
    }
    words = ["studies/cluster/slurm.sh", "tiny", "--trials", str(TRIALS), "--seeds", "1", "--device", "cpu"]
    job = cluster.call("sbatch", "--parsable", f"--array=1-{TASKS}", *words, cwd=checkout, **environment)
    tasks = [str(1 + i) for i in range(TASKS)]

    def told() -> str:
        return "\n".join([cluster.log(), *(path.read_text() for path in checkout.glob("slurm-*.out"))])

    until(lambda: len(list(checkout.glob("there/*"))) == TASKS, told)
    storage = open_storage(url)  # not before: they make the tables, all at once
    halted: dict[int, str] = {}
    until(lambda: halt(storage, halted), told)
    first, second = halted.values()
    cluster.call("scancel", f"{job}_{first}")  # has a halted process go on, to end it
    cluster.call("scontrol", "requeue", f"{job}_{second}")
    until(lambda: f"{job}_{second} PENDING" in cluster.jobs(), told)
    cluster.call("scontrol", "update", f"JobId={job}_{second}", "StartTime=now")  # rather than in two minutes
    until(lambda: not cluster.jobs(), told)

    trials = found(storage)
    counted = check(trials, TRIALS)
    assert len({trial.user_attrs[WORKER] for trial in trials if WORKER in trial.user_attrs}) >= TASKS
    for number in halted:
        assert trials[number].user_attrs[STOPPED]
        (again,) = (trial for trial in counted if number in trial.system_attrs.get(HISTORY, []))
        assert again.user_attrs[WORKER] != trials[number].user_attrs[WORKER]
        (name,) = again.user_attrs["runs"]
        sessions = Run.open(checkout / "shared runs" / name).sessions()
        assert sessions[-1]["steps"][0] > 0, "it began anew"

    states = {task: cluster.call("scontrol", "show", "job", "--oneliner", f"{job}_{task}") for task in tasks}
    for task, state in states.items():
        assert f"JobState={'CANCELLED' if task == first else 'COMPLETED'} " in state, state
    logs = {task: (checkout / f"slurm-{job}_{task}.out").read_text() for task in tasks}
    for task, log in logs.items():
        assert ("the same command goes on in the middle" in log) == (task in (first, second)), log
        assert bool(re.search(r"tiny: \d complete", log)) == (task != first), "the table that is shown at the end"
        assert "Traceback" not in log
        assert PASSWORD not in log
