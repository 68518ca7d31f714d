"""Shared parts of estimators that draw a category by breaking a stick, the least probable category first.

A category is drawn by binary decisions, one a stick: is it category c, given that it is none before c? With the least
probable category first, no answer is more probable to be yes than no, so antithetic decisions never exclude a pair of
different categories (Dong et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.latents.categorical import one_hot, softmax


@dataclass(frozen=True)
class Sticks:
    """The decisions of each variable, without gradients."""

    order: Tensor
    """Categories, least probable first: ``[..., N, K]``."""
    probabilities: Tensor
    """Theirs, in this order: ``[..., N, K]``."""
    rest: Tensor
    """Probability of all categories behind one: ``[..., N, K - 1]``, at least 1/K."""
    yes: Tensor
    """Probability to take a category, given that it is none before: ``[..., N, K - 1]``, at most 1/2."""

    @classmethod
    def of(cls, logits: Tensor) -> Sticks:
        """The sticks of logits ``[..., N, K]``, in float32 at least."""
        with torch.no_grad():
            work = logits.to(torch.promote_types(logits.dtype, torch.float32))
            ascending, order = work.sort(-1)
            probabilities = softmax(ascending)
            tail = probabilities.flip(-1).cumsum(-1).flip(-1)  # of a category and all behind it
            return cls(order, probabilities, tail[..., 1:], probabilities[..., :-1] / tail[..., :-1])

    def places(self, taken: Tensor) -> Tensor:
        """The first stick that is taken of ``[..., N, K - 1]``, as a place in the order; without one the last."""
        return (~taken).long().cumprod(-1).sum(-1)

    def sample(self, places: Tensor, dtype: torch.dtype) -> Tensor:
        """Places ``[S, ..., N]`` -> one-hot samples ``[S, ..., N, K]``; NaN where the logits are no distribution."""
        categories = self.order.shape[-1]
        order = self.order.expand(*places.shape, categories)
        sample = one_hot(order.gather(-1, places.unsqueeze(-1)).squeeze(-1), categories, dtype)
        likeliest = self.probabilities[..., -1:]
        return sample + (likeliest - likeliest).to(dtype)

    def to_logits(self, gradient: Tensor) -> Tensor:
        """Gradient in the sticks' logits ``log yes / (1 - yes)`` -> gradient in the categories' logits ``[..., N, K]``.

        Stick c has the logit ``l_c - log sum_{j > c} exp(l_j)``.
        """
        before = torch.nn.functional.pad((gradient / self.rest).cumsum(-1), (1, 0))
        own = torch.nn.functional.pad(gradient, (0, 1))
        return torch.empty_like(own).scatter_(-1, self.order, own - self.probabilities * before)
