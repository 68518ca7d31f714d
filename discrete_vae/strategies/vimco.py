"""VIMCO: the score function of the multi-sample bound, each sample against the bound without it.

A. Mnih, D. J. Rezende: Variational Inference for Monte Carlo Objectives. ICML 2016, arXiv 1602.06725.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.rloo import Rloo


class Vimco(Rloo):
    """The multi-sample bound ``-log mean_s exp(-f_s)``, each sample against the bound without it.

    In the bound without it, its log-weight is replaced by the mean of the others' (Mnih and Rezende 2016, eq. 9).
    ``f`` includes what the sample costs by itself, ``Objective.sample_kl``, so that the loss is the whole bound.
    """

    claim = Claim("Mnih and Rezende 2016", unbiased=True, relaxed=False, evaluations=4)
    loss_includes_kl = True

    def losses(self, logits: Tensor, sample: Tensor, objective: Objective) -> Tensor:
        losses = objective(sample)
        return losses if objective.sample_kl is None else losses + objective.sample_kl(logits, sample)

    def combine(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        samples = len(losses)
        others = (losses.sum(0) - losses) / (samples - 1)
        # [S, S, ...]: in row s, the losses with that of s replaced.
        own = torch.eye(samples, dtype=torch.bool, device=losses.device).view(
            samples, samples, *[1] * (losses.dim() - 1)
        )
        without = torch.where(own, others, losses.unsqueeze(0))
        return bound(losses, 0), bound(losses, 0) - bound(without, 1)


def bound(losses: Tensor, dimension: int) -> Tensor:
    """The multi-sample bound ``-log mean_s exp(-f_s)`` over a dimension of the losses."""
    return math.log(losses.shape[dimension]) - (-losses).logsumexp(dimension)
