"""DisARM for more than two categories: two antithetic samples, by the binary decisions that draw a category.

Z. Dong, A. Mnih, G. Tucker: Coupled Gradient Estimators for Discrete Latent Variables. NeurIPS 2021, arXiv 2106.08056.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.stick_breaking import Sticks


class DisarmStickBreaking(Strategy):
    """DisARM of each stick's decision; decisions that no sample depends on give their mean (Dong et al. 2021).

    Two samples z and z' are drawn by breaking a stick, the least probable category first, with antithetic decisions b
    and b' of probability y each. The gradient in a stick's logit is ``(f(z) - f(z')) / 2`` times

    - ``(b - b') max(y, 1 - y)`` if both samples reach it (DisARM);
    - ``b - y`` or ``-(b' - y)``, the score, if one does: DisARM's mean over the other's decision, given this one;
    - 0 if none does: DisARM's mean over both decisions.

    The loss is the samples' mean, and the decoder learns from both. With 2 categories this is ``Disarm``. Layers behind
    draw noise of their own for each sample (``independent``): with common noise the estimate would be unbiased as well
    and vary 3% less, but the samples behind would be alike (see ``tests/tasks/test_nesting.py``).
    """

    claim = Claim("Dong et al. 2021", unbiased=True, relaxed=False, evaluations=2)
    independent = True

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sticks = Sticks.of(logits)
        with torch.no_grad():
            uniform = noise.uniform(sticks.yes.shape, sticks.yes.dtype)
            places = sticks.places(torch.stack([uniform < sticks.yes, uniform >= 1 - sticks.yes]))
            sample = sticks.sample(places, logits.dtype)
        losses = objective(sample)
        loss = losses.mean(0)
        with torch.no_grad():
            half = ((losses[0] - losses[1]) / 2)[..., None, None]
            stick = torch.arange(sticks.yes.shape[-1], device=logits.device)
            come, taken = (
                mask.to(logits.dtype) for mask in (stick <= places.unsqueeze(-1), stick == places.unsqueeze(-1))
            )
            pull = sticks.to_logits(half * direction(sticks.yes, come, taken))
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)


def direction(yes: Tensor, come: Tensor, taken: Tensor) -> Tensor:
    """The factor of half the difference of the losses in the gradient in decisions' logits: ``[..., D]``.

    ``yes`` is each one's probability, ``[..., D]``; ``come`` and ``taken`` say, by 0 and 1, whether a sample comes to
    it and whether it is yes then, ``[2, ..., D]``.
    """
    score = taken - come * yes
    return (score[0] - score[1]) * torch.where(come.prod(0) > 0, torch.maximum(yes, 1 - yes), 1.0)
