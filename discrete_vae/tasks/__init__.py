"""What is modelled, a row of ``TASKS`` each. A task knows no strategy."""

from discrete_vae.tasks.base import Architecture, Task
from discrete_vae.tasks.structured_prediction import StructuredPrediction
from discrete_vae.tasks.vae import VAE

TASKS: dict[str, type[VAE] | type[StructuredPrediction]] = {
    "vae": VAE,
    "structured-prediction": StructuredPrediction,
}

__all__ = ["TASKS", "VAE", "Architecture", "StructuredPrediction", "Task"]
