"""Shared parts of estimators that decode several different joint states and weight each of them."""

from __future__ import annotations

import torch
from torch import Tensor

from discrete_vae.latents.categorical import MASKED, log_prob
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.states import log_complement
from discrete_vae.strategies.autograd import with_gradient_of
from discrete_vae.strategies.base import Estimate, Strategy
from discrete_vae.strategies.objective import Objective


class WeightedStates(Strategy):
    """``sum_s w_s f(s)`` over different states s, which is the loss, and a score function of the same states.

    The gradient is ``sum_s c_s grad log q(s)`` with ``c_s = sum_t C_st f(t)``. Weights and contrasts C depend on the
    states' probabilities alone, and get no gradient.
    """

    def states(self, logits: Tensor, noise: Noise) -> Tensor:
        """The states that are decoded, all different: ``[S, ..., B, N, K]``."""
        raise NotImplementedError

    def weigh(self, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """The states' log-probabilities ``[S, ..., B]`` -> weights ``[S, ..., B]``, contrasts ``[S, S, ..., B]``."""
        raise NotImplementedError

    @torch.no_grad()
    def weights(self, logits: Tensor, sample: Tensor) -> Tensor:
        """Weight in the loss of each state of a sample ``[S, ..., B, N, K]``: ``[S, ..., B]``, of sum 1."""
        return self.weigh(log_probabilities(logits, sample))[0].to(logits.dtype)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        with torch.no_grad():
            states = self.states(logits, noise)
            log_q = log_probabilities(logits, states)
            # Where categories are masked there may be fewer states; the first stands for what cannot be, with weight 0.
            sample = torch.where((log_q > -MASKED / 2)[..., None, None], states, states[:1])
        losses = objective(sample)
        with torch.no_grad():
            weights, contrasts = self.weigh(log_q)
            signal = (contrasts * losses).sum(1).to(losses.dtype)
        loss = (weights.to(losses.dtype) * losses).sum(0)
        score = (signal * log_prob(logits, sample)).sum(0)
        return Estimate(with_gradient_of(loss, score), loss.new_zeros(loss.shape[:-1]), sample)


def centred(weights: Tensor, means: Tensor) -> Tensor:
    """Contrasts of ``w_s (f(s) - sum_t m_st f(t))``: from ``[S, ...]`` and ``[S, S, ...]``, ``[S, S, ...]``."""
    own = torch.eye(len(weights), dtype=weights.dtype, device=weights.device)
    return weights.unsqueeze(1) * (own.view(*own.shape, *[1] * (weights.dim() - 1)) - means)


def log_probabilities(logits: Tensor, sample: Tensor) -> Tensor:
    """``log q(s)`` of states ``[S, ..., B, N, K]``, in double precision for what ``log_rest`` takes off 1."""
    return log_prob(logits.double(), sample.double())


def log_rest(log_q: Tensor) -> Tensor:
    """Log-probability of all other states than those with ``log q`` ``[S, ...]``: ``[...]``."""
    return log_complement(log_q.logsumexp(0).clamp_max(0))
