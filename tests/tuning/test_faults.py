"""Workers that are killed, databases that go away: on a real PostgreSQL, with processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.runs import Run
from discrete_vae.tuning import open_storage, standing
from discrete_vae.tuning.worker import VALUES
from tests.tuning import postgres
from tests.tuning.postgres import PASSWORD, Server

NEEDS_POSTGRES = pytest.mark.skipif(postgres.programs() is None, reason="no PostgreSQL server is installed")
SCRIPT = Path(__file__).with_name("tiny_worker.py")
LIMIT = 120.0
"""Seconds after which a test gives up waiting."""

pytestmark = NEEDS_POSTGRES


@pytest.fixture(scope="module")
def database() -> Iterator[Server]:
    with postgres.server() as made:
        yield made


@pytest.fixture
def empty(database: Server) -> Iterator[Server]:
    yield database
    storage = open_storage(database.url)
    for name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)


def start(server: Server, runs: Path, trials: int, batch: int = 1, epochs: int = 3) -> subprocess.Popen[str]:
    """A worker in a process of its own."""
    values = [server.url, str(runs), str(trials), str(batch), "4", str(epochs)]
    return subprocess.Popen([sys.executable, str(SCRIPT), *values], stderr=subprocess.PIPE, text=True)


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for it."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def trials(server: Server) -> list[FrozenTrial]:
    storage = open_storage(server.url)
    if "tiny" not in optuna.get_all_study_names(storage):
        return []
    return optuna.load_study(study_name="tiny", storage=storage).get_trials()


def ended(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, told
    return told


def check(found: list[FrozenTrial], count: int) -> list[FrozenTrial]:
    """Exactly so many trials have come to an end, none is open, none counts twice."""
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    counted = standing(found)
    assert len(counted) == count
    assert {trial.state for trial in counted} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({tuple(trial.params.values()) for trial in counted}) == count
    return counted


@pytest.mark.parametrize("batch", [1, 2])
def test_a_killed_workers_trials_go_on_elsewhere(empty: Server, tmp_path: Path, batch: int) -> None:
    """From their last checkpoints, with the values that they would have had."""
    epochs = 20
    first = start(empty, tmp_path / "runs", 2, batch, epochs)
    until(lambda: any(trial.intermediate_values for trial in trials(empty)), "the first epoch")
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    left = [trial.number for trial in trials(empty) if trial.state == TrialState.RUNNING]
    assert left == list(range(batch))
    ended(start(empty, tmp_path / "runs", 2, batch, epochs))
    found = trials(empty)
    counted = check(found, 2)
    assert {trial.number for trial in found} - {trial.number for trial in counted} == set(left)
    retried = [trial for trial in counted if "retry_history" in trial.system_attrs]
    assert len(retried) == batch
    for trial in retried:
        for name in trial.user_attrs["runs"]:
            sessions = Run.open(tmp_path / "runs" / name).sessions()
            assert sessions[-1]["steps"][0] > 0, "it began anew"
    ended(start(empty, tmp_path / "other runs", 2, batch, epochs))  # has nothing to do
    assert trials(empty) == found


def test_the_database_is_restarted(empty: Server, tmp_path: Path) -> None:
    worker = start(empty, tmp_path / "runs", 3, epochs=20)
    until(lambda: any(trial.intermediate_values for trial in trials(empty)), "the first epoch")
    empty.stop()
    empty.start()
    told = ended(worker)
    check(trials(empty), 3)
    assert PASSWORD not in told


def test_workers_share_a_study(empty: Server, tmp_path: Path) -> None:
    """Started at once, they make one, and no more trials than were asked for; none draws as another."""
    workers = [start(empty, tmp_path / f"runs {i}", 7) for i in range(3)]
    for worker in workers:
        ended(worker)
    counted = check(trials(empty), 7)
    assert len({trial.user_attrs["worker"] for trial in counted}) > 1
    assert all(VALUES in trial.user_attrs for trial in counted)
    for path in tmp_path.rglob("*.json"):
        assert PASSWORD not in path.read_text()
