"""Strategies' diagnostics of their own signal, on the same few validation images after every epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.data import Dataset
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded

IMAGES = 200
"""Enough for means to two digits."""


def diagnose(population: Population, data: Dataset) -> dict[str, Tensor]:
    """``TargetStrategy.diagnose`` of members on the first validation images, ``[P]`` each; the same noise every time.

    With several stochastic layers, those of the last one, whose objective needs no other layer.
    Nothing for strategies that follow gradients.
    """
    if not (strategies := population.target_strategies):
        return {}

    def generators(stream: str) -> list[torch.Generator]:
        return [seeded(each.seed, "diagnostics", stream, device=population.device) for each in population.configs]

    index = torch.arange(min(IMAGES, len(data.validation)), device=population.device)
    model = population.model
    observation = model.eval_batch(data.validation, index.expand(len(population.configs), -1), generators("images"))
    noise = Noise(generators("noise"))
    with torch.no_grad():
        parameters = model.encode(observation)
    logits, objective = model.sample_layers(observation, parameters, 1.0, noise)[-1]
    return strategies[-1].diagnose(logits, objective, noise)
