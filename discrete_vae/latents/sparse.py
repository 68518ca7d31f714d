"""A sparse distribution of N K-way variables: the top-k sparsemax of their joint states. Everything is in nats.

A. F. T. Martins, R. F. Astudillo: From Softmax to Sparsemax. ICML 2016, arXiv 1602.02068.
G. M. Correia, V. Niculae, W. Aziz, A. F. T. Martins: Efficient Marginalization of Discrete and Structured Latent
Variables via Sparsity. NeurIPS 2020, arXiv 2007.01919.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.noise import Noise
from discrete_vae.latents.states import likeliest_states


def sparsemax(scores: Tensor) -> Tensor:
    """Euclidean projection of scores ``[S, ...]`` onto the simplex along the first dimension, differentiable.

    ``max(0, z_s - tau)`` with tau such that they sum to 1 (Martins and Astudillo 2016, algorithm 1); NaN where a score
    is.
    """
    scores = scores - scores.detach().amax(0)
    with torch.no_grad():
        ordered = scores.sort(0, descending=True).values
        count = torch.arange(1, len(scores) + 1, dtype=scores.dtype, device=scores.device)
        count = count.view(-1, *[1] * (scores.dim() - 1))
        size = (1 + count * ordered > ordered.cumsum(0)).sum(0)
        support = scores >= ordered.gather(0, (size.unsqueeze(0) - 1).clamp_min(0))  # NaN has a size of 0
    threshold = (torch.where(support, scores, 0).sum(0) - 1) / support.sum(0)
    return torch.where(support, scores - threshold, 0).clamp_min(0) + (threshold - threshold).detach()


@dataclass(frozen=True)
class Sparse:
    """The family of N K-way variables, not independent, of which a few joint states have a probability above 0.

    Parameters are logits ``[..., N, K]``, the prior is uniform. A state's score is the sum of its N logits, and the
    probabilities are the sparsemax of the ``most`` highest scores. Its KL is at least ``N log K - log most``, so that
    it suits few variables.
    """

    latents: int
    categories: int
    most: int = 16
    """States at most that have a probability above 0."""

    @property
    def parameter_shape(self) -> tuple[int, int]:
        """Shape of one observation's parameters, which the encoder puts out."""
        return self.latents, self.categories

    sample_shape = parameter_shape

    def support(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The highest states, one-hot ``[S, ..., B, N, K]``, and their probabilities ``[S, ..., B]``, some 0."""
        with torch.no_grad():
            states = likeliest_states(parameters, min(self.most, self.categories**self.latents))
        # Less the first state's score, which changes no probability: a variable with one category in all states then
        # has a gradient of exactly 0, instead of rounding, which Adam would take for a signal.
        return states, sparsemax(((states - states[:1]) * parameters).sum((-1, -2)))

    def sample(self, parameters: Tensor, noise: Noise, samples: int = 1) -> Tensor:
        """Hard one-hot samples of each observation: ``[..., B, N, K] -> [..., S, B, N, K]``."""
        states, probabilities = self.support(parameters)
        cumulative = probabilities.movedim(0, -1).cumsum(-1).unsqueeze(-3)  # [..., 1, B, states]
        *population, observations, _, _ = parameters.shape
        uniform = noise.on(parameters.device).uniform((*population, samples, observations, 1), cumulative.dtype)
        chosen = (uniform * cumulative[..., -1:] >= cumulative[..., :-1]).sum(-1)[..., None, None]  # [..., S, B, 1, 1]
        return states.movedim(0, -4).gather(-4, chosen.expand(*chosen.shape[:-2], *self.sample_shape))

    def prior_sample(self, count: int, noise: Noise) -> Tensor:
        """``[count, N, K]`` drawn from the uniform prior."""
        return Categorical(self.latents, self.categories).prior_sample(count, noise)

    def kl(self, parameters: Tensor) -> Tensor:
        """The share of each variable in KL(q || prior), given those before it: ``[..., N]``, exact.

        ``log K - H(z_n | z_1, ..., z_{n-1})``; their sum is ``N log K - H(z)``.
        """
        states, probabilities = self.support(parameters)
        taken = states.argmax(-1)
        alike = (taken.unsqueeze(0) == taken.unsqueeze(1)).cumprod(-1)  # [S, S, ..., B, N]: up to n
        mass = (alike * probabilities.unsqueeze(-1)).sum(1)  # of all states that start like this one
        own = probabilities.unsqueeze(-1)
        entropy = -(own * torch.where(own > 0, mass, 1).log()).sum(0)  # of the first n
        before = torch.cat([torch.zeros_like(entropy[..., :1]), entropy[..., :-1]], -1)
        return math.log(self.categories) - (entropy - before)

    def probability(self, parameters: Tensor, sample: Tensor) -> Tensor:
        """q(z | x) of one-hot samples ``[..., N, K]``: ``[...]``, often 0."""
        states, probabilities = self.support(parameters)
        alike = states.argmax(-1).movedim(0, -2) == sample.argmax(-1).unsqueeze(-2)  # [..., B, states, N]
        return (alike.all(-1) * probabilities.movedim(0, -1)).sum(-1)

    def log_ratio(self, parameters: Tensor, sample: Tensor) -> Tensor:
        """log p(z) - log q(z | x), the latent part of an importance weight: ``[...]``; inf where q(z | x) is 0."""
        return -self.latents * math.log(self.categories) - self.probability(parameters, sample).log()

    def mean(self, parameters: Tensor) -> Tensor:
        """E_q[z]: ``[..., N, K]``."""
        states, probabilities = self.support(parameters)
        return (states * probabilities[..., None, None]).sum(0)

    def code_entropy(self, mean: Tensor) -> Tensor:
        """Entropy of the variables, each by itself, under the averaged posterior ``[..., N, K]``, summed: ``[...]``."""
        return Categorical(self.latents, self.categories).code_entropy(mean)
