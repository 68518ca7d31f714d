"""DisARM, or U2G: two antithetic samples of binary variables.

Z. Dong, A. Mnih, G. Tucker: DisARM: An Antithetic Gradient Estimator for Binary Latent Variables. NeurIPS 2020, arXiv
2006.10680. The same estimator is U2G in M. Yin, N. Ho, B. Yan, X. Qian, M. Zhou: Probabilistic Best Subset Selection
via Gradient-Based Optimization. 2020, arXiv 2006.06448.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import one_hot, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, Strategy
from discrete_vae.strategies.objective import Objective


class Disarm(Strategy):
    """``(f(z) - f(z')) / 2 (z_n - z'_n) max(p_n, 1 - p_n)``, p the probability of either category (Dong et al. 2020).

    The samples ``z = [u < p]`` and ``z' = [1 - u < p]`` share the uniform number u of each variable. The loss is their
    mean, and the decoder learns from both. With ``a = l_1 - l_0``, the factor is the paper's ``sigma(|a|)``, and the
    gradient in ``l_1`` is its gradient in a, that in ``l_0`` the opposite. Raises ``InputError`` for K other than 2.

    Layers behind draw noise of their own for each sample (``independent``). With common noise the estimate would be
    unbiased as well and vary no less, but the samples behind would be alike (see ``tests/tasks/test_nesting.py``).
    """

    claim = Claim("Dong et al. 2020; Yin et al. 2020", unbiased=True, relaxed=False, evaluations=2)
    independent = True
    categories = 2

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        if logits.shape[-1] != self.categories:
            raise InputError(
                f"categories is {logits.shape[-1]}, and DisARM is for binary variables; give 2, or take "
                "disarm-stick-breaking or carms"
            )
        with torch.no_grad():
            work = torch.promote_types(logits.dtype, torch.float32)
            probabilities = softmax(logits.to(work))
            no, yes = probabilities.unbind(-1)
            uniform = noise.uniform(logits.shape[:-1], work)
            taken = torch.stack([uniform < yes, uniform >= no])  # the latter is 1 - u < p, exact also where p is 1
            sample = one_hot(taken.long(), 2, logits.dtype)
            sample = sample + (probabilities - probabilities).to(logits.dtype)  # NaN where they are no distribution
        losses = objective(sample)
        loss = losses.mean(0)
        with torch.no_grad():
            half = ((losses[0] - losses[1]) / 2)[..., None, None]
            pull = half * (sample[0] - sample[1]) * probabilities.amax(-1, keepdim=True)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), loss.new_zeros(loss.shape[:-1]), sample)
