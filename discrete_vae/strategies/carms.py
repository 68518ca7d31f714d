"""CARMS: several mutually antithetic samples, weighted by how much rarer they make a pair than independence does.

A. Dimitriev, M. Zhou: CARMS: Categorical-Antithetic-REINFORCE Multi-Sample Gradient Estimator. NeurIPS 2021, arXiv
2110.14002.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Estimate
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.rloo import Rloo
from discrete_vae.strategies.stick_breaking import Sticks


class Carms(Rloo):
    """RLOO with antithetic samples, each pair weighted for being too rare or too frequent (Dimitriev and Zhou 2021).

    ``1 / (S (S - 1)) sum_s z_s sum_r (f(z_s) - f(z_r)) w(z_s, z_r)`` with ``w = q(z_s) q(z_r) / p(z_s, z_r)`` of each
    variable by itself. The loss is the samples' mean, and the decoder learns from all.

    A sample is drawn by breaking a stick, the least probable category first. Each stick's decisions have a Dirichlet
    copula: ``u_s = (1 - d_s)^(S - 1)`` for d uniform on the simplex of the samples, so that all u are uniform and any
    two negatively correlated. With w = 1 this is RLOO; with 2 samples it is DisARM-IW of Dong et al. 2021, with 2
    categories as well DisARM. Raises ``InputError`` for fewer than 2 samples.

    Layers behind draw noise of their own for each sample (``independent``): with common noise the estimate would be
    unbiased as well and vary no less, but the samples behind would be alike (see ``tests/tasks/test_nesting.py``).
    """

    claim = replace(Rloo.claim, paper="Dimitriev and Zhou 2021")

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sticks = Sticks.of(logits)
        with torch.no_grad():
            gumbel = noise.gumbel((*sticks.yes.shape, self.draws), sticks.yes.dtype)
            share = (-gumbel).softmax(-1)  # of exponential numbers: uniform on the simplex
            taken = 1 - share < sticks.yes.unsqueeze(-1).pow(1 / (self.draws - 1))  # u < yes
            places = sticks.places(taken.movedim(-1, 0))
            sample = sticks.sample(places, logits.dtype)
        losses = objective(sample)
        loss = losses.mean(0)
        with torch.no_grad():
            weight = self.pair_weights(sticks, places).to(logits.dtype)  # [S, S, ..., N]
            difference = (losses.unsqueeze(1) - losses.unsqueeze(0)).unsqueeze(-1)  # [S, S, ..., B, 1]
            signal = (weight * difference).sum(1) / (self.draws * (self.draws - 1))
            pull = (signal.unsqueeze(-1) * sample).sum(0)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)

    def pair_weights(self, sticks: Sticks, places: Tensor) -> Tensor:
        """``q(a) q(b) / p(a, b)`` of each two samples at places ``[S, ..., N]``: ``[S, S, ..., N]``, 0 for equal ones.

        At each stick before the first that either takes, both say no; there, one of them says yes.
        """
        yes, power = sticks.yes, self.draws - 1
        # P(both yes) = max(2 yes^(1 / (S - 1)) - 1, 0)^(S - 1), here divided by yes, which may be 0.
        again = (2 - yes.pow(-1 / power)).clamp_min(0).pow(power)
        one = (1 - yes) / (1 - again)
        none = (1 - yes).square() / (1 - 2 * yes + yes * again)
        before = torch.nn.functional.pad(none[..., :-1].cumprod(-1), (1, 0), value=1.0)
        first = torch.minimum(places.unsqueeze(1), places.unsqueeze(0)).clamp_max(yes.shape[-1] - 1)
        table = (before * one).expand(*first.shape, -1)
        weight = table.gather(-1, first.unsqueeze(-1)).squeeze(-1)
        return weight.masked_fill(places.unsqueeze(1) == places.unsqueeze(0), 0.0)
