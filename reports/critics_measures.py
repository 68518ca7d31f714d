"""What is measured of trained critics: peaks at centres, dips between them, and the loss' gradient at every layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from discrete_vae.backbones.stack import Stack
from discrete_vae.data import Dataset
from discrete_vae.data.points import Mixture
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from discrete_vae.tasks.critic import AdversarialTask, Critic

BATCH = 1000
"""Validation points that a gradient is taken at, and as many fake ones."""


def model(run: Run, data: Dataset, device: torch.device) -> AdversarialTask:
    """The run's task, generator and critic, of one member."""
    found = Population.load([run], device).model
    assert isinstance(found, AdversarialTask)
    return found


def values(critic: Critic, points: Tensor) -> Tensor:
    """The critic's value of points ``[..., C]``, of one member: ``[...]``."""
    with torch.no_grad():
        return critic(points.reshape(1, -1, points.shape[-1])).view(points.shape[:-1])


def peaks(critic: Critic, mixture: Mixture, device: torch.device | None = None) -> Tensor:
    """Whether the critic's value at a centre is above that all around it, half-way to its neighbours: ``[centres]``.

    Of the circle around a centre, 64 places are looked at.
    """
    centres = torch.tensor(mixture.centres, device=device)
    angle = torch.arange(64, device=device) * (2 * math.pi / 64)
    around = centres[:, None] + mixture.apart / 2 * torch.stack([angle.cos(), angle.sin()], -1)
    return values(critic, centres) > values(critic, around).amax(-1)


def dips(critic: Critic, mixture: Mixture, device: torch.device | None = None) -> Tensor:
    """How far the critic's surface sags half-way to a centre's nearest neighbours, mean over these: ``[centres]``.

    ``(D(a) + D(b)) / 2 - D((a + b) / 2)``, over what it is for a cone around each centre that rises with the critic's
    own mean slope along the way: 1 where each centre has a peak of its own, 0 or less where the surface is a plane or
    bends the other way over both, however it is tilted.
    """
    centres = torch.tensor(mixture.centres, device=device)
    near = torch.cdist(centres, centres) < 1.01 * mixture.apart
    near.fill_diagonal_(False)
    one, other = near.nonzero().unbind(1)
    ends, middle = values(critic, centres), values(critic, (centres[one] + centres[other]) / 2)
    place = (torch.arange(20, device=device)[:, None, None] + 0.5) / 20
    along = torch.lerp(centres[one], centres[other], place).requires_grad_()
    (slopes,) = torch.autograd.grad(critic(along.reshape(1, -1, 2)).sum(), along)
    dip = ((ends[one] + ends[other]) / 2 - middle) / (mixture.apart / 2 * slopes.norm(dim=-1).mean(0))
    return torch.zeros(len(centres), device=device).index_add_(0, one, dip) / near.sum(1)


def layer_gradients(run: Run, data: Dataset, device: torch.device) -> Tensor:
    """Root mean square, over points, of the length of the gradient of a point's value by each layer's output.

    ``[layers]``, float64, from the input's side, before the activations; the points are real and fake ones in equal
    number. It is the gradient of the Wasserstein part of the loss but for the points' weights, +-1 over the batch.
    """
    task = model(run, data, device).double()
    generators = [seeded(run.config.seed, "layer gradients", device=device)]
    real = data.validation.batch(torch.arange(BATCH, device=device)[None]).double()
    points = torch.cat([real, real + Noise(generators).normal(real.shape, torch.float64)], -2)
    assert isinstance(task.critic, Stack)
    _, given = task.critic.trace(points)
    gradients = torch.autograd.grad(given[-1].sum(), given)
    return torch.stack([gradient.square().sum(-1).mean().sqrt() for gradient in gradients]).cpu()
