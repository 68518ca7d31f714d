"""Several stochastic layers: each layer's objective is the estimate of the layers behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Estimate, Objective, Strategy


@dataclass(frozen=True)
class Layer:
    """A stochastic layer behind another, as functions of the sample ``[..., B, N, K]`` of the one before."""

    logits: Callable[[Tensor], Tensor]
    """The sample before -> this layer's logits ``[..., B, N', K']``."""
    objective: Callable[[Tensor], Objective]
    """The sample before -> what this layer's own sample costs, ``[..., B]``, but for the layers behind."""


def nested(
    strategies: Sequence[Strategy], logits: Tensor, objective: Objective, layers: Sequence[Layer], noise: Noise
) -> Estimate:
    """The estimate of ``E[objective(z_1) + layers[0].objective(z_1)(z_2) + penalty(l_2) + ...]`` in the first logits.

    ``logits`` and ``objective`` are the first layer's, ``layers`` those behind it, and there is a strategy for each.
    Because an estimate's loss has its objective's value, and in its gradient all that depends on what came before, it
    serves as the objective of the layer before.
    """
    first, *rest = strategies
    if not layers:
        return first(logits, objective, noise)
    layer, *behind = layers
    auxiliary: list[Tensor] = []

    def loss(sample: Tensor) -> Tensor:
        return objective(sample) + _folded(inner, sample, logits.dim())

    def inner(sample: Tensor) -> Tensor:
        deeper = layer.objective(sample)
        given = layer.logits(sample)
        estimate = nested(rest, given, deeper, behind, noise)
        auxiliary.append(estimate.auxiliary)
        return estimate.loss if deeper.penalty is None else estimate.loss + deeper.penalty(given)

    whole = Objective(decode=lambda sample: sample, loss=loss, observation=objective.observation)
    estimate = first(logits, whole, noise)
    return replace(estimate, auxiliary=estimate.auxiliary + torch.stack(auxiliary).mean(0))


def _folded(function: Callable[[Tensor], Tensor], sample: Tensor, dimensions: int) -> Tensor:
    """A function of ``[P, B, N, K]`` at samples with further dimensions in front, which are put beside B meanwhile."""
    extra = sample.dim() - dimensions
    if not extra:
        return function(sample)
    leading = sample.shape[:extra]
    together = sample.flatten(0, extra - 1).movedim(0, -4).flatten(-4, -3)  # [P, S B, N, K]
    losses = torch.unflatten(function(together), -1, (-1, sample.shape[-3])).movedim(-2, 0)
    return losses.reshape(*leading, *losses.shape[1:])
