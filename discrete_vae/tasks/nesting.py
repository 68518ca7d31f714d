"""Several stochastic layers: the cost of the layers behind is itself an estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import CommonNoise, Noise, SeparateNoise
from discrete_vae.strategies.autograd import differentiable_once, loss_once
from discrete_vae.strategies.base import Estimate, Strategy
from discrete_vae.strategies.objective import Layout, Objective


@dataclass(frozen=True)
class Layer:
    """A stochastic layer behind another."""

    logits: Callable[[Tensor, Tensor], Tensor]
    """The sample before, ``[..., B, N, K]``, and its objective's output -> this layer's logits ``[..., B, N', K']``."""
    objective: Callable[[Tensor], Objective]
    """The sample before -> the objective of this layer's own sample, without the layers behind it."""


def nested(
    strategies: Sequence[Strategy], logits: Tensor, objective: Objective, layers: Sequence[Layer], noise: Noise
) -> Estimate:
    """The estimate of ``E[objective(z_1) + layers[0].objective(z_1)(z_2) + kl_term(l_2) + ...]`` in the first logits.

    ``logits`` and ``objective`` are the first layer's, ``layers`` those behind it, and there is a strategy for each.
    An estimate's loss has its objective's value, and its gradient has all that depends on earlier layers, so it serves
    as a part of the objective of the layer before. An unbiased estimate stays so, except for a bound over several
    samples, which is not a mean of their losses. Raises ``InputError`` for another number of strategies.

    A strategy that evaluates its objective several times in a step compares the results, so the layers behind use the
    same noise each time (common random numbers), unless it draws independent samples (``Strategy.independent``).
    ``Objective.mean_field`` is the pass without noise. As in ``Strategy.estimate``, any layer's logits may mask
    categories, by -inf, and be in half precision.

    Raises ``InputError`` where a gradient would pass through a layer whose strategy ``rescales``: the layers before it
    would have some of their objective scaled and some not; and where a gradient in any layer's logits is differentiated
    again, or any gradient in these logits, unless that layer's strategy allows it (``Strategy.twice``).
    """
    if len(strategies) != len(layers) + 1:
        raise InputError(f"{len(strategies)} strategies for {len(layers) + 1} stochastic layers; give one for each")
    return _nested(strategies, logits, objective, layers, noise.on(logits.device))


def _nested(
    strategies: Sequence[Strategy], logits: Tensor, objective: Objective, layers: Sequence[Layer], noise: Noise
) -> Estimate:
    first, *rest = strategies
    dtype, logits = logits.dtype, first.prepared(logits)
    if logits.dtype != dtype:  # half precision, in which only what is not ours computes
        objective = Layout.of(logits, -1).objective(objective, dtype)
        layers = [_of_dtype(layer, dtype) for layer in layers]
    if first.twice:
        return _estimate(first, rest, logits, objective, layers, noise)
    name = type(first).__name__
    logits = differentiable_once(logits, name)
    estimate = _estimate(first, rest, logits, objective, layers, noise)
    return replace(estimate, loss=loss_once(estimate.loss, logits, name))


def _estimate(
    first: Strategy,
    rest: Sequence[Strategy],
    logits: Tensor,
    objective: Objective,
    layers: Sequence[Layer],
    noise: Noise,
) -> Estimate:
    if not layers:
        return first.compute(logits, objective, noise)
    layer, *others = layers
    strategy_losses: list[Tensor] = []
    batch = logits.dim() - 3
    common = CommonNoise(noise, batch)

    def deeper_loss(sample: Tensor, output: Tensor, times: int) -> Tensor:
        if rest[0].rescales and sample.requires_grad:
            raise InputError(
                f"{type(first).__name__} takes a gradient through a layer of {type(rest[0]).__name__}, which scales "
                "gradients; leave normalise or clip off there"
            )
        deeper = layer.objective(sample)
        given = layer.logits(sample, output)
        own = SeparateNoise(noise, batch, times) if first.independent else common.again(times)
        with _learning(rest, not strategy_losses):
            inner = _nested(rest, given, deeper, others, own)
        strategy_losses.append(inner.strategy_loss)
        return inner.loss if deeper.kl_term is None or rest[0].loss_includes_kl else inner.loss + deeper.kl_term(given)

    whole = replace(
        objective,
        deeper_loss=lambda sample, output: _folded(deeper_loss, sample, output, logits.dim()),
        mean_field=mean_field(objective, layers, logits.dim()),
    )
    estimate = first.compute(logits, whole, noise)
    # What was evaluated without a gradient, as some estimators do many times, teaches the layers behind nothing.
    learning = [each for each in strategy_losses if each.requires_grad] or strategy_losses
    return replace(estimate, strategy_loss=estimate.strategy_loss + torch.stack(learning).mean(0))


def _of_dtype(layer: Layer, dtype: torch.dtype) -> Layer:
    """A layer whose functions are given samples of this dtype."""
    return Layer(
        lambda sample, output: layer.logits(sample.to(dtype), output), lambda sample: layer.objective(sample.to(dtype))
    )


def mean_field(objective: Objective, layers: Sequence[Layer], dimensions: int) -> Objective:
    """The objective in which each layer behind passes on its probabilities instead of a sample (Gu et al. 2016).

    ``dimensions`` are those of the logits.
    """
    if not layers:
        return objective
    layer, *others = layers

    def deeper_loss(sample: Tensor, output: Tensor, times: int) -> Tensor:
        deeper = mean_field(layer.objective(sample), others, dimensions)
        given = layer.logits(sample, output)
        loss = deeper(softmax(given))
        return loss if deeper.kl_term is None else loss + deeper.kl_term(given)

    return replace(objective, deeper_loss=lambda sample, output: _folded(deeper_loss, sample, output, dimensions))


@contextmanager
def _learning(strategies: Sequence[Strategy], learning: bool) -> Iterator[None]:
    """Whether strategies take in what they see (``Module.training``), which they do once a step."""
    before = [strategy.training for strategy in strategies]
    for strategy, own in zip(strategies, before, strict=True):
        strategy.train(own and learning)
    try:
        yield
    finally:
        for strategy, own in zip(strategies, before, strict=True):
            strategy.train(own)


def _folded(
    function: Callable[[Tensor, Tensor, int], Tensor], sample: Tensor, output: Tensor, dimensions: int
) -> Tensor:
    """A function of ``[P, B, N, K]`` and ``[P, B, D]``, at samples with dimensions before P: these go beside B.

    The function is also told how many batches lie beside each other.
    """
    if not (extra := sample.dim() - dimensions):
        return function(sample, output, 1)
    if output.dim() < sample.dim() - 1:
        raise InputError(
            f"the layer's decode gives shape {list(output.shape)} of samples {list(sample.shape)}; give [..., B, D]"
        )
    leading, batch = sample.shape[:extra], sample.shape[-3]
    samples = sample.flatten(0, extra - 1).movedim(0, -4).flatten(-4, -3)  # [P, S B, N, K]
    outputs = output.flatten(0, extra - 1).movedim(0, -3).flatten(-3, -2)
    losses = torch.unflatten(function(samples, outputs, samples.shape[-3] // batch), -1, (-1, batch)).movedim(-2, 0)
    return losses.reshape(*leading, *losses.shape[1:])
