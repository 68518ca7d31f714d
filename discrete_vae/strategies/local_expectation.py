"""Local expectation: exact in one variable at a time.

M. K. Titsias, M. Lazaro-Gredilla: Local Expectation Gradients for Black Box Variational Inference. NeurIPS 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.categorical import jacobian_product, one_hot, possible, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.bound import Samples, bound, bound_change
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import draw


def neighbours(latents: int, categories: int) -> int:
    """The sample, and those in which one variable takes another category."""
    return 1 + latents * (categories - 1)


class LocalExpectation(Strategy):
    """Each variable summed out with the others as sampled (Titsias and Lazaro-Gredilla 2015).

    ``J_n f_n`` with ``f_nk = f(z with z_n = k)``: the sample and ``N (K - 1)`` others are evaluated, those in which one
    variable takes another category. It is the reference where K^N is too large. Of a bound over several samples, a
    change of one sample needs no other sample decoded again.
    """

    claim = Claim("Titsias and Lazaro-Gredilla 2015", unbiased=True, relaxed=False, evaluations=neighbours)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = draw(logits, noise)
        if objective.samples is None:
            loss = objective(sample)
            with torch.no_grad():
                table = local_losses(sample, loss, objective, possible(logits))
        else:
            loss, table = local_bounds(logits, sample, objective, objective.samples)
        pull = jacobian_product(softmax(logits.detach()), table)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)


def local_bounds(logits: Tensor, sample: Tensor, objective: Objective, samples: Samples) -> tuple[Tensor, Tensor]:
    """The bound at a sample, ``[..., B]``, and how it changes by any move of one variable, ``[..., B, S N, K]``.

    The latter has no gradient. A sample that moves is decoded alone; the bound then follows from its loss.
    """
    split = samples.split(sample)
    losses = samples.losses(split, objective.decode(sample))
    with torch.no_grad():
        own = losses.flatten(-2)  # [..., B S]
        moved = local_losses(split, own, samples.each, possible(samples.split(logits)))  # [..., B S, N, K]
        change = torch.unflatten(moved - own[..., None, None], -3, losses.shape[-2:])  # [..., B, S, N, K]
        table = bound_change(losses, change).flatten(-3, -2)
    return bound(losses, -1), table


def local_losses(sample: Tensor, loss: Tensor, objective: Objective, allowed: Tensor) -> Tensor:
    """``f(z with z_n = k)`` for every n and k, without a gradient: ``[..., B, N, K]``; ``loss`` is that of z.

    Where a category is not ``allowed`` ``[..., B, N, K]``, the variable keeps its own.
    """
    latents, categories = sample.shape[-2:]
    table = loss.unsqueeze(-1).unsqueeze(-1).expand_as(sample).clone()
    if categories == 1:
        return table
    taken = sample.argmax(-1, keepdim=True)  # [..., B, N, 1]
    steps = torch.arange(1, categories, device=sample.device)
    others = (taken + steps) % categories  # [..., B, N, K - 1]
    reached = torch.where(allowed.gather(-1, others), others, taken)
    moved = one_hot(reached, categories, sample.dtype).movedim((-3, -2), (0, 1))  # [N, K - 1, ..., B, K]
    changed = sample.expand(latents, categories - 1, *sample.shape).clone()  # [N, K - 1, ..., B, N, K]
    for n in range(latents):
        changed[n, ..., n, :] = moved[n]
    losses = torch.unflatten(objective(changed.flatten(0, 1)), 0, (latents, categories - 1))
    return table.scatter_(-1, others, losses.movedim((0, 1), (-2, -1)))
