"""Gauss-Newton local expectation: local expectation by a second-order model of what is behind the sample.

Local expectation (Titsias and Lazaro-Gredilla 2015) asks what the loss would be with one variable in another category,
and decodes a sample for each. Here one decoded sample foretells them: the loss' gradient says the first order of each
move, and a Gauss-Newton model (Schraudolph 2002), the decoder taken for affine and the loss for quadratic in its
output, the second.

- M. K. Titsias, M. Lazaro-Gredilla: Local Expectation Gradients for Black Box Variational Inference. NeurIPS 2015.
- N. N. Schraudolph: Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent. Neural Computation 2002.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from discrete_vae.errors import check_types, nearest
from discrete_vae.latents.categorical import at_least_float32, jacobian_product, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw
from discrete_vae.strategies.responses import own_quadratic, second_order

Slopes = Literal["mean", "own"]


@dataclass(frozen=True)
class GaussNewtonOptions:
    """Hyper-parameters of Gauss-Newton local expectation."""

    slopes: Slopes = "mean"
    """Where the decoder is taken for affine: at the batch's mean, or at each image's own sample, N K products of an
    image more exact."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.slopes not in get_args(Slopes):
            raise nearest(self.slopes, get_args(Slopes), "slopes")


class GaussNewtonLocalExpectation(Strategy):
    """``J_n c_n`` with ``c_nk = g . (e_k - e_i) + 1/2 sum_d h_d ((V_nk - V_ni)_d)^2``.

    The sample has variable n in category i; c is what the loss would change by with it in k. g is the loss' gradient at
    the sample, h its second derivative in the output, V the output's response to each category. It is local expectation
    itself where the decoder is affine and the loss quadratic in each of its numbers.
    """

    claim = Claim("Titsias and Lazaro-Gredilla 2015", unbiased=False, relaxed=False, evaluations=1)
    Options = GaussNewtonOptions
    differentiates = True

    def __init__(self, slopes: Slopes = "mean") -> None:
        super().__init__()
        self.slopes = GaussNewtonOptions(slopes).slopes

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        network = objective.decoder
        with torch.enable_grad():
            seen = sample.detach().requires_grad_()
            outputs = [objective.decode(seen)] if network is None else network.trace(seen.flatten(-2))[1]
            output = at_least_float32(outputs[-1])
            loss = objective.loss_of(seen, output)
            (slope,) = torch.autograd.grad(loss.sum(), seen, retain_graph=True)
        with torch.no_grad():
            if self.slopes == "own":
                second = own_quadratic(objective.decode, objective.curvature_at(output), sample)
            else:
                second = second_order(objective, sample, outputs)
            pull = jacobian_product(softmax(logits), slope + second)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)
