"""From configurations to finished run folders: the loop, its step, capture and optimisers."""

from discrete_vae.training.interruption import Interrupted
from discrete_vae.training.loop import train
from discrete_vae.training.progress import Progress
from discrete_vae.training.resuming import Prune, never

__all__ = ["Interrupted", "Progress", "Prune", "never", "train"]
