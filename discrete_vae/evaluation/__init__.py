"""The yardstick, and what else is measured of trained models: diagnostics, gradients, statistics over seeds."""

from discrete_vae.evaluation.yardstick import evaluate, evaluate_population, stored

__all__ = ["evaluate", "evaluate_population", "stored"]
