"""ReinMax-Rao: ReinMax whose Jacobian at the midpoint is that of Gumbel-Rao.

D. Wang, T. D. Bui: Beyond ReinMax: Low-Variance Gradient Estimators for Discrete Latent Variables. 2026, arXiv
2603.08257. The form is that of their public code, ReinMax_ASC, except that its function for A was not at hand: A is
written from the published conditional distribution.

Their ReinMax-CV is left out. It adds ``eta (A - B)`` to ReinMax, A the Gumbel-Rao and B the Gumbel-Softmax gradient at
the midpoint. B's noise G makes the sample the argmax of ``l + G``, A's makes it the argmax of ``log q + G``. So the
mean of A - B given the sample is not 0, and the estimate has another mean than ReinMax. With equal conditions that mean
would be 0, but then A - B could not help: ReinMax depends on the sample alone, so a term whose mean given the sample is
0 is uncorrelated with it and only adds variance. ``tests/strategies/test_reinmax_rao.py`` shows both.
"""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.categorical import softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.base import Claim
from discrete_vae.strategies.gumbel_rao import GumbelRao, relaxed_given
from discrete_vae.strategies.hyperparameters import per_member


class ReinMaxRao(GumbelRao):
    """``2 A g - J(pi) g / 2``, A the Gumbel-Rao Jacobian of logits ``log q``, ``q = (pi + z) / 2``, given the sample z.

    ReinMax' first term is ``2 J(q) g``. This one gives up the second order: on a quadratic it has a bias. On a trained
    model it varied less than ReinMax (at temperature 0.5), on an untrained one more. Raises ``InputError`` where the
    temperature is not above 0 or there is no draw.
    """

    claim = Claim("Wang and Bui 2026", unbiased=False, relaxed=False, evaluations=1)

    def surrogate(self, logits: Tensor, sample: Tensor, noise: Noise) -> Tensor:
        temperature, own = per_member(self.temperature, logits), logits.detach()
        tiny = torch.finfo(own.dtype).tiny
        middle = ((softmax(own) + sample) / 2).clamp_min(tiny).log()
        first = relaxed_given(logits, middle, sample, temperature, self.draws, noise).mean(0)
        return 2 * first - softmax(logits) / 2
