"""ReinMax-Rao beside ReinMax, and why the ReinMax-CV of the same paper is left out.

By enumeration of the sample; over the conditional Gumbel noise by many draws.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from discrete_vae.evaluation.gradients import exact_gradient
from discrete_vae.latents.categorical import enumerate_states, jacobian_product, log_prob, softmax
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import Objective, ReinMaxRao
from discrete_vae.strategies.gumbel_rao import perturbed_given
from discrete_vae.strategies.reinmax import second_order_pull

LATENTS, CATEGORIES, DRAWS = 2, 4, 4_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


LOGITS, WEIGHT = normal("logits", 1, LATENTS, CATEGORIES), normal("weight", LATENTS * CATEGORIES, 6)
STATES = enumerate_states(LATENTS, CATEGORIES, torch.float64)
WEIGHTS = log_prob(LOGITS, STATES).exp()[:, None, None]
QUADRATIC = Objective(lambda z: z.flatten(-2) @ WEIGHT, lambda output: (output - 0.3).square().sum(-1))
EXACT = exact_gradient(LOGITS, QUADRATIC)[0]


def slopes() -> Tensor:
    at = STATES.clone().requires_grad_()
    return torch.autograd.grad(QUADRATIC(at).sum(), at)[0]


GRADIENT = slopes()
REINMAX = second_order_pull(LOGITS, STATES, GRADIENT, torch.ones(()))


def figures(pulls: Tensor) -> tuple[float, float]:
    """Bias and standard deviation of one draw, relative to the exact gradient, of pulls ``[draws, states, N, K]``."""
    mean = (WEIGHTS * pulls.mean(0)).sum(0)
    second = (WEIGHTS * pulls.square().mean(0)).sum()
    deviation = (second - mean.square().sum()).clamp_min(0).sqrt()
    return float((mean - EXACT).norm() / EXACT.norm()), float(deviation / EXACT.norm())


def gumbel(stream: str) -> Tensor:
    return Noise([seeded(0, stream)]).gumbel((DRAWS, *STATES.shape), torch.float64)


def midpoint() -> Tensor:
    return ((softmax(LOGITS) + STATES) / 2).log()


def relaxed_gradient(perturbed: Tensor, temperature: float) -> Tensor:
    return jacobian_product(softmax(perturbed / temperature), GRADIENT) / temperature


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_it_varies_less_than_reinmax_and_gives_up_the_second_order(temperature: float) -> None:
    strategy = ReinMaxRao(temperature, draws=DRAWS).double()
    logits = LOGITS.expand_as(STATES).clone().requires_grad_()
    surrogate = strategy.surrogate(logits, STATES, Noise([seeded(1)]))
    pull = torch.autograd.grad(surrogate, logits, GRADIENT.expand_as(surrogate))[0][None]
    bias, deviation = figures(pull)
    plain_bias, plain_deviation = figures(REINMAX[None])
    assert plain_bias < 1e-9
    assert bias > 0.2
    assert deviation < 0.95 * plain_deviation


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_published_control_variate_moves_the_mean(temperature: float) -> None:
    """Gumbel-Rao less Gumbel-Softmax at the midpoint: each is given the sample, but of other distributions."""
    given_sample = perturbed_given(midpoint().expand(DRAWS, -1, -1, -1), STATES.expand(DRAWS, -1, -1, -1), gumbel("a"))
    own = perturbed_given(LOGITS.expand(DRAWS, *STATES.shape), STATES.expand(DRAWS, -1, -1, -1), gumbel("b")) - LOGITS
    rao, single = relaxed_gradient(given_sample, temperature).mean(0), relaxed_gradient(midpoint() + own, temperature)
    published = rao - single
    given = published.mean(0).norm(dim=(-1, -2)) / GRADIENT.norm(dim=(-1, -2))
    error = (published.var(0).sum((-1, -2)) / DRAWS).sqrt() / GRADIENT.norm(dim=(-1, -2))
    assert given.max() > 0.1
    assert given.max() > 20 * error[given.argmax()]
    assert figures(REINMAX + published / 2)[0] > 0.08, "a bias where ReinMax has none"
    sound = single.mean(0) - single
    bias, deviation = figures(REINMAX + sound / 2)
    assert bias < 1e-9
    assert deviation > figures(REINMAX[None])[1], "and with mean 0 given the sample it only adds variance"
