"""A run's folder, its checkpoints, and the tidy table of all runs."""

from discrete_vae.runs.run import EVALUATION, HISTORY, Run, environment, find, parameters, survey, table

__all__ = ["EVALUATION", "HISTORY", "Run", "environment", "find", "parameters", "survey", "table"]
