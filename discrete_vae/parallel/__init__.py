"""Runs in several processes: the same training and evaluation, spread over the cores of a machine."""

from discrete_vae.parallel.jobs import check, evaluate, train
from discrete_vae.parallel.pool import ProcessDied

__all__ = ["ProcessDied", "check", "evaluate", "train"]
