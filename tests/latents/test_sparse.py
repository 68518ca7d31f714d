"""The sparse family: the top-k sparsemax of joint states, against sums over all of them."""

import math

import pytest
import torch
from torch import Tensor

from discrete_vae.latents.categorical import enumerate_states
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.latents.sparse import Sparse, sparsemax

FAMILIES = [Sparse(2, 3), Sparse(3, 3), Sparse(4, 2, most=3), Sparse(1, 5), Sparse(3, 4, most=1)]
families = pytest.mark.parametrize("family", FAMILIES, ids=str)


def parameters_of(family: Sparse, scale: float = 0.3) -> Tensor:
    return scale * torch.randn(6, *family.parameter_shape, generator=seeded(0), dtype=torch.float64)


def probabilities(family: Sparse, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """All states ``[K^N, N, K]``, and their probabilities ``[B, K^N]`` by the condition that makes them optimal."""
    states = enumerate_states(*family.parameter_shape, torch.float64)
    scores = (states * parameters.unsqueeze(1)).sum((-1, -2))
    table = torch.zeros_like(scores)
    for row, own in zip(table, scores, strict=True):
        highest = own.argsort(descending=True)[: family.most]
        for size in range(1, len(highest) + 1):
            threshold = (own[highest[:size]].sum() - 1) / size
            outside = own[highest[size:]]
            if (own[highest[:size]] > threshold).all() and (outside <= threshold).all():
                row[highest[:size]] = own[highest[:size]] - threshold
    return states, table


@pytest.mark.parametrize("scale", [0.01, 1.0, 5.0])
def test_sparsemax_is_the_nearest_point_of_the_simplex(scale: float) -> None:
    """No other point of it is nearer: the angle to each corner is not acute."""
    scores = scale * torch.randn(7, 50, generator=seeded(1), dtype=torch.float64)
    found = sparsemax(scores)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(0), torch.ones(50, dtype=torch.float64))
    towards = (scores - found).unsqueeze(1) * (torch.eye(7, dtype=torch.float64).unsqueeze(-1) - found.unsqueeze(1))
    assert (towards.sum(0) < 1e-12).all()
    assert torch.autograd.gradcheck(sparsemax, scores.requires_grad_())


@families
def test_probabilities_mean_and_divergence_are_those_of_all_states(family: Sparse) -> None:
    parameters = parameters_of(family)
    states, table = probabilities(family, parameters)
    torch.testing.assert_close(table.sum(-1), torch.ones(6, dtype=torch.float64))
    found = family.probability(parameters, states.unsqueeze(1).expand(-1, 6, -1, -1))
    torch.testing.assert_close(found.T, table)
    torch.testing.assert_close(family.mean(parameters), torch.einsum("bs,snk->bnk", table, states))
    ratios = (table * (table.clamp_min(1e-300) * len(states)).log()).sum(-1)
    torch.testing.assert_close(family.kl(parameters).sum(-1), ratios)
    assert (family.kl(parameters) >= 0).all()
    assert (family.kl(parameters).sum(-1) >= math.log(len(states)) - math.log(family.most) - 1e-9).all()


@families
def test_each_variables_divergence_is_given_those_before(family: Sparse) -> None:
    parameters = parameters_of(family)
    states, table = probabilities(family, parameters)
    digits = states.argmax(-1)
    for n in range(family.latents):

        def entropy(variables: int) -> Tensor:
            _, group = digits[:, :variables].unique(dim=0, return_inverse=True)
            mass = torch.zeros(6, len(states), dtype=torch.float64).index_add_(1, group, table)
            return -torch.xlogy(mass, mass).sum(-1)

        given = entropy(n + 1) - (entropy(n) if n else 0)
        torch.testing.assert_close(family.kl(parameters)[:, n], math.log(family.categories) - given)


@families
def test_samples_are_as_often_as_their_probability(family: Sparse) -> None:
    """Within 5 standard errors, and only those of the support."""
    parameters, draws = parameters_of(family), 40_000
    sample = family.sample(parameters.unsqueeze(0), Noise([seeded(1)]), draws)
    assert sample.shape == (1, draws, 6, *family.sample_shape)
    states, table = probabilities(family, parameters)
    weight = family.categories ** torch.arange(family.latents - 1, -1, -1)
    place = (sample.argmax(-1) * weight).sum(-1).squeeze(0)
    for image in range(6):
        counts = torch.bincount(place[:, image], minlength=len(states)) / draws
        error = 5 * (table[image] * (1 - table[image]) / draws).sqrt() + 1e-12
        assert ((counts - table[image]).abs() <= error).all()
    ratio = family.log_ratio(parameters.unsqueeze(0).unsqueeze(1), sample)
    assert ratio.isfinite().all()
    torch.testing.assert_close(-ratio.mean(1)[0], family.kl(parameters).sum(-1), rtol=0, atol=0.03)


@families
def test_the_divergence_has_a_gradient_everywhere(family: Sparse) -> None:
    """Also where logits tie, are masked or far apart; by differences where they are none of these."""
    assert torch.autograd.gradcheck(family.kl, parameters_of(family).requires_grad_())
    masked = torch.zeros(2, *family.parameter_shape)
    masked[1, :, 0] = -1e9
    for parameters in (torch.zeros(1, *family.parameter_shape), masked, 300 * parameters_of(family).float()):
        parameters.requires_grad_()
        (slope,) = torch.autograd.grad(family.kl(parameters).sum(), parameters)
        assert slope.isfinite().all()


def test_the_prior_is_uniform() -> None:
    drawn = Sparse(2, 3).prior_sample(30_000, Noise([seeded(2)]))
    assert drawn.shape == (30_000, 2, 3)
    assert (drawn.mean(0) - 1 / 3).abs().max() < 5 * math.sqrt(2 / 9 / 30_000)
