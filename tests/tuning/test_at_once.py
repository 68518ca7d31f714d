"""Workers that do the same at the same moment: make an empty database's tables, or take up what was left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import psycopg
import pytest
from optuna.trial import TrialState

from discrete_vae.tuning import active_trials, open_storage, open_study
from discrete_vae.tuning.attributes import STOPPED, history_of
from discrete_vae.tuning.retries import _fail, _retry
from tests.tuning import postgres
from tests.tuning.tiny_worker import tiny

WORKERS, TIMES, LIMIT = 8, 3, 120


def turns(act: Callable[[str], object], urls: Sequence[str], ready: Barrier, told: SimpleQueue[str]) -> None:
    """What a worker does, with one storage after the other, each at the same moment as the others."""
    for url in urls:
        ready.wait(LIMIT)
        try:
            act(url)
            told.put("done")
        except Exception as error:  # told to the test; the others are waited for
            told.put(f"{type(error).__name__}: {error}")


def at_once(act: Callable[[str], object], urls: Sequence[str]) -> None:
    """Have eight workers do it, which are forks of this process: they have imported all that they need."""
    context = multiprocessing.get_context("fork")
    ready, told = context.Barrier(WORKERS), context.SimpleQueue()
    workers = [context.Process(target=turns, args=(act, urls, ready, told)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LIMIT)
        assert worker.exitcode == 0
    assert [told.get() for _ in range(WORKERS * len(urls))] == ["done"] * WORKERS * len(urls)


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Empty databases."""
    if request.param == "sqlite":
        yield [str(tmp_path / f"{i}.db") for i in range(TIMES)]
        return
    if postgres.programs() is None:
        pytest.skip("no PostgreSQL server is installed")
    with postgres.server() as server:
        with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
            for i in range(TIMES):
                connection.execute(f"CREATE DATABASE empty_{i}")
        yield [server.url.replace("/postgres", f"/empty_{i}") for i in range(TIMES)]


def begin(url: str) -> None:
    """All that a worker does before its first trial."""
    open_study(tiny(1), "tiny", open_storage(url))


def take_up(url: str) -> None:
    """What a worker does that is stopped, or finds another dead."""
    _retry(optuna.load_study(study_name="tiny", storage=open_storage(url)))


def test_workers_begin_and_end_at_once(urls: list[str]) -> None:
    """One of them makes the tables, and all have the study; of what they leave, each trial is tried again once."""
    at_once(begin, urls)
    for url in urls:
        storage = open_storage(url, make=False)
        assert optuna.get_all_study_names(storage) == ["tiny"]
        found = optuna.load_study(study_name="tiny", storage=storage)
        for _ in range(4):
            trial = found.ask(dict(tiny().searches[""].space))
            trial.set_user_attr(STOPPED, True)
            _fail(found, found.get_trials()[trial.number])
    at_once(take_up, urls)
    for url in urls:
        trials = optuna.load_study(study_name="tiny", storage=open_storage(url)).get_trials()
        assert [trial.state for trial in trials] == [TrialState.FAIL] * 4 + [TrialState.WAITING] * 4
        assert sorted(history_of(trial) for trial in trials[4:]) == [[0], [1], [2], [3]]
        assert len(active_trials(trials)) == 4
