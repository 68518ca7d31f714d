"""Sparsemax marginalisation: a posterior with few states above 0, and the exact sum over these.

G. M. Correia, V. Niculae, W. Aziz, A. F. T. Martins: Efficient Marginalization of Discrete and Structured Latent
Variables via Sparsity. NeurIPS 2020, arXiv 2007.01919.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.noise import Noise
from discrete_vae.sparse import Sparse
from discrete_vae.strategies.base import Claim, Estimate, Objective, Strategy


class SparsemaxMarginalisation(Strategy):
    """``sum_s q(s) f(s)`` over the states of a top-k sparsemax (section 3), for the latents of the family ``Sparse``.

    The loss is this sum, without noise, and its gradients in logits and decoder are exact. A step decodes as many
    states whatever their probabilities, 16 or all K^N, so that it has one shape.
    """

    claim = Claim("Correia et al. 2020", unbiased=True, relaxed=False, evaluations=Sparse.most, marginal=True)
    ignores = Strategy.ignores | {"samples"}
    latent_family = Sparse

    def weights(self, logits: Tensor, sample: Tensor) -> Tensor:
        """The probabilities of the decoded states ``[S, ..., B, N, K]``: ``[S, ..., B]``."""
        return Sparse(*logits.shape[-2:]).support(logits)[1]

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        states, probabilities = self.latent_family(*logits.shape[-2:]).support(logits)
        loss = (probabilities * objective(states)).sum(0)
        return Estimate(loss, loss.new_zeros(loss.shape[:-1]), states)
