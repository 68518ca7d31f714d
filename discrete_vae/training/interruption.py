"""How signals stop training: noted at once, and obeyed when all is saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType


class Interrupted(Exception):
    """Training was stopped by a signal, after saving; its text says how to resume."""


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of dying in the middle of an update; a second one is not held back."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each, handler in previous.items():
            signal.signal(each, handler)

    previous = {}
    with contextlib.suppress(ValueError):  # outside the main thread, signals are not ours to handle
        previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Have SIGTERM stop as Ctrl-C does, and the latter also where a shell lets background processes ignore it."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # outside the main thread, signals are not ours to handle
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
