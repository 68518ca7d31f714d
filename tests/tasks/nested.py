"""Two layers small enough to enumerate, and their exact values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.latents.categorical import enumerate_states, log_prob
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies import Objective
from discrete_vae.tasks.nesting import Layer

LATENTS, CATEGORIES, BATCH, DRAWS = 2, 3, 2, 20_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


SIZE = LATENTS * CATEGORIES
UP, DOWN = normal("up", SIZE, SIZE), normal("down", SIZE, 4)
LOGITS, TARGET = normal("logits", BATCH, LATENTS, CATEGORIES), normal("target", BATCH, 4).sigmoid()


def upper_logits(lower: Tensor, output: Tensor) -> Tensor:
    return (lower.flatten(-2) @ UP).unflatten(-1, (LATENTS, CATEGORIES))


def first_cost(lower: Tensor) -> Tensor:
    return (lower.flatten(-2) * 0.3).sin().sum(-1)


def upper_cost(upper: Tensor) -> Tensor:
    target = TARGET.repeat(upper.shape[-3] // BATCH, 1)
    output = upper.flatten(-2) @ DOWN
    return F.binary_cross_entropy_with_logits(output, target.expand_as(output), reduction="none").sum(-1)


def kl_term(logits: Tensor) -> Tensor:
    """Something analytic in the upper logits, as a KL would be."""
    return logits.logsumexp(-1).square().sum(-1) / 10


FIRST = Objective(decode=lambda sample: sample, loss=first_cost)
LAYER = Layer(upper_logits, lambda lower: Objective(lambda sample: sample, upper_cost, kl_term=kl_term))


def exact(up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in the first logits and in the map to the second's."""
    logits = LOGITS.clone().requires_grad_()
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64)[:, None].expand(-1, BATCH, -1, -1)
    given = (states.flatten(-2) @ up).unflatten(-1, (LATENTS, CATEGORIES))
    inner = (log_prob(given, states[:, None]).exp() * upper_cost(states)[:, None]).sum(0) + kl_term(given)
    total = (log_prob(logits, states).exp() * (first_cost(states) + inner)).sum()
    lower, upper = torch.autograd.grad(total, (logits, up))
    return lower, upper
