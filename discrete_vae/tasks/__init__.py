"""What is modelled, a row of ``TASKS`` each. A task knows no strategy."""

from discrete_vae.tasks.base import Architecture, Supervision, Task
from discrete_vae.tasks.semi_supervised import Classified, LabelsAlone, SemiSupervised
from discrete_vae.tasks.structured_prediction import StructuredPrediction
from discrete_vae.tasks.vae import VAE

TASKS: dict[str, type[VAE] | type[StructuredPrediction] | type[SemiSupervised] | type[LabelsAlone]] = {
    "vae": VAE,
    "structured-prediction": StructuredPrediction,
    "semi-supervised": SemiSupervised,
    "labels-alone": LabelsAlone,
}

__all__ = [
    "TASKS",
    "VAE",
    "Architecture",
    "Classified",
    "LabelsAlone",
    "SemiSupervised",
    "StructuredPrediction",
    "Supervision",
    "Task",
]
