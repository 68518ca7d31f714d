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

import discrete_vae
from discrete_vae.errors import InputError
from discrete_vae.foreign import FILES
from discrete_vae.parallel.child import STOPPED, Task, serve
from discrete_vae.training.interruption import Interrupted, noted_signals

POLL = 0.1
"""Seconds between two checks for a signal."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""Ends a process at once; Windows has one such signal."""
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
    dismissed: bool = False
    """Whether it was told that there is no further task."""


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
                for worker in _speaking([each for each in workers if not each.dismissed]):
                    kind, value = _heard(worker, tasks)
                    if kind == "ready" and left:
                        worker.task = left.pop()
                        _send(worker, tasks[worker.task])
                    elif kind == "ready":
                        _dismiss(worker)
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
        try:
            torch.save(data, path)
        except (OSError, RuntimeError) as error:  # torch raises either where the disk is full
            raise InputError(
                f"the data for the processes cannot be written to {folder}; make room there, set TMPDIR to another "
                "folder, or give one job"
            ) from error
        yield path


def _started(path: Path, device: torch.device, threads: int) -> _Worker:
    """A new process with this one's environment, and its library.

    It is not forked from this one, for then it could not use CUDA, nor the threads of a torch that has computed. On
    Linux a server that has imported the library, and computed nothing, forks it at once; elsewhere it takes seconds.
    Raises ``InputError`` where a process cannot be begun.
    """
    if multiprocessing.current_process().daemon:
        raise InputError("a process of a pool cannot begin processes of its own; give one job")
    if sys.platform == "linux":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["discrete_vae.parallel.jobs"])
    else:
        context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    args = theirs, path, str(device), threads, dict(os.environ), discrete_vae.__file__, dict(FILES)
    process = context.Process(target=serve, args=args, daemon=True)
    try:
        with _blocked_interrupts(), _paths_of_now():
            process.start()
    except (EOFError, ConnectionError) as error:
        raise ProcessDied(
            "the server of processes ended while it began a process; the same command begins again"
        ) from error
    except ChildProcessError as error:
        raise InputError(
            "this process was forked from one that had begun processes, and cannot begin its own; start it by "
            "`spawn`, or give one job"
        ) from error
    except OSError as error:
        raise InputError(
            f"a process cannot be begun ({error}); the working directory has to be there, TMPDIR to be short, and "
            "`ulimit -n` to allow some files; or give one job"
        ) from error
    theirs.close()  # so that the process' end closes the pipe
    return _Worker(process, ours)


@contextlib.contextmanager
def _paths_of_now() -> Iterator[None]:
    """Modules are found as in this process by a server that begins now; Python 3.11 gives it no ``sys.path``."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSAFEPATH")}
    paths = [str(each) if each else os.getcwd() for each in sys.path]
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
        worker.connection.close()
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


def _dismiss(worker: _Worker) -> None:
    """There is no further task for it, so it ends, whether or not it hears signals."""
    _send(worker, None)
    worker.dismissed = True


def _named(runs: Sequence[Path]) -> str:
    more = f" and {len(runs) - SHOWN} more runs" if len(runs) > SHOWN else ""
    return ", ".join(map(str, runs[:SHOWN])) + more


def _end(workers: Sequence[_Worker]) -> None:
    """Let each process save what it has and end; a signal in the meantime ends them at once."""
    left = [worker for worker in workers if not worker.connection.closed]
    try:
        for worker in left:
            if not worker.dismissed:  # it may have ended long ago, and another process have its number
                _signal(worker, signal.SIGTERM)
        while left:
            for worker in _speaking(left):
                try:
                    kind = worker.connection.recv()[0]
                except (EOFError, OSError):
                    left.remove(worker)
                    continue
                if kind == "ask":
                    _send(worker, ())  # no run is pruned: the question comes again when the runs resume
                elif kind == "ready":
                    _dismiss(worker)
    finally:
        for worker in left:
            _signal(worker, KILL)
        for worker in workers:
            worker.process.join()
            worker.process.close()
            worker.connection.close()


def _signal(worker: _Worker, number: signal.Signals) -> None:
    """Send a signal; ``Process.terminate`` sends none once the server of processes has died."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker.process.pid or 0, number)
