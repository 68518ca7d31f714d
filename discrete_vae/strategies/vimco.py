"""VIMCO: the score function of the multi-sample bound, each sample against the bound without it.

A. Mnih, D. J. Rezende: Variational Inference for Monte Carlo Objectives. ICML 2016, arXiv 1602.06725.
"""

from __future__ import annotations

from torch import Tensor

from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.bound import leave_one_out
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.rloo import Rloo


class Vimco(Rloo):
    """The multi-sample bound ``-log mean_s exp(-f_s)``, each sample against the bound without it.

    In the bound without it, its log-weight is replaced by the mean of the others' (Mnih and Rezende 2016, eq. 9).
    ``f`` includes the sample's own cost, ``Objective.sample_kl``, so that the loss is the whole bound.
    """

    claim = Claim("Mnih and Rezende 2016", unbiased=True, relaxed=False, evaluations=4)
    loss_includes_kl = True
    ignores = Rloo.ignores | {"objective"}

    def losses(self, logits: Tensor, sample: Tensor, objective: Objective) -> Tensor:
        losses = objective(sample)
        return losses if objective.sample_kl is None else losses + objective.sample_kl(logits, sample)

    def combine(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        return leave_one_out(losses)
