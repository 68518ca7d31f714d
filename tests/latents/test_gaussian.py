"""The Gaussian family against torch.distributions."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import gradient_error, sampled_gradients
from discrete_vae.latents.gaussian import Gaussian
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import GaussianReparameterisation, Objective

FAMILY = Gaussian(3)
PARAMETERS = torch.randn(4, 3, 2, generator=seeded(0), dtype=torch.float64)
POSTERIOR = Normal(PARAMETERS[..., 0], (PARAMETERS[..., 1] / 2).exp())
PRIOR = Normal(torch.zeros(4, 3, dtype=torch.float64), 1.0)


def test_kl_is_that_of_torch_distributions() -> None:
    torch.testing.assert_close(FAMILY.kl(PARAMETERS), kl_divergence(POSTERIOR, PRIOR))
    assert FAMILY.kl(torch.zeros(3, 2)).equal(torch.zeros(3))


def test_log_ratio_is_prior_over_posterior() -> None:
    sample = FAMILY.sample(PARAMETERS, Noise([seeded(1)]), samples=5)
    value = sample.squeeze(-1)
    expected = (PRIOR.log_prob(value) - POSTERIOR.log_prob(value)).sum(-1)
    assert expected.shape == (5, 4)
    torch.testing.assert_close(FAMILY.log_ratio(PARAMETERS, sample), expected)


def test_samples_have_the_moments_of_the_posterior() -> None:
    """1e5 samples of 12 elements: mean and variance within 5 standard errors (false alarm 24 x 6e-7)."""
    count = 100_000
    sample = FAMILY.sample(PARAMETERS, Noise([seeded(2)]), samples=count).squeeze(-1)
    assert sample.shape == (count, 4, 3)
    assert ((sample.mean(0) - POSTERIOR.mean).abs() < 5 * POSTERIOR.stddev / math.sqrt(count)).all()
    assert ((sample.var(0) / POSTERIOR.variance - 1).abs() < 5 * math.sqrt(2 / count)).all()
    # Elements are independent of each other: 66 correlations, each N(0, 1 / count).
    correlation = torch.corrcoef(sample.flatten(1).T) - torch.eye(12)
    assert correlation.abs().max() < 5.5 / math.sqrt(count)


def test_population_member_samples_what_it_would_alone() -> None:
    together = FAMILY.sample(PARAMETERS.expand(2, 4, 3, 2), Noise([seeded(5), seeded(6)]), samples=7)
    assert together.shape == (2, 7, 4, 3, 1)
    for member, seed in enumerate((5, 6)):
        alone = FAMILY.sample(PARAMETERS[None], Noise([seeded(seed)]), samples=7)
        assert together[member].equal(alone[0])


def test_prior_samples_are_standard_normal() -> None:
    sample = FAMILY.prior_sample(100_000, Noise([seeded(3)])).squeeze(-1)
    assert sample.shape == (100_000, 3)
    # 5 standard errors: sqrt(1 / n) = 0.0032 of a mean, sqrt(2 / n) = 0.0045 of a variance.
    assert sample.mean(0).abs().max() < 5 * 0.0032
    assert (sample.var(0) - 1).abs().max() < 5 * 0.0045


def test_mean_and_undefined_code_entropy() -> None:
    mean = FAMILY.mean(PARAMETERS)
    assert mean.equal(PARAMETERS[..., :1])
    assert mean.shape[-2:] == FAMILY.sample_shape
    assert FAMILY.code_entropy(mean).isnan().all()
    assert FAMILY.code_entropy(mean).shape == (4,)


def test_reparameterised_gradient_of_a_quadratic_is_unbiased() -> None:
    """E[(z - c)^2] = (mean - c)^2 + sigma^2, so its gradient is 2 (mean - c) and, in the log-variance, sigma^2.

    2e5 draws, 24 elements: beyond 5.5 standard errors by chance in 1e-6. The power is shown on a wrong closed form.
    """
    centre = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    quadratic = Objective(decode=lambda z: z.squeeze(-1) - centre, loss=lambda out: out.square().sum(-1))
    exact = torch.stack([2 * (POSTERIOR.mean - centre), POSTERIOR.variance], -1)
    draws = sampled_gradients(GaussianReparameterisation(), PARAMETERS, quadratic, 200_000, Noise([seeded(4)]))
    assert gradient_error(draws, exact).z_score < 5.5
    wrong = torch.stack([exact[..., 0], 2 * exact[..., 1]], -1)
    assert gradient_error(draws, wrong).z_score > 50


@pytest.mark.parametrize("parameters", [1, 3])
def test_other_than_two_parameters_a_variable_are_refused(parameters) -> None:
    with pytest.raises(InputError, match=f"a normal variable has {parameters} parameters; give two"):
        GaussianReparameterisation().estimate(torch.zeros(2, 3, parameters), lambda z: z.sum((-1, -2)))
