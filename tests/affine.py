"""The layer that tests build small decoders of."""

from discrete_vae.conformance.problem import Affine

__all__ = ["Affine"]
