"""Several stochastic layers: what the layers behind cost is itself an estimate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import Estimate, Objective, Strategy


@dataclass(frozen=True)
class Layer:
    """A stochastic layer behind another."""

    logits: Callable[[Tensor, Tensor], Tensor]
    """The sample before, ``[..., B, N, K]``, and its objective's output -> this layer's logits ``[..., B, N', K']``."""
    objective: Callable[[Tensor], Objective]
    """The sample before -> what this layer's own sample costs, but for the layers behind it."""


def nested(
    strategies: Sequence[Strategy], logits: Tensor, objective: Objective, layers: Sequence[Layer], noise: Noise
) -> Estimate:
    """The estimate of ``E[objective(z_1) + layers[0].objective(z_1)(z_2) + penalty(l_2) + ...]`` in the first logits.

    ``logits`` and ``objective`` are the first layer's, ``layers`` those behind it, and there is a strategy for each.
    Because an estimate's loss has its objective's value, and in its gradient all that depends on what came before, it
    serves as a part of the objective of the layer before. What is unbiased stays so, but for a bound over several
    samples, which is not a mean of what its samples cost. Raises ``InputError`` for another number of strategies.
    """
    if len(strategies) != len(layers) + 1:
        raise InputError(f"{len(strategies)} strategies for {len(layers) + 1} stochastic layers; give one for each")
    first, *rest = strategies
    estimate: Estimate
    if not layers:
        estimate = first(logits, objective, noise)
        return estimate
    layer, *others = layers
    auxiliary: list[Tensor] = []

    def behind(sample: Tensor, output: Tensor) -> Tensor:
        deeper = layer.objective(sample)
        given = layer.logits(sample, output)
        inner = nested(rest, given, deeper, others, noise)
        auxiliary.append(inner.auxiliary)
        return inner.loss if deeper.penalty is None or rest[0].whole else inner.loss + deeper.penalty(given)

    whole = replace(objective, behind=lambda sample, output: _folded(behind, sample, output, logits.dim()))
    estimate = first(logits, whole, noise)
    # What was evaluated without a gradient, as some estimators do many times, teaches the layers behind nothing.
    learning = [each for each in auxiliary if each.requires_grad] or auxiliary
    return replace(estimate, auxiliary=estimate.auxiliary + torch.stack(learning).mean(0))


def _folded(function: Callable[[Tensor, Tensor], Tensor], sample: Tensor, output: Tensor, dimensions: int) -> Tensor:
    """A function of ``[P, B, N, K]`` and ``[P, B, D]``, at samples with dimensions before P: these go beside B."""
    if not (extra := sample.dim() - dimensions):
        return function(sample, output)
    leading, batch = sample.shape[:extra], sample.shape[-3]
    samples = sample.flatten(0, extra - 1).movedim(0, -4).flatten(-4, -3)  # [P, S B, N, K]
    outputs = output.flatten(0, extra - 1).movedim(0, -3).flatten(-3, -2)
    losses = torch.unflatten(function(samples, outputs), -1, (-1, batch)).movedim(-2, 0)
    return losses.reshape(*leading, *losses.shape[1:])
