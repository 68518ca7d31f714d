"""The control variate keeps ReinMax' mean, element by element, and lowers its variance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from discrete_vae.evaluation.gradients import sampled_gradients
from discrete_vae.latents.categorical import enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import Objective, ReinMax, ReinMaxMeanControl
from discrete_vae.strategies.reinmax import second_order_pull
from discrete_vae.strategies.reinmax_mean_control import mean_pull

LATENTS, CATEGORIES, DRAWS = 2, 4, 40_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


LOGITS, WEIGHT = normal("logits", 1, LATENTS, CATEGORIES), normal("weight", LATENTS * CATEGORIES, 6)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.5])
def test_the_mean_of_the_pull_is_that_over_all_samples(temperature: float) -> None:
    at, vector = torch.tensor(temperature, dtype=torch.float64), normal("vector", LATENTS, CATEGORIES)
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64)
    pulls = torch.stack([second_order_pull(LOGITS[0], state, vector, at) for state in states])
    expected = (log_prob(LOGITS, states).exp()[:, None, None] * pulls).sum(0)
    torch.testing.assert_close(mean_pull(LOGITS[0], vector, at), expected)


@pytest.mark.parametrize(("temperature", "curved"), [(1.0, 0.05), (1.5, 0.05), (1.0, 2.0)])
def test_same_mean_and_less_variance(temperature: float, curved: float) -> None:
    """5 standard errors of the difference in 8 elements fail by chance with probability 5e-6.

    Where the objective bends, the gradient at the mean says little, and the weight that is learned is small.
    """
    objective = Objective(
        lambda z: (z.flatten(-2) @ WEIGHT * curved).tanh(), lambda output: (output - 0.3).square().sum(-1)
    )
    strategy = ReinMaxMeanControl(temperature).double()
    start = sampled_gradients(strategy, LOGITS, objective, 50, Noise([seeded(3)]))
    torch.testing.assert_close(
        start, sampled_gradients(ReinMax(temperature).double(), LOGITS, objective, 50, Noise([seeded(3)]))
    )
    descent = torch.optim.Adam(strategy.parameters(), 0.02)
    logits, noise = LOGITS.expand(100, -1, -1), Noise([seeded(2)])
    for _ in range(200):
        descent.zero_grad()
        strategy.estimate(logits, objective, noise).strategy_loss.backward()
        descent.step()
    plain, controlled = (
        sampled_gradients(each, LOGITS, objective, DRAWS, Noise([seeded(1, type(each).__name__)]))
        for each in (ReinMax(temperature).double(), strategy)
    )
    error = ((plain.var(0) + controlled.var(0)) / DRAWS).sqrt()
    assert ((plain.mean(0) - controlled.mean(0)).abs() < 5 * error).all()
    share = float(controlled.var(0).sum() / plain.var(0).sum())
    assert share < (0.5 if curved < 1 else 1.0)
    if curved > 1:
        assert float(strategy.weight.detach()) < 0.4
