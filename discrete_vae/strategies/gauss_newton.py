"""Gauss-Newton local expectation: local expectation by a second-order model of what is behind the sample.

Local expectation (Titsias and Lazaro-Gredilla 2015) asks what the loss would be with one variable in another category,
and decodes a sample for each. Here one decoded sample foretells them: the loss' gradient says the first order of each
move, and a Gauss-Newton model (Schraudolph 2002), the decoder taken for affine and the loss for quadratic in its
output, the second. No earlier use of it was found; for an affine decoder with normal noise the mean of these costs
gives the mean-field update of Ghahramani and Jordan (1997), and their estimate is the mean of ReinMax' at temperature 1
over the variable's own sample.

- M. K. Titsias, M. Lazaro-Gredilla: Local Expectation Gradients for Black Box Variational Inference. NeurIPS 2015.
- N. N. Schraudolph: Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent. Neural Computation 2002.
- Z. Ghahramani, M. I. Jordan: Factorial Hidden Markov Models. Machine Learning 1997.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from discrete_vae.errors import check_range, check_types, nearest
from discrete_vae.latents.categorical import at_least_float32, jacobian_product, one_hot, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.bound import bound, bound_change
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw
from discrete_vae.strategies.responses import Averaged, second_order

CHOSEN = -1
FEW = 32
"""Moves of an example that are decoded, by default, where there are no more."""


@dataclass(frozen=True)
class GaussNewtonOptions:
    """Hyper-parameters of Gauss-Newton local expectation."""

    averaged: Averaged = "all"
    """Of what in the model of the decoder the batch's mean is taken: of its slopes and of how the loss' curvature lies
    over the output; of the slopes; or of nothing, which takes N K pushes through the decoder for each image."""
    moves: int = CHOSEN
    """Moves of an image, the likeliest, whose loss is decoded in place of estimated: 0 none, N (K - 1) all, which is
    local expectation; -1 takes all where these are no more than 32, otherwise none."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.averaged not in get_args(Averaged):
            raise nearest(self.averaged, get_args(Averaged), "averaged")
        check_range("moves", self.moves, CHOSEN)


def moves_of(moves: int, latents: int, categories: int) -> int:
    """How many moves of an example are decoded."""
    every = latents * (categories - 1)
    if moves == CHOSEN:
        return every if every <= FEW else 0
    return min(every, moves)


def evaluations(options: GaussNewtonOptions, latents: int, categories: int) -> int:
    """The sample, once more where its own slopes are taken, and those of the moves that are decoded."""
    return 1 + (options.averaged == "nothing") + moves_of(options.moves, latents, categories)


class GaussNewtonLocalExpectation(Strategy):
    """``J_n c_n`` with ``c_nk = g . (e_k - e_i) + 1/2 sum_d h_d ((V_nk - V_ni)_d)^2``.

    The sample has variable n in category i; c is what the loss would change by with it in k. g is the loss' gradient at
    the sample, h its second derivative in the output, V the output's response to each category. It is local expectation
    itself where the decoder is affine and the loss quadratic in each number of the output. The likeliest ``moves`` of
    an example are decoded in place of estimated. The objective has to have a ``curvature``. Where it is a bound over
    several samples, c is that of a sample's own loss and ``log q / p``, by which the change of the bound is known.
    """

    claim = Claim("Titsias and Lazaro-Gredilla 2015", False, False, partial(evaluations, GaussNewtonOptions()))
    Options = GaussNewtonOptions
    differentiates = True

    def __init__(self, averaged: Averaged = "all", moves: int = CHOSEN) -> None:
        super().__init__()
        options = GaussNewtonOptions(averaged, moves)
        self.averaged, self.moves = options.averaged, options.moves
        self.claim = replace(self.claim, evaluations=partial(evaluations, options))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        if (samples := objective.samples) is None:
            loss, costs = self.moved(logits, sample, objective)
        else:  # a cost of one sample's moves, by which the bound changes
            loss, costs = self.moved(samples.split(logits), samples.split(sample), samples.each)
            losses = samples.apart(loss)
            loss = bound(losses, -1)
            with torch.no_grad():
                costs = bound_change(losses, torch.unflatten(costs, -3, losses.shape[-2:])).flatten(-3, -2)
        pull = jacobian_product(softmax(logits.detach()), costs)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)

    def moved(self, logits: Tensor, sample: Tensor, objective: Objective) -> tuple[Tensor, Tensor]:
        """The loss at a sample, ``[..., B]``, and what each move would add to it, ``[..., B, N, K]``, as a constant."""
        with torch.enable_grad():
            seen = sample.detach().requires_grad_()
            decoder = objective.decoder
            outputs = [objective.decode(seen)] if decoder is None else decoder.trace(seen.flatten(-2))[1]
            loss = objective.loss_of(seen, at_least_float32(outputs[-1]))
            (slope,) = torch.autograd.grad(loss.sum(), seen, retain_graph=True)
        with torch.no_grad():
            second = second_order(objective, sample, outputs, self.averaged)
            costs = slope - (sample * slope).sum(-1, keepdim=True) + second
            return loss, self.decoded(costs, logits, sample, loss, objective)

    def decoded(self, costs: Tensor, logits: Tensor, sample: Tensor, loss: Tensor, objective: Objective) -> Tensor:
        """The costs ``[..., B, N, K]``, in which those of the likeliest moves of an example are exact."""
        latents, categories = sample.shape[-2:]
        moves = moves_of(self.moves, latents, categories)
        if not moves:
            return costs
        share, places = ((1 - sample) * softmax(logits)).flatten(-2).topk(moves, -1)  # [..., B, moves]
        states = torch.unflatten(one_hot(places, latents * categories, sample.dtype), -1, (latents, categories))
        moved = states + (1 - states.sum(-1, keepdim=True)) * sample.unsqueeze(-3)
        # What is masked may be no input of the decoder's: it stays, and costs nothing.
        moved = torch.where((share > 0)[..., None, None], moved, sample.unsqueeze(-3))
        exact = objective(moved.movedim(-3, 0)).movedim(0, -1) - loss.unsqueeze(-1)
        return torch.unflatten(costs.flatten(-2).scatter(-1, places, exact.to(costs.dtype)), -1, (latents, categories))
