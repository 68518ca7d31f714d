"""REBAR: the score function with a relaxed control variate, which learns to lower the variance.

G. Tucker, A. Mnih, C. J. Maddison, D. Lawson, J. Sohl-Dickstein: REBAR: Low-variance, unbiased gradient estimates for
discrete latent variable models. NeurIPS 2017, arXiv 1703.07370.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from discrete_vae.errors import InputError, check_types
from discrete_vae.latents.categorical import hard_sample, log_prob, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import differentiable_for_learning, only_gradient
from discrete_vae.strategies.base import Claim, Estimate, NetworkFactory, Strategy
from discrete_vae.strategies.gumbel_rao import perturbed_given
from discrete_vae.strategies.hyperparameters import hyperparameter, per_member
from discrete_vae.strategies.objective import Objective, one_prediction


@dataclass(frozen=True)
class RebarOptions:
    """Hyper-parameters of REBAR: initial values of what is learned.

    Raises ``InputError`` for a temperature that is not above 0.
    """

    temperature: float = 0.5
    """Temperature of the relaxed samples at the start."""
    weight: float = 1.0
    """eta, the weight of the control variate at the start."""
    coupled: bool = False
    """Whether the noise of the conditional sample is computed from the sample's own (the paper's appendix G.2) instead
    of drawn anew. One draw need not vary less then: in toy problems the variance was from 15% smaller to 21% larger."""

    def __post_init__(self) -> None:
        check_types(self)
        if not 0 < self.temperature < math.inf:
            raise InputError(f"temperature is {self.temperature}; give a finite number above 0")


def coupled_noise(logits: Tensor, sample: Tensor, gumbel: Tensor) -> Tensor:
    """Noise with which ``perturbed_given`` gives ``logits + gumbel`` again: ``[..., N, K]``, without a gradient.

    It is standard Gumbel noise and independent of the sample, since it inverts the conditional distribution's
    reparameterisation (Tucker et al. 2017, appendix G.2, for binary variables). The taken category i has
    ``E_i = exp(log Z - g_i - l_i)``, every other ``E_j = (exp(-g_j - l_j) - exp(-g_i - l_i)) exp(l_j)``.
    """
    perturbed = logits + gumbel
    top = (perturbed * sample).sum(-1, keepdim=True)
    gap = (top - perturbed).clamp_min(torch.finfo(logits.dtype).eps)  # 0 only for the taken one, or by rounding
    others = gumbel - torch.log(-torch.expm1(-gap))
    return torch.where(sample > 0, top - logits.logsumexp(-1, keepdim=True), others)


class Rebar(Strategy):
    """``(f(z) - c(z~)) grad log q(z) + grad c(z') - grad c(z~)`` with ``c(l) = eta f(softmax(l / tau))``.

    z' are the perturbed logits, z their argmax, z~ perturbed logits redrawn given z. Where ``coupled``, z~ is z' itself
    as a function of the logits and of noise that is independent of z. Temperature and eta descend the gradient of the
    estimate's variance. Raises ``InputError`` for a temperature that is not above 0.
    """

    claim = Claim("Tucker et al. 2017", unbiased=True, relaxed=False, evaluations=3)
    differentiates = True
    Options = RebarOptions
    ignores = frozenset()

    def __init__(
        self,
        temperature: float = 0.5,
        weight: float = 1.0,
        critic: nn.Module | None = None,
        members: int | None = None,
        coupled: bool = False,
    ) -> None:
        super().__init__()
        RebarOptions(temperature, weight)
        shape = () if members is None else (members,)
        self.log_temperature = nn.Parameter(torch.full(shape, temperature).log())
        self.weight = nn.Parameter(torch.full(shape, weight))
        self.critic, self.members, self.coupled = critic, members, coupled

    @property
    def temperature(self) -> Tensor:
        """Temperature of the relaxed samples, ``[]`` or ``[P]``; it is learned, from the value that was set last."""
        return self.log_temperature.exp()

    @temperature.setter
    def temperature(self, value: float | Tensor) -> None:
        with torch.no_grad():
            self.log_temperature.copy_(hyperparameter("temperature", value).log())

    @classmethod
    def build(cls, options: RebarOptions, networks: NetworkFactory) -> Self:
        return cls(options.temperature, options.weight, members=networks.members, coupled=options.coupled)

    def control(self, perturbed: Tensor, objective: Objective, dtype: torch.dtype) -> Tensor:
        """The control variate at perturbed logits ``[..., B, N, K]``: ``[..., B]``; ``dtype`` is the objective's."""
        relaxed = softmax(perturbed / per_member(self.temperature, perturbed))
        value = objective(relaxed.to(dtype))
        value = per_member(self.weight, value) * value
        if self.critic is None:
            return value
        weights = next(self.critic.parameters(), relaxed)  # of a model in half precision, or in double
        codes = objective.split(relaxed)  # of a bound, the sum over its samples
        seen = self.critic(codes.flatten(-2).to(weights.dtype))
        return value + objective.summed(one_prediction(seen, codes[..., 0, 0], "critic"))

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        work = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
        gumbel = noise.gumbel(work.shape, work.dtype)
        sample = hard_sample(logits, gumbel)
        again = (
            coupled_noise(work, sample.to(work.dtype), gumbel) if self.coupled else noise.gumbel(work.shape, work.dtype)
        )
        loss = objective(sample)
        own = list(self.parameters())
        with torch.enable_grad():
            at = work.requires_grad_()
            one = sample.to(at.dtype)
            free, given = at + gumbel, perturbed_given(at, one, again)
            with differentiable_for_learning():  # temperature and eta descend the slope of the path's gradient
                control, conditional = (self.control(each, objective, logits.dtype) for each in (free, given))
            (score,) = torch.autograd.grad(log_prob(at, one).sum(), at)
            (path,) = torch.autograd.grad((control - conditional).sum(), at, create_graph=True, allow_unused=True)
            if path is None:
                raise InputError(
                    "REBAR needs an objective that has a gradient in a relaxed sample; take a score function"
                )
            gap = (loss.detach() - conditional).unsqueeze(-1).unsqueeze(-1)
            pull = gap * score + path
            # The estimate's mean does not depend on what is learned, so its square has the variance's gradient.
            square = pull.square().sum((-1, -2)).mean(-1)
            slopes = torch.autograd.grad(square.sum(), own)
        pull = pull.detach().to(logits.dtype)
        strategy_loss = square.detach()
        for parameter, slope in zip(own, slopes, strict=True):  # in value 0, with these slopes
            linear = (parameter - parameter.detach()) * slope.detach()
            if self.members is None:
                strategy_loss = strategy_loss + linear.sum() / square.numel()
            else:
                strategy_loss = strategy_loss + linear.view(self.members, -1).sum(-1)
        return Estimate(loss + only_gradient(logits, pull, loss.dim()), strategy_loss, sample)
