"""Backbones, a row each: an encoder (observation to latent parameters), a decoder (sample to observation parameters).

A backbone's networks hold P members at once, with parameters ``[P, ...]``. A row may also wrap plain torch modules
(``PlainBackbone``), as a user's own ``module:function`` does.
"""

from __future__ import annotations

from collections.abc import Mapping

from discrete_vae.backbones import isotropic, residual
from discrete_vae.backbones.base import Backbone, Widths, require
from discrete_vae.backbones.conv import JANG, ConvBackbone
from discrete_vae.backbones.mlp import MlpBackbone
from discrete_vae.backbones.plain import PlainBackbone
from discrete_vae.errors import InputError, nearest
from discrete_vae.foreign import imported, source

BACKBONES: dict[str, Backbone] = {
    "mlp": MlpBackbone(),
    "conv": ConvBackbone(),
    "conv-jang": JANG,
    "residual": PlainBackbone(
        residual.networks,
        "residual",
        {
            "normalisation": "backbone residual, which has group normalisation",
            "initialisation": "backbone residual, whose layers start as torch's own",
        },
    ),
    "isotropic": PlainBackbone(
        isotropic.networks,
        "isotropic",
        {
            "normalisation": "backbone isotropic, whose blocks have none",
            "initialisation": "backbone isotropic, whose layers start as torch's own",
        },
    ),
}
SHIPPED = dict(BACKBONES)
"""The rows that every process has."""
OWN = "module:function of your own"
EXAMPLE = "module:function, such as mine:networks of mine.py in this folder"


def check_name(name: str) -> None:
    """Raise ``InputError`` for a name that is neither a row nor of the form ``module:function``."""
    if name not in BACKBONES and ":" not in name:
        raise nearest(name, [*BACKBONES, OWN], "backbone")


def known(name: str) -> Backbone | None:
    """The backbone of a row; None for a user's own, which is imported when it is built."""
    return BACKBONES.get(name)


def idle(widths: Widths) -> Mapping[str, str]:
    """Fields of the widths that have no effect with their backbone, each with the reason."""
    found = known(widths.backbone)
    return found.idle(widths) if found else {}


def backbone(name: str) -> Backbone:
    """The backbone of a row, or of ``module:function``, a function as ``PlainBackbone`` takes it.

    Raises ``InputError`` for a name that is neither, and for a module that cannot be imported.
    """
    check_name(name)
    if name in BACKBONES:
        return BACKBONES[name]
    module, own = imported(name, "backbone", EXAMPLE)
    function = getattr(module, own, None)
    if not callable(function):
        raise InputError(f"{module.__name__} has no function {own!r}; give one that makes an encoder and a decoder")
    return PlainBackbone(function, name)


def digest(name: str) -> str | None:
    """Digest of the file that defines ``module:function``: its code decides a run's numbers. None for a row.

    Raises ``InputError`` as ``backbone`` does.
    """
    if name in BACKBONES:
        return None
    module, _ = imported(name, "backbone", EXAMPLE)
    return source(module)[:16] or None


__all__ = [
    "BACKBONES",
    "Backbone",
    "PlainBackbone",
    "Widths",
    "backbone",
    "check_name",
    "digest",
    "idle",
    "known",
    "require",
]
