"""DisARM for more than two categories, drawn by binary decisions from the root of a tree to one of its leaves.

Z. Dong, A. Mnih, G. Tucker: Coupled Gradient Estimators for Discrete Latent Variables. NeurIPS 2021, arXiv 2106.08056.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.categorical import one_hot
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.disarm_stick_breaking import direction
from discrete_vae.strategies.objective import Objective


class DisarmTree(Strategy):
    """DisARM of each decision in a balanced tree whose leaves are the categories (Dong et al. 2021).

    As in ``DisarmStickBreaking``, the two samples' decisions are antithetic, and those that no sample depends on are
    replaced by their mean. A sample depends on log2 K of the K - 1 decisions. The categories stand in their own order,
    neighbours first. The loss is the samples' mean, and the decoder learns from both; layers behind draw noise of their
    own for each (``independent``).
    """

    claim = Claim("Dong et al. 2021", unbiased=True, relaxed=False, evaluations=2)
    independent = True

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        odds = decisions(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        with torch.no_grad():
            uniform = noise.uniform(odds.shape, odds.dtype)
            sample = leaves(torch.stack([uniform < odds.sigmoid(), uniform >= (-odds).sigmoid()]), logits.dtype)
        losses = objective(sample)
        loss = losses.mean(0)
        with torch.no_grad():
            half = ((losses[0] - losses[1]) / 2)[..., None, None]
            pull = half * direction(odds.sigmoid(), *visits(sample))
        score = (pull * odds).sum((-1, -2)).to(loss.dtype)
        return Estimate(with_gradient_of(loss, score), loss.new_zeros(loss.shape[:-1]), sample)


def pairs(level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left and right of neighbours ``[..., M] -> [..., M // 2]``, and the last where M is odd: it goes one level up."""
    paired = level.shape[-1] // 2 * 2
    return level[..., 0:paired:2], level[..., 1:paired:2], level[..., paired:]


def decisions(logits: Tensor) -> Tensor:
    """Logits of going right at each inner node, from the leaves' parents to the root: ``[..., K] -> [..., K - 1]``."""
    level, odds = logits, [logits[..., :0]]
    while level.shape[-1] > 1:
        left, right, last = pairs(level)
        odds.append(right - left)
        level = torch.cat([torch.logaddexp(left, right), last], -1)
    return torch.cat(odds, -1)


def leaves(right: Tensor, dtype: torch.dtype) -> Tensor:
    """Where all nodes' decisions ``[..., K - 1]`` lead from the root: one-hot ``[..., K]``."""
    categories = right.shape[-1] + 1
    level = torch.arange(categories, device=right.device).expand(*right.shape[:-1], -1)  # the leaf below each node
    while level.shape[-1] > 1:
        one, other, last = pairs(level)
        go, right = right.tensor_split([one.shape[-1]], -1)
        level = torch.cat([torch.where(go, other, one), last], -1)
    return one_hot(level.squeeze(-1), categories, dtype)


def visits(sample: Tensor) -> tuple[Tensor, Tensor]:
    """Whether a one-hot sample ``[..., K]`` comes to a node, and whether it goes right there: ``[..., K - 1]`` each."""
    level, come, went = sample, [sample[..., :0]], [sample[..., :0]]
    while level.shape[-1] > 1:
        left, right, last = pairs(level)
        come.append(left + right)
        went.append(right)
        level = torch.cat([left + right, last], -1)
    return torch.cat(come, -1), torch.cat(went, -1)
