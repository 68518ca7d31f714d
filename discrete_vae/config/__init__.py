"""The configuration of a run, which is also its identity, and which of its options have an effect."""

from discrete_vae.config.config import Config, defaults

__all__ = ["Config", "defaults"]
