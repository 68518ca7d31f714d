"""What is modelled, a row of ``TASKS`` each. A task knows no strategy."""

from discrete_vae.tasks.base import Architecture, Supervision, Task
from discrete_vae.tasks.semi_supervised import SemiSupervised
from discrete_vae.tasks.structured_prediction import StructuredPrediction
from discrete_vae.tasks.vae import VAE

TASKS: dict[str, type[VAE] | type[StructuredPrediction] | type[SemiSupervised]] = {
    "vae": VAE,
    "structured-prediction": StructuredPrediction,
    "semi-supervised": SemiSupervised,
}

__all__ = ["TASKS", "VAE", "Architecture", "SemiSupervised", "StructuredPrediction", "Supervision", "Task"]
