"""Interchangeable ways to train categorical latent variables, on one VAE backbone, with honest numbers.

- ``discrete_vae.strategies``: how the latents are trained; each strategy works in other people's code too.
- ``discrete_vae.functional``, ``distributions``: the same as functions and as ``torch.distributions``.
- ``discrete_vae.latents.categorical``: one-hot latents: samples, densities, divergences, enumeration.
- ``discrete_vae.config``, ``training``, ``evaluation``, ``runs``: from a configuration to a folder of numbers.
- ``discrete_vae.evaluation.gradients``: a strategy's gradient against the exact one.
- ``python -m discrete_vae.conformance NAME``: measures a strategy and compares it with its claim.
- ``discrete_vae.citation("reinmax")``: what to cite for a strategy.
"""

from discrete_vae.citations import citation

__all__ = ["__version__", "citation"]

__version__ = "0.1.0"  # packaging reads it here
