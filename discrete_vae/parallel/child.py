"""A process of the pool: it takes tasks from its pipe, and reports its progress through it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Collection, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

import discrete_vae
from discrete_vae.errors import InputError
from discrete_vae.foreign import FILES
from discrete_vae.memory import keep_freed_memory
from discrete_vae.runs.run import Run
from discrete_vae.training.interruption import Interrupted

STOPPED = 130
"""Exit code of a process that a signal stopped, as shells have it."""


class Task(Protocol):
    """A task of a process."""

    @property
    def runs(self) -> Sequence[Path]:
        """Folders of the runs that it works on."""

    @property
    def saves(self) -> bool:
        """Whether it notes signals itself, and saves before it stops; other tasks are stopped at once."""

    def __call__(self, data: Any, device: torch.device, line: Line) -> Any: ...


class Signals:
    """Handles SIGINT and SIGTERM. Ctrl-C sends both, one by the terminal and one by the parent: the first counts."""

    def __init__(self) -> None:
        self.received = False
        self.saves = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first, self.received = not self.received, True
        if first and not self.saves:
            raise KeyboardInterrupt


class Line:
    """The pipe to the parent; for training it is a ``Progress``."""

    def __init__(self, connection: Connection, signals: Signals) -> None:
        self._connection, self._signals = connection, signals
        self._total = 1

    def tell(self, kind: str, value: Any = None) -> None:
        """Send a message. If the parent is gone, act as on its signal: a training saves and stops."""
        try:
            self._connection.send((kind, value))
        except OSError:
            signal.raise_signal(signal.SIGTERM)

    def next_task(self) -> Task | None:
        """Wait for a task; None if the parent is gone."""
        self.tell("ready")
        try:
            task: Task = self._connection.recv()
        except EOFError:
            return None
        return task

    def start(self, label: str, total: int, done: int) -> None:
        """Note the number of steps; a signal that came before stops the training here."""
        self._total = total
        if self._signals.received:  # before training began to note signals
            signal.raise_signal(signal.SIGTERM)

    def update(self, done: int, numbers: Mapping[str, float]) -> None:
        """Tell the parent the share of the steps that are done."""
        self.tell("share", done / self._total)

    def message(self, text: str) -> None:
        """Have the parent show a line."""
        self.tell("message", text)

    def advance(self, count: int) -> None:
        """Tell the parent how many more images are evaluated."""
        self.tell("advance", count)

    def prune(self, epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> Collection[Run]:
        """The ``Prune`` that asks the parent's."""
        self.tell("ask", (epoch, {run.config.name: dict(values) for run, values in metrics.items()}))
        try:
            leave = self._connection.recv()
        except (EOFError, OSError):
            signal.raise_signal(signal.SIGTERM)
            return ()
        return [run for run in metrics if run.config.name in leave]


def serve(
    connection: Connection,
    data: Path,
    device: str,
    threads: int,
    environment: Mapping[str, str],
    library: str,
    files: Mapping[str, str],
) -> None:
    """Do tasks until a signal or the end of the pipe. Exits with ``STOPPED`` after a signal.

    ``library`` is the file of the parent's ``discrete_vae``, ``files`` are those of its modules out of files.
    """
    os.environ.clear()  # it is that of the server, which began earlier
    os.environ.update(environment)
    FILES.update(files)
    try:
        stopped = _work(connection, data, device, threads, library)
    except (Interrupted, KeyboardInterrupt):
        stopped = True  # without a word: what it told last may be cut off
    if stopped:
        sys.exit(STOPPED)


def _work(connection: Connection, data: Path, device: str, threads: int, library: str) -> bool:
    """Do tasks; whether a signal came. What a task raises is told."""
    signals = Signals()
    line = Line(connection, signals)
    threading.Thread(target=_stop_without_parent, daemon=True).start()
    torch.set_num_threads(threads)
    keep_freed_memory()
    warnings.showwarning = lambda message, category, *_: line.tell("warning", f"{category.__name__}: {message}")
    try:
        if library != discrete_vae.__file__:
            raise InputError(
                f"the processes would have the library of {discrete_vae.__file__}, and not {library}; begin anew with "
                f"PYTHONPATH={Path(library).parents[1]}"
            )
        mapped = torch.load(data, map_location=device, mmap=True, weights_only=False)  # our own file
        while not signals.received and (task := line.next_task()):
            signals.saves = task.saves
            line.tell("done", task(mapped, torch.device(device), line))
            signals.saves = False
    except Interrupted:
        raise
    except Exception as error:
        error.add_note(traceback.format_exc())
        signals.saves = True  # a signal does not cut this off
        line.tell("failed", (_portable(error), error.__cause__ and _portable(error.__cause__)))
    return signals.received


def _stop_without_parent() -> None:
    """Act as on its signal once the parent is gone, whatever this process computes."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    signal.raise_signal(signal.SIGTERM)


def _portable(error: BaseException) -> BaseException:
    """An exception that the parent can read."""
    with contextlib.suppress(Exception):
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")
