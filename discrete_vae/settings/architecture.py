"""Sizes of the model."""

from __future__ import annotations

from dataclasses import dataclass

from discrete_vae import backbones
from discrete_vae.backbones.layers import INITIALISATIONS
from discrete_vae.backbones.stack import ACTIVATIONS, NORMALISATIONS
from discrete_vae.errors import InputError, check_range, check_types, nearest

DEEPEST = 50
"""Stochastic layers that a model may have: each is evaluated within the one before."""


@dataclass(frozen=True)
class Architecture:
    """Sizes of the networks; the decoder mirrors the encoder. Defaults: the thesis."""

    latents: int = 30
    """Number N of latent variables of a layer."""
    categories: int = 10
    """Number K of categories of each."""
    hidden: tuple[int, ...] = (500,)
    """Widths of the encoder's hidden layers, from the image inwards; of conv, those behind its convolutions."""
    activation: str = "softplus"
    """Activation of the hidden layers."""
    layers: int = 1
    """Number of stochastic layers, each of N latent variables; an affine map leads from one to the next."""
    style: int = 50
    """Number of Gaussian latents: a generator's noise, or the style in semi-supervised training, where many let the
    style encode the class."""
    initialisation: str = "glorot"
    """How weights and biases start: glorot, or fan-in as torch's own layers, with smaller weights."""
    data_bias: bool = False
    """Whether the decoder's last bias starts at the training images' mean (with their deviation, or as the levels'
    frequencies, where the likelihood has these), as in the code of Burda et al. (2016)."""
    backbone: str = "mlp"
    """Networks of encoder and decoder, or of generator and critic: mlp, conv, conv-jang (six layers), residual,
    isotropic (residual at full resolution, for strings), or module:function of your own."""
    channels: tuple[int, ...] = (32, 64)
    """Channels of the encoder's convolutions, from the image inwards; each halves rows and columns. With isotropic they
    are those of its residual blocks."""
    normalisation: str = "none"
    """Normalisation of a generator's and a critic's hidden layers, before their activations: none, or layer (over each
    example)."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("latents", "style"):
            check_range(name, getattr(self, name))
        check_range("layers", self.layers, 1, DEEPEST)
        check_range("categories", self.categories, 2)
        for name in ("hidden", "channels"):
            if any(type(width) is not int or width < 1 for width in getattr(self, name)):
                raise InputError(f"{name} is {getattr(self, name)}; every width must be a whole number of at least 1")
        backbones.check_name(self.backbone)
        if self.activation not in ACTIVATIONS:
            raise nearest(self.activation, ACTIVATIONS, "activation")
        if self.initialisation not in INITIALISATIONS:
            raise nearest(self.initialisation, INITIALISATIONS, "initialisation")
        if self.normalisation not in NORMALISATIONS:
            raise nearest(self.normalisation, NORMALISATIONS, "normalisation")
