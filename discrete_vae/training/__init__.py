"""From configurations to finished run folders: the loop, its step, capture and optimisers."""

from discrete_vae.training.loop import Interrupted, Progress, Prune, never, train

__all__ = ["Interrupted", "Progress", "Prune", "never", "train"]
