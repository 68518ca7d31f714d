"""Progress in the terminal: what is being trained, how far it is, how it does and how long it will take."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from discrete_vae.errors import InputError

LOG_EVERY = 60.0
"""Seconds between the lines of a bar in a log."""


class TerminalProgress:
    """Shows training (see ``training.Progress``) and evaluation as bars with the remaining time."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self._studies: dict[str, TaskID] = {}
        self._told: dict[TaskID, float] = {}  # when a log last had a line

    def start(self, label: str, total: int, done: int) -> None:
        """A bar for a population of runs: ``total`` steps, of which ``done`` were made before.

        Within a study it takes the place of the one before it.
        """
        if self._studies and self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(label, total=total, completed=done, numbers="")

    def update(self, done: int, numbers: Mapping[str, float]) -> None:
        """``done`` steps made; what is followed of the first member, such as its loss, by name."""
        assert self._task is not None
        text = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self._progress.update(self._task, completed=done, numbers=text)
        self._log(self._task, LOG_EVERY)

    def study(self, name: str, done: int, total: int, best: str | None) -> None:
        """A bar for a study: ``done`` of its trials have ended, and the best value so far, with its metric's name."""
        if name not in self._studies:
            self._studies[name] = self._progress.add_task(name, total=total, completed=done, numbers="")
        numbers = f"trial {done} of {total}" + ("" if best is None else f"  best {best}")
        task = self._studies[name]
        self._progress.update(task, completed=done, total=total, numbers=numbers)
        self._log(task, 0)

    def message(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def counting(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar for ``total`` things; call the function that it gives with the number just done."""
        task = self._progress.add_task(label, total=total, numbers="")

        def advance(count: int) -> None:
            self._progress.update(task, advance=count)
            self._log(task, LOG_EVERY)

        yield advance
        self._progress.update(task, completed=total)

    def _log(self, task: TaskID, every: float) -> None:
        """A line in a log, which shows no bars before they are full, after so many seconds without one."""
        now = self._progress.get_time()
        if self._progress.console.is_terminal or now - self._told.setdefault(task, now) < every:
            return
        self._told[task] = now
        shown = next(each for each in self._progress.tasks if each.id == task)
        share = "" if task in self._studies.values() else f"{shown.percentage:.0f}%"
        left = f"about {timedelta(seconds=round(shown.time_remaining))} left" if shown.time_remaining else ""
        told = [each for each in (share, shown.fields["numbers"], left) if each]
        self.message(f"{shown.description}: {', '.join(told)}")


class _Bars(Progress):
    """Begins with its first bar: before it there is nothing to show, and no line to leave empty."""

    def add_task(self, *arguments: Any, **settings: Any) -> TaskID:
        self.start()
        return super().add_task(*arguments, **settings)


class _Log:
    """A stream whose errors are ignored: a failed write must not stop training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def terminal_progress() -> Iterator[TerminalProgress]:
    """Bars on standard error for as long as the context lasts; a plain stream gets the finished bars only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(compact=True),
        TextColumn("left {task.fields[numbers]}"),
    )
    progress = _Bars(
        *columns,
        console=Console(file=_Log(sys.stderr)) if sys.stderr else Console(stderr=True),  # type: ignore[arg-type]
        refresh_per_second=4,
        speed_estimate_period=3600,  # a trial of a study takes minutes
    )
    try:
        yield TerminalProgress(progress)
    except InputError:  # whose line stands alone
        progress.console.quiet = not progress.console.is_interactive  # else it ends with an empty line
        for task in progress.task_ids:
            progress.remove_task(task)
        raise
    finally:
        if progress.live.is_started:
            progress.stop()
