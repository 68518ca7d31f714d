"""Metrics that a study may maximise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A metric that a study may maximise: its name and format."""

    label: str
    digits: int = 2
    unit: str = "nats"
    span: float = 20.0
    """How far below the best a value still has a colour of its own in figures."""

    def text(self, value: float) -> str:
        """``-103.21``, without its name."""
        return f"{value:.{self.digits}f}"

    @property
    def axis(self) -> str:
        """``ELBO (nats)``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


METRICS = {
    "elbo": Metric("ELBO"),
    "reconstruction_hard": Metric("reconstruction"),
    "accuracy": Metric("accuracy", 4, "", 0.1),
    "valid": Metric("valid share", 4, "", 0.1),
    "inception_score": Metric("Inception score", 2, "", 5.0),
}
"""Validation metrics of every epoch of which more is better, by their names in a run's history."""
