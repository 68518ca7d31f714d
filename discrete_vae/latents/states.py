"""Joint states of N variables without a list of all K^N: the likeliest, and samples without replacement.

W. Kool, H. van Hoof, M. Welling: Stochastic Beams and Where to Find Them. ICML 2019, arXiv 1903.06059.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import one_hot
from discrete_vae.latents.noise import Noise


def likeliest_states(logits: Tensor, count: int) -> Tensor:
    """The most probable joint states, the likeliest first: ``[count, ..., B, N, K]``, one-hot.

    A beam search is exact: every prefix of a likeliest state is one of the likeliest prefixes. Raises ``InputError`` if
    there are fewer states.
    """
    return _beam(logits, count, None)


def states_without_replacement(logits: Tensor, count: int, noise: Noise) -> Tensor:
    """Different joint states, drawn one after the other without replacement: ``[count, ..., B, N, K]``, one-hot.

    They have the largest values of ``log q(s) + Gumbel``, found by a stochastic beam search (Kool et al. 2019,
    algorithm 1). Raises ``InputError`` if there are fewer states.
    """
    *batch, latents, categories = logits.shape
    shape = (*batch, latents, count, categories)
    return _beam(logits, count, noise.gumbel(shape, torch.promote_types(logits.dtype, torch.float32)))


def log_complement(exponent: Tensor) -> Tensor:
    """``log(1 - exp(a))`` of ``a <= 0``; -inf at 0."""
    return (-torch.expm1(exponent)).log()


def _beam(logits: Tensor, count: int, gumbel: Tensor | None) -> Tensor:
    """The ``count`` highest states by ``log q``, or by ``log q`` plus Gumbel numbers ``[..., B, N, count, K]``."""
    *batch, latents, categories = logits.shape
    if categories**latents < count:
        raise InputError(
            f"{count} different states are wanted, and {latents} variables of {categories} categories have "
            f"{categories**latents}; give fewer, or more categories"
        )
    steps = logits.double().log_softmax(-1)
    # Of each kept start of a state: log-probability, rank, and categories so far. Which states come first does not
    # depend on the value of the first (Maddison et al. 2014), so the root's Gumbel number may be 0.
    log_q = rank = steps.new_zeros(*batch, 1)
    taken = torch.zeros(*batch, 1, 0, dtype=torch.long, device=logits.device)
    for n in range(latents):
        children = log_q.unsqueeze(-1) + steps[..., n, :].unsqueeze(-2)  # [..., B, S, K]
        ranks = children
        if gumbel is not None:
            ranks = _with_maximum(children + gumbel[..., n, : children.shape[-2], :], rank)
        rank, chosen = ranks.flatten(-2).topk(min(count, ranks.shape[-2:].numel()))
        log_q = children.flatten(-2).gather(-1, chosen)
        parent = chosen.div(categories, rounding_mode="floor").unsqueeze(-1)
        before = taken.gather(-2, parent.expand(*parent.shape[:-1], n))
        taken = torch.cat([before, chosen.remainder(categories).unsqueeze(-1)], -1)  # [..., B, S, n + 1]
    return one_hot(taken.movedim(-2, 0).contiguous(), categories, logits.dtype)


def _with_maximum(gumbel: Tensor, maximum: Tensor) -> Tensor:
    """Gumbel numbers ``[..., K]``, moved to those of the given maximum ``[...]`` (Kool et al. 2019, appendix B)."""
    highest, maximum = gumbel.amax(-1, keepdim=True), maximum.unsqueeze(-1)
    excess = maximum - gumbel + log_complement(gumbel - highest)
    return maximum - excess.clamp_min(0) - torch.log1p((-excess.abs()).exp())
