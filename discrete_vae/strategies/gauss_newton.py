"""Gauss-Newton local expectation: local expectation by a second-order model of what is behind the sample.

Local expectation (Titsias and Lazaro-Gredilla 2015) evaluates the loss with each variable in each other category, and
decodes a sample for each. Here one decoded sample predicts these losses. The loss' gradient gives the first order of
each move. A Gauss-Newton model (Schraudolph 2002), with an affine decoder and a loss that is quadratic in its output,
gives the second. No earlier use of it was found. For an affine decoder with normal noise the mean of these costs gives
the mean-field update of Ghahramani and Jordan (1997), and the estimate is ReinMax' at temperature 1, averaged over the
variable's own sample.

- M. K. Titsias, M. Lazaro-Gredilla: Local Expectation Gradients for Black Box Variational Inference. NeurIPS 2015.
- N. N. Schraudolph: Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent. Neural Computation 2002.
- Z. Ghahramani, M. I. Jordan: Factorial Hidden Markov Models. Machine Learning 1997.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from discrete_vae.errors import InputError, check_range, check_types, nearest
from discrete_vae.latents.categorical import at_least_float32, jacobian_product, one_hot, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.bound import Samples, bound, bound_change
from discrete_vae.strategies.muprop import slope
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import differentiable_in, draw, straight_through
from discrete_vae.strategies.responses import Averaged, second_order


@dataclass(frozen=True)
class GaussNewtonOptions:
    """Hyper-parameters of Gauss-Newton local expectation."""

    averaged: Averaged = "all"
    """What the model of the decoder averages over the batch: all (its slopes, and how the loss' curvature lies over the
    output), slopes, or nothing, which takes N K forward derivatives of the decoder for each image. It has no effect
    where all moves are decoded."""
    moves: int = 0
    """Number of each sample's likeliest moves whose loss is decoded instead of estimated: 0 none, N (K - 1) all, which
    is local expectation. A few decoded moves beside many estimated ones lower the variance, but can raise the bias."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.averaged not in get_args(Averaged):
            raise nearest(self.averaged, get_args(Averaged), "averaged")
        check_range("moves", self.moves, 0)


def moves_of(moves: int, latents: int, categories: int) -> int:
    """Number of an example's moves that are decoded."""
    return min(latents * (categories - 1), moves)


def evaluations(options: GaussNewtonOptions, latents: int, categories: int) -> int:
    """Decoded samples: the sample, once more if its own slopes are taken, and those of the decoded moves."""
    moves = moves_of(options.moves, latents, categories)
    return 1 + (options.averaged == "nothing" and moves < latents * (categories - 1)) + moves


class GaussNewtonLocalExpectation(Strategy):
    """Local expectation whose costs a Gauss-Newton model of the decoder estimates from one decoded sample.

    The gradient is ``J_n c_n`` with ``c_nk = g . (e_k - e_i) + 1/2 sum_d h_d ((V_nk - V_ni)_d)^2``. The sample has
    variable n in category i; c is the change of the loss with it in k. g is the loss' gradient at the sample, h its
    second derivative in the output, V the output's response to each category. It is local expectation itself where the
    decoder is affine and the loss quadratic in each number of the output. The decoder's own curvature is left out. The
    likeliest ``moves`` of an example are decoded instead of estimated; where others are estimated, the objective has to
    have a ``curvature``. Where it is a bound over several samples, c is for one sample's loss and ``log q / p``, from
    which the change of the bound follows.
    """

    claim = Claim("Titsias and Lazaro-Gredilla 2015", False, False, partial(evaluations, GaussNewtonOptions()))
    Options = GaussNewtonOptions
    differentiates = True
    averaged: Averaged = "all"
    moves: int = 0
    checks: ClassVar = {
        "averaged": lambda value: _check(averaged=value),
        "moves": lambda value: _check(moves=value),
    }

    def __init__(self, averaged: Averaged = "all", moves: int = 0) -> None:
        super().__init__()
        self.averaged, self.moves = averaged, moves

    def reclaim(self) -> None:
        options = GaussNewtonOptions(self.averaged, self.moves)
        self.claim = replace(self.claim, evaluations=partial(evaluations, options))

    @classmethod
    def revisits(cls) -> bool:
        """Yes: each move that is decoded is one more sample."""
        return True

    @classmethod
    def idle(cls, options: GaussNewtonOptions, latents: int, categories: int) -> frozenset[str]:
        whole = moves_of(options.moves, latents, categories) == latents * (categories - 1)
        return frozenset({"averaged"} if whole else ())

    @classmethod
    def check_size(cls, options: GaussNewtonOptions, latents: int, categories: int) -> None:
        if options.moves > (every := latents * (categories - 1)):
            raise InputError(
                f"moves is {options.moves}, of {every} that there are: {latents} variable{'s' * (latents != 1)} of "
                f"{categories} categories; give {every} to decode all, or less"
            )

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        if objective.samples is not None:
            return self.of_bound(logits, objective.samples, noise)
        sample = draw(logits, noise)
        places = self.decoded(logits, sample)
        estimated = torch.ones_like(sample).flatten(-2).scatter(-1, places, 0.0).view_as(sample)
        # The first order, g . (e_k - e_i) of the moves that are estimated, is linear in g, and so a gradient.
        first = estimated * softmax(logits)
        seen = straight_through(sample, first - sample * first.sum(-1, keepdim=True))
        outputs = decoded_layers(objective, seen)
        loss = differentiable_in(objective.loss_of(seen, outputs[-1]), seen, self)
        with torch.no_grad():
            rest = self.curved(objective, sample, outputs, places)
            rest = with_decoded(rest, objective, sample, places, softmax(logits), loss)
            pull = jacobian_product(softmax(logits), rest)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)

    def of_bound(self, logits: Tensor, samples: Samples, noise: Noise) -> Estimate:
        """The estimate of a bound, whose change follows in closed form from what a move adds to one sample's loss."""
        sample = draw(logits, noise)
        one, split, probabilities = samples.each, samples.split(sample), softmax(samples.split(logits.detach()))
        with torch.enable_grad():
            seen = split.detach().requires_grad_()
            outputs = decoded_layers(one, seen)
            each = one.loss_of(seen, outputs[-1])  # [..., B S]
            first = slope(each, seen, type(self).__name__, retain=True)
        losses, places = samples.apart(each), self.decoded(samples.split(logits), split)
        with torch.no_grad():
            costs = first - (split * first).sum(-1, keepdim=True) + self.curved(one, split, outputs, places)
            costs = with_decoded(costs, one, split, places, probabilities, each)
            costs = bound_change(losses, torch.unflatten(costs, -3, losses.shape[-2:])).flatten(-3, -2)
            pull = jacobian_product(softmax(logits), costs)
        loss = bound(losses, -1)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)

    def curved(self, objective: Objective, sample: Tensor, outputs: Sequence[Tensor], places: Tensor) -> Tensor:
        """Second order of the moves' costs ``[..., B, N, K]``; 0 where all moves are decoded, so none is estimated."""
        if places.shape[-1] == sample.shape[-2] * (sample.shape[-1] - 1):
            return torch.zeros_like(sample)
        return second_order(objective, sample, [each.detach() for each in outputs], self.averaged)

    @torch.no_grad()
    def decoded(self, logits: Tensor, sample: Tensor) -> Tensor:
        """The moves of each example that are decoded, as indices into N K: ``[..., B, moves]``."""
        moves = moves_of(self.moves, *sample.shape[-2:])
        return ((1 - sample) * softmax(logits)).flatten(-2).topk(moves, -1).indices


def _check(**options: Any) -> None:
    GaussNewtonOptions(**options)


def decoded_layers(objective: Objective, sample: Tensor) -> list[Tensor]:
    """Outputs of the decoder's layers, the last in at least float32; of a decoder without layers, its output alone."""
    if objective.decoder is None:
        return [objective.decode(sample)]
    outputs = objective.decoder.trace(sample.flatten(-2))[1]
    return [*outputs[:-1], at_least_float32(outputs[-1])]


def with_decoded(
    costs: Tensor, objective: Objective, sample: Tensor, places: Tensor, probabilities: Tensor, loss: Tensor
) -> Tensor:
    """Costs of moves ``[..., B, N, K]`` with the decoded ones in their places ``[..., B, M]``, beside the sample's."""
    if not places.shape[-1]:
        return costs
    exact = objective(moved(sample, places, probabilities)).movedim(0, -1) - loss.unsqueeze(-1)
    return costs.flatten(-2).scatter(-1, places, exact.to(costs.dtype)).view_as(costs)


def moved(sample: Tensor, places: Tensor, probabilities: Tensor) -> Tensor:
    """The sample after each of some moves ``[..., B, M]``, or itself where their category is masked.

    ``[M, ..., B, N, K]``.
    """
    states = torch.unflatten(one_hot(places, math.prod(sample.shape[-2:]), sample.dtype), -1, sample.shape[-2:])
    after = states + (1 - states.sum(-1, keepdim=True)) * sample.unsqueeze(-3)
    possible = probabilities.flatten(-2).gather(-1, places)[..., None, None] > 0
    return torch.where(possible, after, sample.unsqueeze(-3)).movedim(-3, 0)
