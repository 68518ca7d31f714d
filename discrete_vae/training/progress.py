"""The receiver of the training loop's progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Receives the training loop's progress.

    ``start`` begins a population of ``total`` steps, ``done`` of them made before; ``update`` gives the steps made and
    numbers to show, by name; ``message`` gives a line of text.
    """

    def start(self, label: str, total: int, done: int) -> None: ...
    def update(self, done: int, numbers: Mapping[str, float]) -> None: ...
    def message(self, text: str) -> None: ...
