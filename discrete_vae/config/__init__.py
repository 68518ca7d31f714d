"""The configuration of a run, which is also its identity, and which of its options have an effect."""

from discrete_vae.config.config import Config, defaults
from discrete_vae.settings import Architecture, CriticConfig, Supervision

__all__ = ["Architecture", "Config", "CriticConfig", "Supervision", "defaults"]
