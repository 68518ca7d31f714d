"""Trials that a worker loses while it trains them, run folders that another has, and proxies that pass on no signs."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import text

from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.training import loop as training
from discrete_vae.tuning import Worker, active_trials, open_storage, open_study, revive, worker
from discrete_vae.tuning.attributes import SURPLUS, WORKER
from discrete_vae.tuning.retries import requeue, this_worker
from discrete_vae.tuning.storage import backend
from reports.benchmarks.storage_overhead import instant
from tests.tuning.tiny_worker import images, tiny


class Told:
    """A worker's progress, of which only the messages are kept."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def start(self, *_) -> None: ...
    def update(self, *_) -> None: ...
    def study(self, *_) -> None: ...
    def message(self, text: str) -> None:
        self.messages.append(text)


def test_a_trial_that_was_given_to_another_is_left_to_it(tmp_path: Path) -> None:
    """As by a worker that was asleep for longer than the grace period."""
    study = tiny(2)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    progress = Told()

    def taken(*arguments, prune, **settings):
        def first_taken(epoch, metrics):
            if len(found.get_trials()) == 1:
                requeue(found, found.get_trials()[0])
            return prune(epoch, metrics)

        return training.train(*arguments, prune=first_taken, **settings)

    one = Worker(tmp_path / "runs", images(), progress=progress, train=taken)
    one.work(found, study, study.searches[""], 1)
    first, second = found.get_trials()
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert first.params == second.params
    assert [trial.number for trial in active_trials(found.get_trials())] == [1]
    assert "trial 0: taken for dead" in progress.messages[0]


def test_a_run_that_another_process_has_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tiny(1)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    progress = Told()
    held = []

    def blocked(configs, runs, *arguments, **settings):
        if not held:
            held.append(Run.create(runs, configs[0]).held())
            held[0].__enter__()
        return training.train(configs, runs, *arguments, **settings)

    monkeypatch.setattr(worker.time, "sleep", lambda seconds: held[0].__exit__(None, None, None))
    Worker(tmp_path / "runs", images(), progress=progress, train=blocked).work(found, study, study.searches[""], 1)
    assert "is in use by another process" in progress.messages[0]
    assert [trial.state for trial in found.get_trials()] == [TrialState.COMPLETE]


def test_the_dead_are_known_by_their_process(tmp_path: Path) -> None:
    """In an SQLite file, whose workers are of one machine; what a living one has is left to it."""
    study = tiny(1)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = platform.node()
    workers = [f"{host}:{ended.pid}", f"{host}:{os.getppid()}", f"another-machine:{ended.pid}", this_worker(), None]
    for name in workers:
        trial = found.ask(dict(study.searches[""].space))
        if name is not None:
            trial.set_user_attr(WORKER, name)
    assert revive(found) == 3
    states = [trial.state for trial in found.get_trials()]
    assert states[:5] == [TrialState.FAIL, TrialState.RUNNING, TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING]
    assert [trial.system_attrs["retry_history"] for trial in found.get_trials()[5:]] == [[0], [3]]
    assert not any(trial.user_attrs for trial in found.get_trials()[5:]), "they are nobody's"


def test_what_was_never_heard_of_is_taken_up_after_the_grace_period(tmp_path: Path) -> None:
    """As a trial, new or taken up again, whose worker died between its asking and its first sign of life."""
    study = tiny(1)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db"), grace=60))
    found.ask(dict(study.searches[""].space))
    requeue(found, found.get_trials()[0])
    found.ask(dict(study.searches[""].space))  # takes it up, and dies
    assert revive(found) == 1
    with found._storage._backend.engine.begin() as connection:
        past = datetime.now() - timedelta(seconds=61)
        connection.execute(text("UPDATE trials SET datetime_start = :past WHERE number = 1"), {"past": past})
    found = optuna.load_study(study_name="tiny", storage=open_storage(str(tmp_path / "study.db"), grace=60))
    assert revive(found) == 0
    assert [trial.state for trial in found.get_trials()] == [TrialState.FAIL, TrialState.FAIL, TrialState.WAITING]
    assert found.get_trials()[2].system_attrs["retry_history"] == [0, 1]


def test_a_trial_that_two_workers_take_up_again_counts_once(tmp_path: Path) -> None:
    """As in storages of before a trial could be taken up again but once."""
    study = tiny(1)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    found.ask(dict(study.searches[""].space))
    requeue(found, found.get_trials()[0])
    RDBStorage._create_new_trial(
        backend(found._storage), found._study_id, found.get_trials()[1]
    )  # as it once was added
    assert [trial.number for trial in active_trials(found.get_trials())] == [1]
    Worker(tmp_path / "runs", images(), train=instant).work(found, study, study.searches[""], 2)
    trials = found.get_trials()
    assert [trial.number for trial in active_trials(trials)] == [1, 3]
    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.COMPLETE] * 2
    assert trials[2].user_attrs == {SURPLUS: True}


def test_a_trial_that_lost_its_place_gives_it_up(tmp_path: Path) -> None:
    """Places go by the numbers that trials had first: those taken up again keep theirs."""
    study = tiny(1)
    found = open_study(study, "tiny", open_storage(str(tmp_path / "study.db")))
    for _ in range(3):
        found.ask(dict(study.searches[""].space))
    for trial in found.get_trials():
        requeue(found, trial)
    Worker(tmp_path / "runs", images(), train=instant).work(found, study, study.searches[""], 2)
    assert [trial.number for trial in active_trials(found.get_trials())] == [3, 4]


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[str]:
    """The URL of a proxy before an SQLite file, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-m", "studies", "proxy", "--storage", str(tmp_path / "study.db"), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))},
    )
    try:
        assert process.stdout is not None
        assert "serving" in process.stdout.readline()
        yield f"grpc://localhost:{port}"
    finally:
        process.kill()
        process.communicate()


def test_a_proxy_serves_a_study_but_no_signs_of_life(
    proxy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tiny(1)
    storage = open_storage(proxy)
    assert "stays RUNNING" in capsys.readouterr().err
    found = open_study(study, "tiny", storage)
    left = found.ask(dict(study.searches[""].space))  # by a worker that dies
    Worker(tmp_path / "runs", images()).work(found, study, study.searches[""], 2)
    assert [trial.state for trial in found.get_trials()] == [TrialState.RUNNING, TrialState.COMPLETE]
    beside = optuna.load_study(study_name="tiny", storage=open_storage(str(tmp_path / "study.db")))
    assert revive(beside, everything=True) == 0
    Worker(tmp_path / "runs", images()).work(found, study, study.searches[""], 2)
    counted = active_trials(found.get_trials())
    assert [trial.state for trial in counted] == [TrialState.COMPLETE] * 2
    assert left.number not in {trial.number for trial in counted}
    assert left.params in [trial.params for trial in counted]


@pytest.mark.parametrize("history", [[1], [0, 0], [1, 0], "x"])
def test_a_history_that_no_trial_has_is_named(history) -> None:
    """Two trials that were each taken up again as the other would both be gone without a word."""
    trial = optuna.create_trial(state=TrialState.FAIL, system_attrs={"retry_history": history})
    trial.number = 1
    with pytest.raises(InputError, match="not a list of earlier trials' numbers"):
        active_trials([trial])
