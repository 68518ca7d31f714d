"""The sections of a configuration that tasks read, and the interface of the whole to a task.

They lie below the tasks; the configuration itself, which knows all tasks and strategies, lies above (``config``).
"""

from __future__ import annotations

from typing import Protocol

from discrete_vae.data import DataConfig
from discrete_vae.settings.architecture import Architecture
from discrete_vae.settings.critic import CriticConfig
from discrete_vae.settings.supervision import Supervision


class Settings(Protocol):
    """The parts of a configuration that tasks read."""

    @property
    def task(self) -> str: ...
    @property
    def strategy(self) -> str: ...
    @property
    def samples(self) -> int: ...
    @property
    def categorical(self) -> bool: ...
    @property
    def loss_includes_kl(self) -> bool: ...
    @property
    def rescaled_by(self) -> str | None: ...
    @property
    def data(self) -> DataConfig: ...
    @property
    def likelihood(self) -> str: ...
    @property
    def architecture(self) -> Architecture: ...
    @property
    def supervision(self) -> Supervision: ...
    @property
    def criticism(self) -> CriticConfig: ...


__all__ = ["Architecture", "CriticConfig", "Settings", "Supervision"]
