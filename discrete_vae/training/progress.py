"""Where the loop tells how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Where the loop tells how far it is."""

    def start(self, label: str, total: int, done: int) -> None: ...
    def update(self, done: int, numbers: Mapping[str, float]) -> None: ...
    def message(self, text: str) -> None: ...
