"""Finite scalar quantisation: each variable is a bounded number, rounded straight through; there is no codebook.

F. Mentzer, D. Minnen, E. Agustsson, M. Tschannen: Finite Scalar Quantization: VQ-VAE Made Simple. ICLR 2024,
arXiv 2309.15505.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from torch import Tensor

from discrete_vae.errors import check_range
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.quantised import Grid
from discrete_vae.strategies.base import Claim, NetworkFactory
from discrete_vae.strategies.pathwise import Pathwise, straight_through


def check_levels(levels: int) -> None:
    """Raise ``InputError`` for a number of levels that is not at least 2."""
    check_range("levels", levels, 2)


class Fsq(Pathwise):
    """Forward a number rounded to K levels, backward the bounded number: the slope of ``tanh``.

    The logits are the numbers, ``[..., B, N, 1]``. A variable is a channel of its own with K levels, so that N of them
    are the paper's N channels. There is no noise, and beta has no effect.
    Raises ``InputError`` for fewer than 2 levels.
    """

    claim = Claim("Mentzer et al. 2023", unbiased=False, relaxed=False, evaluations=1)
    latent_family = Grid
    ignores = Pathwise.ignores | {"samples", "objective", "beta"}
    checks: ClassVar = {"levels": check_levels}

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    @classmethod
    def build(cls, options: Any, networks: NetworkFactory) -> Self:
        assert isinstance(networks.family, Grid)
        return cls(networks.family.categories)

    def reparameterised(self, logits: Tensor, noise: Noise) -> Tensor:
        bounded = Grid(logits.shape[-2], self.levels).bounded(logits)
        return straight_through(bounded.detach().round(), bounded) / (self.levels // 2)
