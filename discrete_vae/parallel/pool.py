"""Tasks in several processes: each process takes one task after the other and tells this one how far it is.

A pipe to each process carries all of it. ``concurrent.futures`` was not taken: when a process dies its pool ends the
others without saying which task it was, it has no way to ask something in the middle of a task (``Prune``), and its
processes share a queue, whose lock a killed process may hold.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from discrete_vae.errors import InputError
from discrete_vae.parallel.child import STOPPED, Task, serve
from discrete_vae.training.interruption import Interrupted, noted_signals

POLL = 0.1
"""Seconds between two checks for a signal."""
SHOWN = 3
"""Runs that an error names."""

Hear = Callable[[int, str, Any], Any]
"""Called with a task's number and a message of its process, a kind and a value. What it returns answers ``ask``."""


class ProcessDied(InputError):
    """A process ended in the middle of its task, for example because the system killed it for its memory."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    task: int | None = None


def spread(tasks: Sequence[Task], data: Any, device: torch.device, jobs: int, threads: int, hear: Hear) -> None:
    """Do all tasks, in this order, in ``jobs`` processes of so many threads each, which are given the data.

    Raises what a task raises and ``ProcessDied``; ``Interrupted`` after a signal (SIGINT, SIGTERM). The other processes
    save what they have before it is raised. A second signal ends them at once.
    """
    left, done = list(range(len(tasks)))[::-1], 0
    workers: list[_Worker] = []
    with _stored(data) as path, noted_signals() as stop:
        try:
            while len(workers) < min(jobs, len(tasks)):
                workers.append(_started(path, device, threads))
            while done < len(tasks) and not stop:
                for worker in _speaking(workers):
                    kind, value = _heard(worker, tasks)
                    if kind == "ready":
                        if left:
                            worker.task = left.pop()
                            _send(worker, tasks[worker.task])
                    elif kind == "failed":
                        error, cause = value
                        raise error from cause
                    else:
                        assert worker.task is not None
                        answer = hear(worker.task, kind, value)
                        if kind == "ask":
                            _send(worker, answer)
                        if kind == "done":
                            worker.task, done = None, done + 1
        except ProcessDied:
            if not stop:  # else the signal was for all of them
                raise
        finally:
            _end(workers)
    if stop and done == len(tasks):  # all tasks are done: the signal is for the caller
        signal.raise_signal(stop[0])
    elif stop:
        raise Interrupted(
            f"stopped by {signal.Signals(stop[0]).name} and saved; the same command goes on from what is done"
        )


@contextlib.contextmanager
def _stored(data: Any) -> Iterator[Path]:
    """A file of the data, which all processes map: one copy in memory, and none of its pixels in a pipe."""
    with tempfile.TemporaryDirectory(prefix="discrete-vae-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "data.pt"
        torch.save(data, path)
        yield path


def _started(path: Path, device: torch.device, threads: int) -> _Worker:
    """A new process with this one's environment.

    It is not forked from this one, for then it could not use CUDA, nor the threads of a torch that has computed. On
    Linux a server that has imported the library, and computed nothing, forks it at once; elsewhere it takes seconds.
    """
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["discrete_vae.parallel.jobs"])
    else:
        context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, path, str(device), threads, dict(os.environ)), daemon=True)
    try:
        with _blocked_interrupts():
            process.start()
    except (EOFError, ConnectionError) as error:
        raise ProcessDied(
            "the server of processes ended while it began a process; the same command begins again"
        ) from error
    theirs.close()  # so that the process' end closes the pipe
    return _Worker(process, ours)


@contextlib.contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Block SIGINT: a process inherits that, so Ctrl-C cannot end it with a traceback before it can handle it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _speaking(workers: Sequence[_Worker]) -> list[_Worker]:
    """Workers that have a message, or have ended."""
    ready = wait([worker.connection for worker in workers], POLL)
    return [worker for worker in workers if worker.connection in ready]


def _heard(worker: _Worker, tasks: Sequence[Task]) -> tuple[str, Any]:
    """A process' message. Raises ``ProcessDied`` if it has ended, ``Interrupted`` if a signal stopped it."""
    try:
        kind, value = worker.connection.recv()
    except (EOFError, OSError):
        pass
    else:
        return kind, value
    worker.process.join()
    code = worker.process.exitcode or 0
    if code == STOPPED:
        raise Interrupted("a process was stopped by a signal; all have saved, and the same command goes on from there")
    if worker.task is None and code == 1:
        raise ProcessDied(
            "a process could not begin, for the reason that it printed; a script that uses several processes has to be "
            'a file, and to call them below `if __name__ == "__main__":`; or give one job'
        )
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    what = "before it had a task" if worker.task is None else f"while it worked on {_named(tasks[worker.task].runs)}"
    raise ProcessDied(
        f"a process {how} {what}; if the machine ran out of memory give fewer jobs, then the same command goes on "
        "from what is saved"
    )


def _send(worker: _Worker, value: Any) -> None:
    """Send a value; a process that has ended is noticed when its messages are read."""
    with contextlib.suppress(OSError):
        worker.connection.send(value)


def _named(runs: Sequence[Path]) -> str:
    more = f" and {len(runs) - SHOWN} more runs" if len(runs) > SHOWN else ""
    return ", ".join(map(str, runs[:SHOWN])) + more


def _end(workers: Sequence[_Worker]) -> None:
    """Let each process save what it has and end; a signal in the meantime ends them at once."""
    try:
        for worker in workers:
            worker.process.terminate()
        open_ends = list(workers)
        while open_ends:
            for worker in _speaking(open_ends):
                try:
                    if worker.connection.recv()[0] == "ask":
                        worker.connection.send(())  # no run is pruned: the question comes again when the runs resume
                except (EOFError, OSError):
                    open_ends.remove(worker)
        for worker in workers:
            worker.process.join()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()
