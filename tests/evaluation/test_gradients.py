"""The yardstick itself: exact gradients against closed forms, and its statistics against planted errors."""

import math

import torch
from torch import Tensor

from discrete_vae.evaluation.gradients import exact_gradient, exact_value, gradient_error, sampled_gradients
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import Enumeration, GumbelSoftmax, Objective

LOGITS = torch.randn(2, 3, 4, generator=seeded(0), dtype=torch.float64)
COSTS = torch.randn(3, 4, generator=seeded(1), dtype=torch.float64)
LINEAR = Objective(decode=lambda z: (z * COSTS).flatten(-2), loss=lambda output: output.sum(-1))


def coupled(sample: Tensor) -> Tensor:
    """The variables' costs multiplied: no sum over variables could give its mean."""
    return (sample * COSTS).sum(-1).prod(-1)


def test_exact_value_and_gradient_of_a_linear_objective() -> None:
    """E[<c, z>] = <c, pi> and its gradient is (diag(pi) - pi pi^T) c."""
    pi = LOGITS.softmax(-1)
    torch.testing.assert_close(exact_value(LOGITS, LINEAR), (pi * COSTS).sum((-1, -2)))
    jacobian = torch.diag_embed(pi) - pi.unsqueeze(-1) * pi.unsqueeze(-2)
    torch.testing.assert_close(exact_gradient(LOGITS, LINEAR), torch.einsum("bnij,nj->bni", jacobian, COSTS))


def test_exact_value_and_gradient_of_a_coupled_objective() -> None:
    """Independent variables: the mean of the product is the product of the means."""
    logits = LOGITS.clone().requires_grad_()
    expected = (logits.softmax(-1) * COSTS).sum(-1).prod(-1)
    objective = Objective(decode=lambda z: z, loss=coupled)
    torch.testing.assert_close(exact_value(LOGITS, objective), expected)
    (gradient,) = torch.autograd.grad(expected.sum(), logits)
    torch.testing.assert_close(exact_gradient(LOGITS, objective), gradient)


def test_the_decoder_learns_from_the_exact_value() -> None:
    """The gradient of E[<c, z>] in c is pi, summed over the images."""
    costs = COSTS.clone().requires_grad_()
    objective = Objective(decode=lambda z: (z * costs).flatten(-2), loss=lambda output: output.sum(-1))
    (gradient,) = torch.autograd.grad(exact_value(LOGITS, objective).sum(), costs)
    torch.testing.assert_close(gradient, LOGITS.softmax(-1).sum(0))


def test_exact_gradient_equals_finite_differences() -> None:
    objective = Objective(decode=lambda z: z, loss=lambda z: torch.sin(coupled(z) * 3))
    step = 1e-6 * torch.eye(LOGITS.numel(), dtype=torch.float64).reshape(-1, *LOGITS.shape)
    differences = [(exact_value(LOGITS + h, objective) - exact_value(LOGITS - h, objective)).sum() / 2e-6 for h in step]
    gradient = exact_gradient(LOGITS, objective)
    torch.testing.assert_close(gradient.flatten(), torch.stack(differences), rtol=1e-6, atol=1e-8)


def test_sampled_gradients_are_independent_repeatable_draws() -> None:
    draws = [sampled_gradients(GumbelSoftmax(0.5), LOGITS, LINEAR, 4, Noise([seeded(2)])) for _ in range(2)]
    assert draws[0].shape == (4, 2, 3, 4)
    assert draws[0].equal(draws[1])
    assert not draws[0][0].equal(draws[0][1])
    assert not LOGITS.requires_grad


def test_gradient_error_of_errors_planted_by_hand() -> None:
    """Draws exact * (1 + b) + s * N(0, 1): bias b, variance s^2 x elements / |exact|^2, z-score b |g| sqrt(n) / s."""
    exact, count, spread = torch.tensor([3.0, -4.0], dtype=torch.float64), 100_000, 2.0
    unit = torch.randn(count, 2, generator=seeded(3), dtype=torch.float64)
    # Centred and scaled: its mean is 0 and its variance 1 exactly, so the answers are exact as well.
    unit = (unit - unit.mean(0)) / unit.std(0)

    error = gradient_error(exact * 1.1 + spread * unit, exact)
    torch.testing.assert_close(error.bias, 0.1)
    torch.testing.assert_close(error.variance, 2 * spread**2 / 25)
    torch.testing.assert_close(error.cosine, 1.0)
    torch.testing.assert_close(error.z_score, 0.4 * count**0.5 / spread)

    assert gradient_error(exact + spread * unit, exact).z_score < 1e-6
    assert abs(gradient_error(-exact + unit, exact).cosine + 1) < 1e-12
    turned = gradient_error(torch.tensor([4.0, 3.0], dtype=torch.float64) + unit, exact)
    assert abs(turned.cosine) < 1e-12


def test_gradient_error_of_four_draws_by_hand() -> None:
    """Mean (3, 1) beside (4, 3) of length 5; variances 8/3 and 2 with one degree of freedom taken by the mean."""
    draws = torch.tensor([[1.0, 2.0], [3.0, 2.0], [5.0, -1.0], [3.0, 1.0]], dtype=torch.float64)
    exact = torch.tensor([4.0, 3.0], dtype=torch.float64)
    for shape in ((2,), (1, 2, 1), (2, 1, 1)):  # the norms are over all elements, however they are arranged
        error = gradient_error(draws.view(4, *shape), exact.view(shape))
        torch.testing.assert_close(error.bias, math.sqrt(1 + 4) / 5)
        torch.testing.assert_close(error.variance, (8 / 3 + 2) / 25)
        torch.testing.assert_close(error.cosine, 15 / (5 * math.sqrt(10)))
        # In standard errors sqrt(8/3 / 4) and sqrt(2 / 4): 1.22 and 2.83, of which the larger counts.
        torch.testing.assert_close(error.z_score, 2 / math.sqrt(0.5))


def test_each_draw_is_the_gradient_of_its_images_losses() -> None:
    """Neither a mean over images nor over draws: exact enumeration gives the exact gradient every time."""
    draws = sampled_gradients(Enumeration(), LOGITS, LINEAR, 3, Noise([seeded(4)]))
    exact = exact_gradient(LOGITS, LINEAR)
    torch.testing.assert_close(draws, exact.expand(3, -1, -1, -1))
    error = gradient_error(draws, exact)
    assert error.bias < 1e-12
    assert error.variance < 1e-24
    assert abs(error.cosine - 1) < 1e-12


def test_gradient_that_never_varies_has_to_be_right_to_rounding() -> None:
    exact = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert gradient_error(exact.expand(10, 2), exact).z_score == 0
    assert gradient_error((exact + 1e-4).expand(10, 2), exact).z_score > 99
