"""Likelihoods are distributions: they add up to one, and what they say of themselves agrees with it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import (
    FIRST_LOG_SCALE,
    LEAST_LOG_SCALE,
    LEVELS,
    LIKELIHOODS,
    Bernoulli,
    DiscretisedLogistic,
    FixedGaussian,
    Gaussian,
    Likelihood,
    likelihood,
)

GRID = torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)
DISCRETE = ("bernoulli", "discretised-logistic", "categorical")
FLOOR = -math.log(LEVELS - 1)


def row(name: str) -> Likelihood:
    return likelihood(name, pixel_scale=0.3)


def output(name: str, *shape: int, seed: int = 0) -> Tensor:
    """What a decoder may put out for the last dimension's pixels; some pixels lie far out."""
    numbers = row(name).numbers
    drawn = torch.randn(*shape, numbers, generator=seeded(seed), dtype=torch.float64)
    drawn[..., 0] *= 0.6
    return drawn.flatten(-2)


def values(name: str) -> Tensor:
    """All values of a pixel."""
    return torch.tensor([0.0, 1.0], dtype=torch.float64) if name == "bernoulli" else GRID


def observation(name: str, *shape: int, seed: int = 9) -> Tensor:
    there = values(name)
    return there[torch.randint(len(there), shape, generator=seeded(seed))]


def probabilities(name: str, given: Tensor) -> Tensor:
    """Of every value of a pixel, one pixel an image: ``[B, numbers] -> [B, values]``."""
    there = values(name)
    return (-row(name).nll(given.unsqueeze(1), there.reshape(1, -1, 1))).exp()


def test_every_row_is_tested() -> None:
    assert set(LIKELIHOODS) == {*DISCRETE, "gaussian", "gaussian-fixed"}


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_of_all_values_add_up_to_one(name: str) -> None:
    given = output(name, 40, 1)
    if name == "discretised-logistic":  # locations beyond both ends, and scales from the least to flat ones
        given = torch.cartesian_prod(torch.tensor([-3.0, -0.5, 0.1, 0.5, 2.0]), torch.tensor([-9.0, -5.0, 0.0, 4.0]))
        given = given.double()
    torch.testing.assert_close(probabilities(name, given).sum(-1), torch.ones(len(given), dtype=torch.float64))


@pytest.mark.parametrize("name", ["gaussian", "gaussian-fixed"])
def test_densities_integrate_to_one(name: str) -> None:
    given = output(name, 20, 1)
    places = torch.linspace(-60, 60, 480_001, dtype=torch.float64)
    for each in given:
        density = (-row(name).nll(each, places.unsqueeze(-1))).exp()
        assert torch.trapezoid(density, places).item() == pytest.approx(1, abs=1e-6)


def by_hand(name: str, given: Tensor, seen: Tensor) -> Tensor:
    """The likelihoods once more, by torch.distributions and plain differences of distribution functions."""
    apart = given.unflatten(-1, (seen.shape[-1], -1))
    first, last = apart[..., 0], apart[..., -1]
    if name == "bernoulli":
        return torch.distributions.Bernoulli(logits=first).log_prob(seen)
    if name == "gaussian-fixed":
        return Normal(first, 0.3).log_prob(seen)
    if name == "gaussian":
        return Normal(first, (last + FIRST_LOG_SCALE).clamp_min(FLOOR).exp()).log_prob(seen)
    if name == "categorical":
        return Categorical(logits=apart).log_prob((seen * 255).round())
    scale = (last + FIRST_LOG_SCALE).clamp_min(LEAST_LOG_SCALE).exp()
    sign = torch.where(seen > first + 0.5, -1.0, 1.0)  # the smaller tail, for precision far out
    upper, lower = (sign * (seen + half - first - 0.5) / scale for half in (0.5 / 255, -0.5 / 255))
    upper, lower = torch.where(seen > 0.999, sign * math.inf, upper), torch.where(seen < 0.001, -sign * math.inf, lower)
    return (torch.sigmoid(upper) - torch.sigmoid(lower)).abs().log()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_negative_log_likelihood_is_that_of_a_formula_by_hand(name: str) -> None:
    given, seen = output(name, 3, 4, 6), observation(name, 3, 4, 6)
    seen[0, 0, :2], seen[0, 1, :2] = 0.0, 1.0  # both edges
    torch.testing.assert_close(row(name).nll(given, seen), -by_hand(name, given, seen).sum(-1), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients(name: str) -> None:
    given, seen = output(name, 2, 3, 2).requires_grad_(), observation(name, 1, 3, 2)
    assert torch.autograd.gradcheck(lambda each: 0.3 * row(name).nll(each, seen), given)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_canonical_rows_have_the_residual_for_a_gradient(name: str) -> None:
    given, seen = output(name, 3, 4).requires_grad_(), observation(name, 3, 4)
    (gradient,) = torch.autograd.grad(row(name).nll(given, seen).sum(), given)
    residual = row(name).mean(given).detach() - seen
    assert row(name).canonical == (gradient.shape == residual.shape and torch.allclose(gradient, residual))


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("size", [-1e4, -30.0, 30.0, 1e4])
def test_values_and_gradients_are_finite_far_out(name: str, size: float) -> None:
    """In float32, at both edges and between, with every number of a pixel far out alone or together."""
    numbers = row(name).numbers
    for which in ([0], [numbers - 1], list(range(numbers))):
        given = torch.zeros(3, numbers)
        given[:, which] = size
        given.requires_grad_()
        found = row(name).nll(given, torch.tensor([[0.0], [0.4 if name != "bernoulli" else 1.0], [1.0]]))
        assert found.isfinite().all()
        (gradient,) = torch.autograd.grad(found.sum(), given)
        assert gradient.isfinite().all()


def test_learned_scales_have_a_least_value() -> None:
    seen = torch.full((1,), 0.5)
    for kind, least in ((Gaussian, FLOOR), (DiscretisedLogistic, LEAST_LOG_SCALE)):
        at = least - FIRST_LOG_SCALE
        one, other, above = (kind().nll(torch.tensor([0.3, scale]), seen) for scale in (at, at - 5, at + 0.1))
        assert one == other != above


@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_the_mean_is_that_of_all_values(name: str) -> None:
    given = output(name, 30, 1)
    expected = probabilities(name, given) @ values(name)
    torch.testing.assert_close(row(name).mean(given).squeeze(-1), expected)


@pytest.mark.parametrize("name", ["gaussian", "gaussian-fixed"])
def test_the_mean_of_a_normal_is_where_its_density_is_highest(name: str) -> None:
    given = output(name, 5, 3).requires_grad_()
    mean = row(name).mean(given).detach().requires_grad_()
    (slope,) = torch.autograd.grad(row(name).nll(given, mean).sum(), mean)
    assert slope.abs().max() < 1e-9


def test_the_mean_of_a_logistic_is_its_location_within_the_range() -> None:
    given = torch.tensor([[-0.9, 0.0, -0.1, -1.0, 0.8, 0.0]])
    torch.testing.assert_close(DiscretisedLogistic().mean(given), torch.tensor([[0.0, 0.4, 1.0]]))
    narrow = torch.tensor([[-0.1, -3.0]], dtype=torch.float64)  # so narrow that no weight lies beyond the ends
    mean = probabilities("discretised-logistic", narrow) @ GRID
    assert mean.item() == pytest.approx(0.4, abs=1e-3)


DRAWS = 20_000


@pytest.mark.parametrize("name", DISCRETE)
def test_samples_have_the_distribution(name: str) -> None:
    """Chi-square of 20,000 draws in up to 16 bins, 0.001; a shift of 0.02 of probability between two bins is seen."""
    torch.manual_seed(0)
    given = {"bernoulli": torch.tensor([0.4]), "discretised-logistic": torch.tensor([0.15, -0.2])}
    each = given.get(name, 1.5 * torch.randn(LEVELS, generator=seeded(3))).double()
    drawn = row(name).sample(each.expand(1, DRAWS, -1), Noise([seeded(5)])).flatten()
    there = values(name)
    index = (drawn.double() * (len(there) - 1)).round().long()
    torch.testing.assert_close(there[index], drawn.double())  # on the levels
    bins = min(16, len(there))
    expected = DRAWS * probabilities(name, each.unsqueeze(0))[0].view(bins, -1).sum(-1)
    counts = index.bincount(minlength=len(there)).view(bins, -1).sum(-1)
    assert expected.min() > 5
    statistic = ((counts - expected).square() / expected).sum()
    bound = {2: 10.8, 16: 37.7}[bins]  # of 1 and 15 degrees of freedom
    assert statistic < bound
    assert ((0.02 * DRAWS) ** 2 / expected).max() > bound, "the power that is claimed"


def test_single_levels_of_samples_are_rounded_to_the_nearest() -> None:
    """A logistic between two levels: 4 standard errors of the share of the upper one."""
    each = torch.tensor([100.4 / 255 - 0.5, LEAST_LOG_SCALE - FIRST_LOG_SCALE], dtype=torch.float64)
    drawn = DiscretisedLogistic().sample(each.expand(1, DRAWS, -1), Noise([seeded(6)]))
    for level in (100, 101):
        expected = float(probabilities("discretised-logistic", each.unsqueeze(0))[0, level])
        found = ((drawn * 255).round() == level).double().mean().item()
        assert abs(found - expected) < 4 * math.sqrt(expected * (1 - expected) / DRAWS)


@pytest.mark.parametrize("name", ["gaussian", "gaussian-fixed"])
def test_samples_of_normals_have_their_mean_and_deviation(name: str) -> None:
    """4 standard errors of each, 0.03 and 0.02 deviations."""
    each = torch.tensor([0.7, 0.5][: row(name).numbers], dtype=torch.float64)
    scale = 0.3 if name == "gaussian-fixed" else math.exp(0.5 + FIRST_LOG_SCALE)
    drawn = row(name).sample(each.expand(1, DRAWS, -1), Noise([seeded(7)])).flatten()
    assert abs(drawn.mean().item() - 0.7) < 4 * scale / math.sqrt(DRAWS)
    assert abs(drawn.std().item() / scale - 1) < 4 / math.sqrt(2 * DRAWS)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_shapes_broadcast_as_evaluation_uses_them(name: str) -> None:
    """Outputs of S samples beside one observation, ``[P, S, B, D numbers]`` and ``[P, 1, B, D]``, and the reverse."""
    given, seen = output(name, 2, 5, 3, 4), observation(name, 2, 1, 3, 4)
    found = row(name).nll(given, seen)
    assert found.shape == (2, 5, 3)
    torch.testing.assert_close(found[1, 2, 0], row(name).nll(given[1, 2, 0], seen[1, 0, 0]))
    shared = output(name, 2, 1, 1, 4).requires_grad_()  # one output for many images
    many = row(name).nll(shared, observation(name, 2, 5, 3, 4))
    assert many.shape == (2, 5, 3)
    (gradient,) = torch.autograd.grad(many.sum(), shared)
    assert gradient.shape == shared.shape
    assert row(name).mean(given).shape == (2, 5, 3, 4)
    assert row(name).sample(given, Noise([seeded(0), seeded(1)])).shape == (2, 5, 3, 4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_numbers_of_a_pixel_stand_side_by_side(name: str) -> None:
    """A change of one pixel's numbers changes nothing of the others'."""
    given = output(name, 3)
    other = given.clone()
    numbers = row(name).numbers
    other[numbers : 2 * numbers] = output(name, 1, seed=1)
    moved = row(name).mean(given) != row(name).mean(other)
    assert moved.tolist() == [False, True, False]
    seen = observation(name, 3)
    apart = [row(name).nll(each, pixel.unsqueeze(-1)) for each, pixel in zip(given.view(3, -1), seen, strict=True)]
    torch.testing.assert_close(row(name).nll(given, seen), torch.stack(apart).sum())


def test_bits_of_known_cases() -> None:
    """Eight of the uniform distribution over 256 levels, zero of a certain one; a density's are of a level's width."""
    uniform = row("categorical").nll(torch.zeros(5, 3 * LEVELS), observation("categorical", 5, 3).float())
    torch.testing.assert_close(row("categorical").bits(uniform, 3), torch.full((5,), 8.0))
    certain = F.one_hot(torch.tensor([17]), LEVELS).float() * 1e4
    assert row("categorical").bits(row("categorical").nll(certain, torch.tensor([17 / 255])), 1) == 0
    for name in ("gaussian", "gaussian-fixed"):  # a density of 1 on [0, 1] gives each level 1 / 255
        found = row(name).bits(torch.zeros(1), 4)
        assert found is not None
        assert found.item() == pytest.approx(math.log2(255))
    flat = DiscretisedLogistic()
    assert flat.bits(torch.tensor([6 * math.log(2)]), 3).item() == pytest.approx(2)  # type: ignore[union-attr]
    assert Bernoulli().bits(torch.ones(1), 3) is None


def test_options_go_to_the_rows_that_read_them() -> None:
    assert likelihood("gaussian-fixed", pixel_scale=0.5) == FixedGaussian(0.5)
    assert likelihood("gaussian", pixel_scale=0.5) == Gaussian()
