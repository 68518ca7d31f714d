"""Trainers of a few weights, and the formulas of a step written down once more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.config import Config
from discrete_vae.data import DataConfig, Dataset, Split
from discrete_vae.runs import Run
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training.step import Trainer
from tests.tiny_images import described

PIXELS, IMAGES, BATCH, STEPS = 7, 100, 5, 6
LATENTS, CATEGORIES = 3, 2
SHAPE = Architecture(LATENTS, CATEGORIES, (4,))
POINTS = DataConfig("8-gaussians")
TINY = described(PIXELS, 1)

RULES: dict[str, Callable[[Sequence[Tensor]], torch.optim.Optimizer]] = {
    "adam": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.9, 0.999), eps=1e-8),
    "adam-0-0.9": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.0, 0.9), eps=1e-8),
    "adam-0.5-0.9": lambda own: torch.optim.Adam(own, lr=9.0, betas=(0.5, 0.9), eps=1e-8),
    "sgd": lambda own: torch.optim.SGD(own, lr=9.0, momentum=0.9),
}


def dataset(config: DataConfig) -> Dataset:
    drawn = torch.Generator().manual_seed(0)
    if config == POINTS:
        pixels = torch.randn(IMAGES, 2, generator=drawn)
    else:
        pixels = torch.randint(0, 2, (IMAGES, PIXELS), generator=drawn, dtype=torch.uint8)
    split = Split(pixels, torch.zeros(IMAGES, dtype=torch.int64))
    return Dataset(config, split, split, split)


def build(*fields: dict[str, Any], folder: Path | None = None) -> Trainer:
    """A trainer of members that have these fields of their own, before its first step."""
    shared = {"architecture": SHAPE, "batch_size": BATCH, "data": TINY}
    configs = [Config.fitting(**{**shared, "seed": seed, **own}) for seed, own in enumerate(fields)]
    # Nothing is written without a folder.
    runs = [Run(folder / str(p) if folder else Path(), config) for p, config in enumerate(configs)]
    return Trainer(runs, dataset(configs[0].data), torch.device("cpu"), warn=pytest.fail)


def gumbel(uniform: Tensor) -> Tensor:
    return -(-(1 - uniform).log().clamp_max(-1e-9)).log()


def network(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Two affine maps with a softplus between them."""
    first, first_bias, second, second_bias = weights
    return F.softplus(inputs @ first + first_bias) @ second + second_bias


def copied(parameters: Sequence[nn.Parameter], member: int) -> list[Tensor]:
    return [parameter[member].detach().clone().requires_grad_() for parameter in parameters]


def nll(output: Tensor, pixels: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output, pixels.expand_as(output), reduction="none").sum(-1)


def divergence(logits: Tensor) -> Tensor:
    """Of each image's posterior to the uniform prior, summed over its variables: ``[B]``."""
    q = logits.softmax(-1)
    return (q * (q * CATEGORIES).log()).sum((-1, -2))


def coded(weights: Sequence[Tensor], pixels: Tensor) -> Tensor:
    return network(weights[:4], pixels).unflatten(-1, (LATENTS, CATEGORIES))


def relaxed_parts(
    weights: Sequence[Tensor], pixels: Tensor, uniform: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Reconstruction loss of Gumbel-Softmax, a mean over samples ``[S, B, N, K]`` and images, and the KL once."""
    logits = coded(weights, pixels)
    losses = []
    for numbers in uniform:
        sample = ((logits + gumbel(numbers)) / temperature).softmax(-1)
        losses.append(nll(network(weights[4:], sample.flatten(-2)), pixels).mean())
    return torch.stack(losses).mean(), divergence(logits).mean()


def gradients(trainer: Trainer) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Statistics of the first step, and gradients of the model's and the strategies' own parameters."""
    trainer.begin_epoch()
    observation = trainer.model.train_batch(trainer.data.train, trainer.order[0], trainer.generators)
    if trainer.game:
        _, observation = trainer.game.model.critic_batches(observation)
    statistics, finite, *found = trainer.gradients(observation, trainer.values[0], trainer.noise)
    assert finite.all()
    count = len(trainer.optimisers[0].parameters)
    return statistics, found[:count], found[count:]


OWN = STRATEGIES["target-propagation"].Options
