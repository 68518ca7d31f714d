"""Sparsemax marginalisation: a posterior with few states above 0, and the exact sum over these.

G. M. Correia, V. Niculae, W. Aziz, A. F. T. Martins: Efficient Marginalization of Discrete and Structured Latent
Variables via Sparsity. NeurIPS 2020, arXiv 2007.01919.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.categorical import at_least_float32, finite
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.sparse import Sparse
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective


def states(latents: int, categories: int) -> int:
    """Number of decoded states: all, or as many as a sparsemax is taken over."""
    return int(min(Sparse.most, categories**latents))


class SparsemaxMarginalisation(Strategy):
    """``sum_s q(s) f(s)`` over the states of a top-k sparsemax (section 3), for the latents of the family ``Sparse``.

    The loss is this sum, without noise, and its gradients in logits and decoder are exact. Every step decodes the same
    number of states, 16 or all K^N, so that its shapes are fixed.
    """

    builds_on = "Martins and Astudillo 2016"
    claim = Claim("Correia et al. 2020", unbiased=True, relaxed=False, evaluations=states, marginal=True)
    ignores = Strategy.ignores | {"samples", "objective"}
    latent_family = Sparse
    twice = True

    def prepared(self, logits: Tensor) -> Tensor:
        return finite(at_least_float32(logits))

    def weights(self, logits: Tensor, sample: Tensor) -> Tensor:
        """The probabilities of the decoded states ``[S, ..., B, N, K]``: ``[S, ..., B]``."""
        return Sparse(*logits.shape[-2:]).support(logits)[1]

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        support, probabilities = self.latent_family(*logits.shape[-2:]).support(logits)
        # The likeliest state stands for all that have no probability, which a mask may forbid to decode.
        decoded = torch.where((probabilities > 0)[..., None, None], support, support[:1])
        loss = (probabilities * objective(decoded)).sum(0)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), decoded)
