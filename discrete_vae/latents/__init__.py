"""Latent variables and the noise that samples them: categorical, Gaussian, deterministic and quantised families."""
