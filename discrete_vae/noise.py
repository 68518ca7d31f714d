"""The old place of ``discrete_vae.latents.noise``, for one version."""

from discrete_vae.deprecation import moved

__getattr__ = moved(__name__, "discrete_vae.latents.noise")
