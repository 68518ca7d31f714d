"""Workers that begin at once on an empty database: one of them makes the tables, and all of them have the study."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import optuna
import psycopg
import pytest

from discrete_vae.tuning import open_storage, open_study
from tests.tuning import postgres
from tests.tuning.tiny_worker import tiny

WORKERS, TIMES, LIMIT = 8, 3, 120


def begin(urls: Sequence[str], ready: Barrier, told: SimpleQueue[str]) -> None:
    """What a worker does before its first trial, at the same moment as others; once a storage."""
    study = tiny(1)
    for url in urls:
        ready.wait(LIMIT)
        try:
            found = open_study(study, "tiny", open_storage(url))
            told.put(found.study_name)
        except Exception as error:  # told to the test; the others are waited for
            told.put(f"{type(error).__name__}: {error}")


def begin_at_once(urls: Sequence[str]) -> list[str]:
    """What becomes of eight workers, which are forks of this process: they have imported all that they need."""
    context = multiprocessing.get_context("fork")
    ready, told = context.Barrier(WORKERS), context.SimpleQueue()
    workers = [context.Process(target=begin, args=(urls, ready, told)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LIMIT)
        assert worker.exitcode == 0
    return [told.get() for _ in range(WORKERS * len(urls))]


def check(urls: Sequence[str]) -> None:
    assert begin_at_once(urls) == ["tiny"] * WORKERS * len(urls)
    for url in urls:
        assert optuna.get_all_study_names(open_storage(url, make=False)) == ["tiny"]


def test_workers_begin_at_once_on_sqlite(tmp_path: Path) -> None:
    check([str(tmp_path / f"{i}.db") for i in range(TIMES)])


@pytest.mark.skipif(postgres.programs() is None, reason="no PostgreSQL server is installed")
def test_workers_begin_at_once_on_postgresql() -> None:
    with postgres.server() as server:
        names = [f"empty_{i}" for i in range(TIMES)]
        with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as connection:
            for name in names:
                connection.execute(f"CREATE DATABASE {name}")
        check([server.url.replace("/postgres", f"/{name}") for name in names])
