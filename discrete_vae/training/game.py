"""The critic's part of a step: its updates come before the model's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise
from discrete_vae.tasks import AdversarialTask
from discrete_vae.training.optimiser import OPTIMISERS

Captured = Callable[[Callable[..., tuple[Tensor, ...]]], Callable[..., tuple[Tensor, ...]]]
"""Turns a function of tensors and the noise into one of tensors alone, which may be recorded."""


class Game:
    """The critics of a population in training: their optimiser and their means over an epoch."""

    def __init__(self, model: AdversarialTask, population: Population, captured: Captured) -> None:
        members, device = len(population.configs), population.device
        settings = population.configs[0].criticism
        self.model, self.population, self.updates = model, population, settings.critic_steps
        self.optimiser = OPTIMISERS[settings.critic_optimiser](model.critic.parameters(), members, True)
        self.sums = torch.zeros(members, 2, device=device)
        self.rates = torch.full((members,), settings.critic_learning_rate, device=device)
        self.differentiate = captured(self.gradients)

    def update(self, rounds: Sequence[Tensor], values: Tensor, alive: Tensor) -> None:
        """Update the critics once a round; ``alive`` ``[P]`` loses those whose numbers are not finite."""
        for seen in rounds:
            judgement, *gradients = self.differentiate(seen, values)
            self.optimiser.step(gradients, self.rates)
            self.model.clip()
            self.sums += judgement / len(rounds)
            alive &= judgement.isfinite().all(-1)

    def gradients(self, observation: Tensor, values: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """The critics' loss and distance ``[P, 2]`` on the observations of an update, and gradients."""
        self.population.follow(values)
        with self.population.precision():
            judgement = self.model.critic_loss(self.population.layer_strategies, observation, noise)
        return judgement.detach(), *torch.autograd.grad(judgement[:, 0].sum(), self.optimiser.parameters)

    def means(self, steps: int) -> dict[str, list[float]]:
        """Loss and distance of each member, averaged over an epoch's steps so far."""
        loss, distance = (self.sums.T / steps).tolist()
        return {"critic_loss": loss, "wasserstein": distance}
