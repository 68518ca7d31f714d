"""ReinMax with the gradient at the mean sample as control variate: its mean, and less variance where that helps.

Derived here from Liu et al. 2023. It is not the ReinMax-CV of Wang and Bui (2026), for which see ``reinmax_rao``: the
mean of the control variate is known exactly.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from discrete_vae.latents.categorical import jacobian_product, softmax
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies.autograd import only_gradient
from discrete_vae.strategies.base import Claim, Estimate, NetworkFactory, Strategy, register_hyperparameter
from discrete_vae.strategies.hyperparameters import per_member
from discrete_vae.strategies.muprop import differentiated, slope
from discrete_vae.strategies.objective import Objective
from discrete_vae.strategies.pathwise import TemperatureOptions, draw
from discrete_vae.strategies.reinmax import second_order_pull


def mean_pull(logits: Tensor, vector: Tensor, temperature: Tensor) -> Tensor:
    """The mean over the sample of ReinMax' pull of a vector ``[..., N, K]`` that does not depend on it.

    With a the probabilities at the temperature, ``E[q] = (a + pi) / 2`` and ``E[q q^T] = (a a^T + a pi^T + pi a^T +
    diag(pi)) / 4``; at temperature 1 it is ``J(pi) v``.
    """
    tempered, probabilities = softmax(logits / temperature), softmax(logits)
    inner, outer = ((each * vector).sum(-1, keepdim=True) for each in (tempered, probabilities))
    square = tempered * (inner + outer) + probabilities * (inner + vector)
    mean = (tempered + probabilities) / 2 * vector - square / 4
    return 2 * mean - jacobian_product(probabilities, vector) / 2


class ReinMaxMeanControl(Strategy):
    """``R(g) - eta (R(c) - E[R(c)])`` with ReinMax' pull R, the gradient g, and c that at the mean sample.

    eta starts at 0, which is ReinMax, and descends the logarithm of the estimate's second moment, so that it becomes
    small where c tells little about g. Layers behind are passed by their mean field for c.
    """

    claim = Claim("Liu et al. 2023", unbiased=False, relaxed=False, evaluations=2)
    differentiates = True
    Options = TemperatureOptions
    ignores = frozenset()
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 1.0, members: int | None = None) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)
        self.weight = nn.Parameter(torch.zeros(() if members is None else (members,)))

    @classmethod
    def build(cls, options: TemperatureOptions, networks: NetworkFactory) -> Self:
        return cls(members=networks.members)

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample, own = draw(logits, noise), logits.detach()
        temperature = per_member(self.temperature, logits)
        with torch.enable_grad():
            at = sample.detach().requires_grad_()
            loss = objective(at)
            gradient = slope(loss, at, type(self).__name__, retain=True)
        _, guess = differentiated(objective, softmax(own), type(self).__name__)
        away = second_order_pull(own, sample, guess, temperature) - mean_pull(own, guess, temperature)
        pull = second_order_pull(own, sample, gradient, temperature) - per_member(self.weight, own) * away
        moment = pull.square().sum((-1, -2)).mean(-1)
        strategy_loss = moment.clamp_min(torch.finfo(moment.dtype).tiny).log()
        return Estimate(loss + only_gradient(logits, pull.detach(), loss.dim()), strategy_loss, sample)
