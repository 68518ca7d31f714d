"""ReinMax with a control variate: its mean, with less variance.

D. Wang, T. D. Bui: Beyond ReinMax: Low-Variance Gradient Estimators for Discrete Latent Variables. 2026, arXiv
2603.08257, have the idea, and a Rao-Blackwellisation. This is not their ReinMax-CV, whose equations were not at hand:
the control variate here is derived in what follows, and its mean is exact.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from discrete_vae.categorical import jacobian_product, softmax
from discrete_vae.noise import Noise
from discrete_vae.strategies.base import (
    Claim,
    Estimate,
    Networks,
    Objective,
    Strategy,
    only_gradient,
    per_member,
    register_hyperparameter,
)
from discrete_vae.strategies.muprop import differentiated
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


class ReinMaxControlVariate(Strategy):
    """``R(g) - eta (R(c) - E[R(c)])`` with ReinMax' pull R, the gradient g, and c that at the mean sample.

    eta descends the logarithm of the estimate's second moment, so that what c cannot foretell does no harm.
    """

    claim = Claim("Liu et al. 2023; Wang and Bui 2026", unbiased=False, relaxed=False, evaluations=2)
    Options = TemperatureOptions
    temperature: Tensor

    def __init__(self, temperature: float | Tensor = 1.0, members: int | None = None) -> None:
        super().__init__()
        register_hyperparameter(self, "temperature", temperature)
        self.weight = nn.Parameter(torch.full(() if members is None else (members,), 0.5))

    @classmethod
    def build(cls, options: TemperatureOptions, networks: Networks) -> Self:
        return cls(members=networks.members)

    def forward(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample, own = draw(logits, noise), logits.detach()
        temperature = per_member(self.temperature, logits)
        with torch.enable_grad():
            at = sample.detach().requires_grad_()
            loss = objective(at)
            (gradient,) = torch.autograd.grad(loss.sum(), at, retain_graph=True)
        _, guess = differentiated(objective, softmax(own))
        away = second_order_pull(own, sample, guess, temperature) - mean_pull(own, guess, temperature)
        pull = second_order_pull(own, sample, gradient, temperature) - per_member(self.weight, own) * away
        moment = pull.square().sum((-1, -2)).mean(-1)
        auxiliary = moment.clamp_min(torch.finfo(moment.dtype).tiny).log()
        return Estimate(loss + only_gradient(logits, pull.detach(), loss.dim()), auxiliary, sample)
