"""The change of a loss if one variable moved to another category, by a Gauss-Newton model of what is behind it.

The output is taken for affine in the sample, the loss for quadratic in the output: with ``V_nk`` the response of the
output to category k of variable n, and h the second derivative of the loss in each of the output's D numbers, moving
variable n from i to k adds ``1/2 sum_d h_d ((V_nk - V_ni)_d)^2`` to what the loss' gradient predicts.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.func import jvp, vmap

from discrete_vae.backbones.layers import products
from discrete_vae.backbones.stack import Stack
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import at_least_float32, one_hot
from discrete_vae.strategies.objective import Objective

Averaged = Literal["all", "slopes", "nothing"]
RESPONSES = {"cpu": 2**22, "cuda": 2**27}
"""Numbers of responses that are held at once: all of a small model's, and a share of a large one's."""
PRODUCTS = {"cpu": 2**18, "cuda": 2**27}
"""Numbers of products with the curvature that are held at once: on a CPU, what its caches hold."""

Respond = Callable[[int, int], Tensor]
"""Maps a first and a last variable to the responses to their categories, in their order: ``[..., n K, D]``."""


def second_order(objective: Objective, sample: Tensor, outputs: Sequence[Tensor], averaged: Averaged = "all") -> Tensor:
    """The second order of what moving each variable to each category costs, in nats: ``[..., B, N, K]``.

    ``outputs`` are those of the decoder's layers, or of a decoder without, its output alone. ``averaged`` says of what
    the batch's mean is taken: of the slopes and of the curvature's distribution over the output, so that one table of
    distances serves all examples; of the slopes; or of nothing. Raises ``InputError`` where the objective has no
    curvature.
    """
    curvature, network = objective.curvature_at(outputs[-1]), objective.decoder
    if averaged == "nothing":
        return own_quadratic(objective.decode, curvature, sample)
    if network is None:
        respond = mean_responses(objective.decode, sample)
    else:
        respond = layered_responses(network, outputs, sample.shape[-1])
    return (shared_quadratic if averaged == "all" else quadratic)(respond, curvature, sample)


def layered_responses(network: Stack, outputs: Sequence[Tensor], categories: int) -> Respond:
    """The responses of a network of layers at the batch's mean slopes; ``outputs`` are what ``Stack.trace`` gives."""
    layers = list(network.layers)
    weights: list[Tensor] = [layer.weight.detach() for layer in layers]  # type: ignore[misc, operator]
    slopes = [mean_of_finite(network.slope(given), -2) for given in outputs[:-1]]

    def respond(first: int, last: int) -> Tensor:
        rows = products(layers[0]).responses(weights[0], first * categories, last * categories)
        for layer, weight, slope in zip(layers[1:], weights[1:], slopes, strict=True):
            rows = products(layer).linear(rows * slope, weight)
        return rows

    return respond


def mean_responses(decode: Callable[[Tensor], Tensor], sample: Tensor) -> Respond:
    """The responses of any function of a sample ``[..., B, N, K]``, at the batch's mean sample, as one example."""
    mean, categories = mean_of_finite(sample, -3), sample.shape[-1]

    def respond(first: int, last: int) -> Tensor:
        units = _units(first * categories, last * categories, sample).expand(-1, *mean.shape)
        # The mean over examples, where decode gives one for each of a context.
        return mean_of_finite(_pushed(decode, mean, units, ONE_EXAMPLE), -2).squeeze(-2).movedim(0, -2)

    return respond


def shared_quadratic(respond: Respond, curvature: Tensor, sample: Tensor) -> Tensor:
    """``h/2 sum_d u_d ((V_k - V_i)_d)^2`` for every variable and category: ``[..., B, N, K]``.

    u are the D numbers' shares of the batch's curvature, h is the sum of each example's own. So one table, of half the
    squared distance between categories i and k as the decoder sees them, serves all examples of a variable.
    """
    latents, categories = sample.shape[-2:]
    mean = mean_of_finite(curvature, -2).unsqueeze(-3)  # [..., 1, 1, D]
    mean = mean / mean.sum(-1, keepdim=True).clamp_min(torch.finfo(mean.dtype).tiny)
    taken = sample.movedim(-2, -3)  # [..., N, B, K]
    parts = []
    for first, last in _cut(latents, categories * max(curvature.shape[-1], categories), RESPONSES[sample.device.type]):
        rows = torch.unflatten(respond(first, last), -2, (last - first, categories))  # [..., n, K, D]
        products = (rows * mean) @ rows.mT
        squares = products.diagonal(dim1=-2, dim2=-1)
        distances = ((squares.unsqueeze(-1) + squares.unsqueeze(-2)) / 2 - products).clamp_min_(0)
        parts.append(taken[..., first:last, :, :] @ distances)
    return curvature.sum(-1)[..., None, None] * torch.cat(parts, -3).movedim(-3, -2)


def quadratic(respond: Respond, curvature: Tensor, sample: Tensor) -> Tensor:
    """``1/2 sum_d h_d ((V_k - V_i)_d)^2`` for every variable and category: ``[..., B, N, K]``.

    ``curvature`` h is ``[..., B, D]``, ``sample`` one-hot ``[..., B, N, K]``.
    """
    latents, categories = sample.shape[-2:]
    curvature = curvature.unsqueeze(-3)  # [..., 1, B, D]
    taken = sample.movedim(-2, -3)  # [..., N, B, K]
    parts = []
    for first, last in _cut(latents, categories * curvature.shape[-1], RESPONSES[sample.device.type]):
        responses = torch.unflatten(respond(first, last), -2, (last - first, categories))  # [..., n, K, D]
        for start, end in _cut(last - first, curvature.numel(), PRODUCTS[sample.device.type]):
            rows, own = responses[..., start:end, :, :], taken[..., first + start : first + end, :, :]
            squares = curvature @ rows.square().mT  # [..., n, B, K]
            crossed = ((own @ rows) * curvature) @ rows.mT
            parts.append((squares + (own * squares).sum(-1, keepdim=True)) / 2 - crossed)
    return torch.cat(parts, -3).clamp_min_(0).movedim(-3, -2)


def own_quadratic(decode: Callable[[Tensor], Tensor], curvature: Tensor, sample: Tensor) -> Tensor:
    """The same as ``quadratic`` by the responses of each example at its own sample: N K pushes an example."""
    latents, categories = sample.shape[-2:]
    parts = []
    size = max(sample.numel(), curvature.numel())
    for first, last in _cut(latents * categories, size, RESPONSES[sample.device.type]):
        units = _units(first, last, sample)
        pushes = units - units.sum(-1, keepdim=True) * sample  # of the variable that is moved: e_k - e_i
        parts.append(_pushed(decode, sample, pushes, "").square().mul_(curvature).sum(-1) / 2)
    return torch.unflatten(torch.cat(parts).movedim(0, -1), -1, (latents, categories))


def _units(first: int, last: int, like: Tensor) -> Tensor:
    """Unit samples of the states from a first to before a last of N K, with the dimensions of a sample behind.

    ``[M, 1..., N, K]``.
    """
    latents, categories = like.shape[-2:]
    states = one_hot(torch.arange(first, last, device=like.device), latents * categories, like.dtype)
    return states.view(last - first, *[1] * (like.dim() - 2), latents, categories)


def mean_of_finite(values: Tensor, dim: int) -> Tensor:
    """The mean of the finite values along a dimension, which stays: other examples do not spoil it."""
    known = values.isfinite()
    return torch.where(known, values, 0.0).sum(dim, keepdim=True) / known.sum(dim, keepdim=True).clamp_min(1)


ONE_EXAMPLE = "the batch's mean sample as one example and "
"""Input that a decoder has to take for ``mean_responses``, for an error."""


def _pushed(decode: Callable[[Tensor], Tensor], sample: Tensor, pushes: Tensor, takes: str) -> Tensor:
    """How the output changes, to first order, for each of some pushes ``[M, ...]`` of the sample: ``[M, ..., D]``.

    Raises ``InputError`` where the decoder cannot be pushed, which tells what it has to take.
    """

    def pushed(push: Tensor) -> Tensor:
        change: Tensor = jvp(decode, (sample,), (push,))[1]
        return change

    try:
        return at_least_float32(vmap(pushed)(pushes))
    except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
        told = textwrap.shorten(str(error), 160, placeholder=" ...")
        size = "; where it takes one batch size alone, give averaged='nothing'" if takes else ""
        raise InputError(
            f"a Gauss-Newton model asks the decoder for {takes}forward derivatives (torch.func.jvp under vmap), which "
            f"this one does not give ({type(error).__name__}: {told}); give a decoder of plain layers without noise or "
            f"state, or take ReinMax or LocalExpectation{size}"
        ) from error


def _cut(count: int, size: int, most: int) -> Iterator[tuple[int, int]]:
    """Ranges that cover ``count`` things of ``size``, each of one thing or of at most ``most`` in all."""
    step = max(1, most // max(size, 1))
    for first in range(0, count, step):
        yield first, min(first + step, count)
