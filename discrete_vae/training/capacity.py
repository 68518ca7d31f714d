"""Checks, before anything is made, that a machine has the memory that runs need at least."""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from discrete_vae import backbones
from discrete_vae.config.config import Config
from discrete_vae.data.domain import Shape
from discrete_vae.errors import InputError
from discrete_vae.memory import require
from discrete_vae.tasks import Generator

LAYER = 10_000
"""Bytes that a stochastic layer takes beside its weights, by its Python objects."""
SPARE = 64
"""Files that a process has open beside those of its runs."""
NUMBER = 4
"""Bytes of a number in a tensor."""


def require_training(config: Config, members: int, device: torch.device) -> None:
    """Raise ``InputError`` if the device lacks the memory that so many runs side by side need at least."""
    shape = config.architecture
    names = [name for name in ("latents", "categories", "layers", "style") if name in config.task_class.reads]
    sizes = ", ".join(f"{name} {getattr(shape, name):,}" for name in names)
    hidden = " ".join(f"{width:,}" for width in shape.hidden)
    what = f"{members:,} run{'s' * (members > 1)} of {sizes}, hidden {hidden}, batch size {config.batch_size:,}"
    require(members * of_training(config), f"{what}, samples {config.samples:,}", device)
    files = open_files()
    if members > files - SPARE:
        raise InputError(
            f"{members:,} runs side by side: each keeps a file open, and this process may have {files:,} (ulimit -n); "
            "give fewer, or raise that"
        )


def open_files() -> int:
    """Files that this process may have open; more than any wants where the system sets no limit."""
    try:
        import resource  # on Unix alone
    except ImportError:
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def of_training(config: Config) -> int:
    """Bytes that training a run takes at least: its weights, gradients and momentum, and what a step looks at.

    A lower bound: one network to the latents and one from them, and only their widest layers.
    """
    shape, observed = config.architecture, config.data.domain
    backbone = backbones.known(shape.backbone)
    if issubclass(config.task_class, Generator):
        code, symbols = observed.size * (observed.symbols or 1), observed.symbols or 1
        image = observed.shape or Shape(1, observed.size)
        sample = replace(image, channels=image.channels * symbols)
        own = backbone.least_adversarial(shape.style, sample, shape) if backbone else 0
    else:
        code = shape.latents * (shape.categories if config.categorical else 1)
        seen = config.task_class.shapes(shape, config.data.image_shape)
        beside = shape.style if "style" in config.task_class.reads else 0
        ends = [(seen[0], code), (seen[1], code + beside)]
        own = sum(backbone.least_weights(*each, shape) for each in ends) if backbone else 0
    weights = (shape.layers - 1) * code**2 + own
    replaced = config.objective == "bound" and "draws" in config.strategy_class.own_samples
    draws = 1 if replaced else getattr(config.options, "draws", 1)
    samples = config.batch_size * config.samples * draws
    numbers = 3 * weights + config.batch_size * max(shape.hidden, default=0) + samples * code
    return NUMBER * numbers + LAYER * shape.layers
