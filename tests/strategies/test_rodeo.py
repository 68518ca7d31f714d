"""RODEO's mean by enumeration of every tuple of samples, and what its network learns."""

import pytest
import torch
from torch import Tensor

from discrete_vae.conformance.figures import measured
from discrete_vae.conformance.problem import BATCH, BINARY, TERNARY, Problem
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import STRATEGIES, Objective, Rloo, Rodeo, rodeo


@pytest.mark.parametrize("shape", [TERNARY, BINARY])
@pytest.mark.parametrize("draws", [2, 3])
def test_the_mean_over_every_tuple_is_the_exact_gradient(shape, draws: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding, with a network of any weights: the control variates' means are 0."""
    problem = Problem(Categorical(*shape))
    strategy = problem.cast(Rodeo(draws, units=3))
    with torch.no_grad():
        for name, parameter in strategy.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(0, name)))
    states = enumerate_states(*shape, torch.float64)
    tuples = torch.cartesian_prod(*[torch.arange(len(states))] * draws)
    drawn = iter(tuples.T)

    def following(logits: Tensor, noise: Noise) -> Tensor:
        return states[next(drawn)][:, None].expand_as(logits)

    monkeypatch.setattr(rodeo, "draw", following)
    logits = problem.logits.expand(len(tuples), *problem.logits.shape).clone().requires_grad_()
    estimate = strategy.estimate(logits, problem.objective(len(tuples)), problem.noise(0))
    (each,) = torch.autograd.grad(estimate.loss.sum(), logits)
    log_q = log_prob(problem.logits, states[:, None].expand(-1, BATCH, -1, -1))[tuples].sum(1)  # [tuples, B]
    mean = (log_q.exp()[..., None, None] * each).sum(0)
    torch.testing.assert_close(mean, problem.exact_gradient(), rtol=0, atol=1e-10)
    assert each.std(0).max() > 0.1, "a mean of estimates that differ"


def test_the_network_learns_to_lower_the_variance() -> None:
    """By a tenth below RLOO's with as many samples, and without a bias."""
    problem = Problem(Categorical(*TERNARY))
    strategy = problem.cast(Rodeo(units=8))
    optimiser = torch.optim.Adam(strategy.parameters(), 0.02)
    logits = problem.logits.expand(500, *problem.logits.shape)
    for step in range(300):
        estimate = strategy.estimate(logits, problem.objective(500), problem.noise(step + 2))
        optimiser.zero_grad()
        estimate.strategy_loss.mean().backward()
        optimiser.step()
    exact = problem.exact_gradient()
    error, found, _ = measured(strategy, problem, exact, 50_000)
    _, plain, _ = measured(Rloo(2), problem, exact, 50_000)
    assert error.z_score < 5.5
    assert found.spread < 0.9 * plain.spread


def test_what_it_needs() -> None:
    for make in (Rodeo, STRATEGIES["rodeo"].Options):
        with pytest.raises(InputError, match="draws is 1; give at least 2"):
            make(1)
        with pytest.raises(InputError, match="units is 0"):
            make(2, 0)
    box = Objective(lambda z: z, lambda z: z.argmax(-1).sum(-1).double())
    with pytest.raises(InputError, match="gradient in the sample; take rloo"):
        Rodeo().estimate(torch.zeros(1, 2, 3), box, Noise([seeded(0)]))
