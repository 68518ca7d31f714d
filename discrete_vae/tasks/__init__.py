"""What is modelled, a row of ``TASKS`` each. A task knows no strategy."""

from typing import TYPE_CHECKING

from discrete_vae.deprecation import renamed
from discrete_vae.settings import Architecture, CriticConfig, Supervision
from discrete_vae.tasks.adversarial_vae import AdversarialVAE
from discrete_vae.tasks.base import Task
from discrete_vae.tasks.critic import AdversarialTask
from discrete_vae.tasks.generator import CriticAlone, Generator
from discrete_vae.tasks.semi_supervised import Classified, LabelsAlone, SemiSupervised
from discrete_vae.tasks.structured_prediction import StructuredPrediction
from discrete_vae.tasks.vae import VAE

TASKS: dict[
    str, type[VAE] | type[StructuredPrediction] | type[SemiSupervised] | type[LabelsAlone] | type[Generator]
] = {
    "vae": VAE,
    "structured-prediction": StructuredPrediction,
    "semi-supervised": SemiSupervised,
    "labels-alone": LabelsAlone,
    "generator": Generator,
    "critic": CriticAlone,
    "adversarial-vae": AdversarialVAE,
}

__all__ = [
    "TASKS",
    "VAE",
    "AdversarialTask",
    "AdversarialVAE",
    "Architecture",
    "Classified",
    "CriticAlone",
    "CriticConfig",
    "Generator",
    "LabelsAlone",
    "SemiSupervised",
    "StructuredPrediction",
    "Supervision",
    "Task",
]

if not TYPE_CHECKING:  # type checkers know the new names alone
    __getattr__ = renamed(__name__, {"Criticism": "CriticConfig"})
