"""ARSM: augment, reinforce, swap, merge.

M. Yin, Y. Yue, M. Zhou: ARSM: Augment-REINFORCE-Swap-Merge Estimator for Gradient Backpropagation Through Categorical
Variables. ICML 2019, arXiv 1905.01413.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import hard_sample
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective


def pairs(latents: int, categories: int) -> int:
    """The sample, and one for every pair of categories that can be swapped."""
    return 1 + math.comb(categories, 2)


class Arsm(Strategy):
    """``g_nc = sum_j (f^{cj} - mean_m f^{mj}) (1/K - w_nj)`` (eq. 12), with K (K - 1) / 2 further samples.

    ``w_n`` is uniform on the simplex, the sample is ``argmin_k w_nk exp(-l_nk)``, and ``f^{cj}`` belongs to the sample
    of all variables' w with their entries c and j swapped. Raises ``InputError`` for fewer than 2 categories.
    """

    claim = Claim("Yin et al. 2019", unbiased=True, relaxed=False, evaluations=pairs)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        categories = logits.shape[-1]
        if categories < 2:
            raise InputError(f"ARSM swaps categories, and there is {categories}; give at least 2")
        with torch.no_grad():
            work = torch.promote_types(logits.dtype, torch.float32)
            gumbel = noise.gumbel(logits.shape, work)  # -log of exponential numbers, whose shares are uniform
            sample = hard_sample(logits, gumbel)
        loss = objective(sample)
        with torch.no_grad():
            swaps = list(itertools.combinations(range(categories), 2))
            swapped = []
            for first, second in swaps:
                entries = list(gumbel.unbind(-1))
                entries[first], entries[second] = entries[second], entries[first]
                swapped.append(hard_sample(logits, torch.stack(entries, -1)))
            losses = objective(torch.stack(swapped))
            table = loss.detach().expand(categories, categories, *loss.shape).clone()  # [K, K, ..., B], by c and j
            for (first, second), value in zip(swaps, losses, strict=True):
                table[first, second] = table[second, first] = value
            centred = (table - table.mean(0)).movedim((0, 1), (-2, -1)).to(work)  # [..., B, K, K]
            share = (-gumbel).softmax(-1)
            with torch.autocast(logits.device.type, enabled=False):  # which would round the product
                pull = (1 / categories - share) @ centred.mT
        return Estimate(
            loss + only_gradient(logits, pull.to(logits.dtype), loss.dim()), loss.new_zeros(loss.shape[:-1]), sample
        )
