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
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from discrete_vae.errors import InputError
from discrete_vae.runs import Run, find
from discrete_vae.tuning import VALUES, active_trials, open_storage
from discrete_vae.tuning.storage import PatientStorage, backend
from tests.tuning import postgres
from tests.tuning.postgres import PASSWORD, Server
from tests.tuning.tiny_worker import work

SCRIPT = Path(__file__).with_name("tiny_worker.py")
LIMIT = 120.0
"""Seconds after which a test gives up waiting."""
LONG = 6
"""Epochs of a trial that is disturbed in its midst."""

pytestmark = pytest.mark.skipif(postgres.programs() is None, reason="no PostgreSQL server is installed")


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[Server, BaseStorage]]:
    with postgres.server() as made:
        yield made, open_storage(made.url)


@pytest.fixture
def server(database: tuple[Server, BaseStorage]) -> Iterator[Server]:
    yield database[0]
    for name in optuna.get_all_study_names(database[1]):
        optuna.delete_study(study_name=name, storage=database[1])


@pytest.fixture
def trials(database: tuple[Server, BaseStorage]) -> Callable[[], list[FrozenTrial]]:
    def found() -> list[FrozenTrial]:
        if "tiny" not in optuna.get_all_study_names(database[1]):
            return []
        return optuna.load_study(study_name="tiny", storage=database[1]).get_trials()

    return found


def start(server: Server, runs: Path, trials: int, batch: int = 1, epochs: int = 3) -> subprocess.Popen[str]:
    """A worker in a process of its own; it begins with the first line that it is sent."""
    values = [server.url, str(runs), str(trials), str(batch), "4", str(epochs)]
    paths = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *values],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


def until_saved(worker: subprocess.Popen[str], runs: Path, count: int) -> None:
    """Wait for a worker to be in the midst of its trials, with a checkpoint of each of their runs."""
    end = time.monotonic() + LIMIT
    while sum(run.step > 0 for run in find(runs)) < count:
        assert worker.poll() is None, worker.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


def begin(*workers: subprocess.Popen[str]) -> None:
    """Have workers begin at once, when all of them are there."""
    for worker in workers:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("begin\n")
        worker.stdin.flush()


def ended(process: subprocess.Popen[str]) -> str:
    _, told = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, told
    return told


def check(found: list[FrozenTrial], count: int) -> list[FrozenTrial]:
    """Exactly so many trials have come to an end, none is open, none counts twice."""
    assert {trial.state for trial in found} <= {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL}
    counted = active_trials(found)
    assert len(counted) == count
    assert {trial.state for trial in counted} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({tuple(trial.params.values()) for trial in counted}) == count
    return counted


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_workers_trials_go_on_elsewhere(server: Server, trials, tmp_path: Path, batch: int) -> None:
    """From their last checkpoints; the worker that takes them up is not told that the other is dead."""
    first = start(server, tmp_path / "runs", 2, batch, LONG)
    begin(first)
    until_saved(first, tmp_path / "runs", 2 * batch)
    os.kill(first.pid, signal.SIGSTOP)
    left = [trial.number for trial in trials() if trial.state == TrialState.RUNNING]
    assert left == list(range(batch))
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    work(server.url, tmp_path / "runs", 2, batch, epochs=LONG)
    found = trials()
    counted = check(found, 2)
    assert {trial.number for trial in found} - {trial.number for trial in counted} == set(left)
    retried = [trial for trial in counted if "retry_history" in trial.system_attrs]
    assert len(retried) == batch
    for trial in retried:
        for name in trial.user_attrs["runs"]:
            sessions = Run.open(tmp_path / "runs" / name).sessions()
            assert sessions[-1]["steps"][0] > 0, "it began anew"
    work(server.url, tmp_path / "other runs", 2, batch, epochs=LONG)  # has nothing to do
    assert trials() == found


def test_the_database_is_restarted(server: Server, trials, tmp_path: Path) -> None:
    """The worker waits for it, says so, and goes on; the database's password is not in what it says."""
    worker = start(server, tmp_path / "runs", 2, epochs=LONG)
    begin(worker)
    until_saved(worker, tmp_path / "runs", 2)
    server.stop()
    assert worker.stderr is not None
    told = next(line for line in worker.stderr if "does not answer" in line)
    server.start()
    told += ended(worker)
    check(trials(), 2)
    assert PASSWORD not in told


def test_a_database_that_stays_away_is_an_error_with_a_remedy(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = open_storage(server.url)
    monkeypatch.setattr(PatientStorage, "patience", 0.0)
    assert isinstance(backend(storage), PatientStorage)
    server.stop()
    try:
        with pytest.raises(InputError, match="start it again, then the same command goes on") as caught:
            optuna.get_all_study_names(storage)
    finally:
        server.start()
    assert PASSWORD not in str(caught.value) + capsys.readouterr().err
    assert optuna.get_all_study_names(storage) == [], "it is there again, and so are the connections"


def test_workers_share_a_study(server: Server, trials, tmp_path: Path) -> None:
    """Started at once, they make one, and no more trials than were asked for; none draws as another."""
    workers = [start(server, tmp_path / f"runs {i}", 7, epochs=2) for i in range(2)]
    begin(*workers)
    for worker in workers:
        ended(worker)
    counted = check(trials(), 7)
    assert len({trial.user_attrs["worker"] for trial in counted}) == 2
    assert all(VALUES in trial.user_attrs for trial in counted)
    written = [path for path in tmp_path.rglob("*") if path.suffix in (".json", ".csv")]
    assert any(server.url.partition("@")[2] in path.read_text() for path in written), "the command is kept"
    assert not any(PASSWORD in path.read_text() for path in written)
