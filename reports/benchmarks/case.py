"""The measurement of a training step: a configuration, how many of it side by side, and how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from discrete_vae.config import Config
from reports.benchmarks.load import TRIES

MIB = 2**20
SINGLE = ("gumbel-softmax", "straight-through-gumbel-softmax", "reinmax", "score-function")
"""Strategies that decode one class of an image, whatever the number of classes."""


@dataclass(frozen=True)
class Case:
    """One measurement. Its fields are part of a stored measurement's name: another field measures everything again."""

    config: Config
    members: int = 1
    compiled: bool = False
    threads: int | None = None
    loop: str = "suite"
    """``suite``; ``beside`` for its step beside that of Gumbel-Softmax; ``classes`` for the steps of ``SINGLE`` beside
    it; ``textbook`` for the plain loop; ``evaluation`` for the importance-weighted bound; ``device`` for what the
    device can do."""
    epoch: bool = False
    """Whether a whole epoch is measured too."""
    seconds: float = 4.0
    """How long to measure."""
    tries: int = TRIES
    """The largest number of measurements, if other processes disturb them."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.__dict__, "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Case:
        """The inverse of ``to_dict``."""
        return cls(**{**values, "config": Config.from_dict(values["config"])})

    def configs(self) -> list[Config]:
        """Configurations of its members, which differ in their seeds."""
        values = self.config.to_dict()
        return [Config.from_dict({**values, "seed": seed}) for seed in range(self.members)]
