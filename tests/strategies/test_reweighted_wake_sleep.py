"""Reweighted wake-sleep in expectation: the self-normalised estimate's mean, and its way to KL(p(z | x) || q)."""

import pytest
import torch
from torch import Tensor

from discrete_vae.conformance.figures import measured
from discrete_vae.conformance.problem import BATCH, BINARY, TERNARY, Problem
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.strategies import STRATEGIES, ReweightedWakeSleep


def exact_mean(problem: Problem, samples: int) -> Tensor:
    """Mean of ``-sum_s w~_s grad log q(z_s)`` over every tuple of states, by its probability under q."""
    logits = problem.logits.clone().requires_grad_()
    states = enumerate_states(*problem.family.sample_shape, torch.float64)[:, None].expand(-1, BATCH, -1, -1)
    log_q = log_prob(logits, states)  # [states, B]
    weights = (-problem.objective()(states) - log_q).exp().detach()  # p(x, z) / q(z), but for a constant
    tuples = torch.cartesian_prod(*[torch.arange(len(states))] * samples)  # [tuples, S]
    normalised = weights[tuples] / weights[tuples].sum(1, keepdim=True)
    probability = log_q.exp().detach()[tuples].prod(1)
    each = (probability * (normalised * log_q[tuples]).sum(1)).sum()
    return -torch.autograd.grad(each, logits)[0]


@pytest.mark.parametrize("shape", [TERNARY, BINARY])
@pytest.mark.parametrize("samples", [2, 3])
def test_mean_is_that_of_the_self_normalised_weights(shape, samples: int) -> None:
    """5.5 standard errors in 12 elements; an error of a tenth of the largest element would fail."""
    problem = Problem(Categorical(*shape))
    error, _, detectable = measured(ReweightedWakeSleep(samples), problem, exact_mean(problem, samples))
    assert error.z_score < 5.5
    assert detectable < 0.2


@pytest.mark.parametrize("shape", [TERNARY, BINARY])
def test_bias_falls_with_the_samples(shape) -> None:
    """Towards the gradient of the inclusive KL, which has no part of the weights' normalisation."""
    problem = Problem(Categorical(*shape))
    exact = problem.exact_inclusive_gradient()
    bias = [float((exact_mean(problem, samples) - exact).norm() / exact.norm()) for samples in (2, 3, 4, 5)]
    assert bias == sorted(bias, reverse=True)
    assert bias[-1] < 0.7 * bias[0]


def test_one_sample_has_nothing_to_be_weighed_against() -> None:
    with pytest.raises(InputError, match="draws is 1; give at least 2"):
        ReweightedWakeSleep(1)
    with pytest.raises(InputError, match="draws is 1; give at least 2"):
        STRATEGIES["reweighted-wake-sleep"].Options(draws=1)
