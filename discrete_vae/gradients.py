"""The old place of ``discrete_vae.evaluation.gradients``, for one version."""

from discrete_vae.deprecation import moved

__getattr__ = moved(__name__, "discrete_vae.evaluation.gradients")
