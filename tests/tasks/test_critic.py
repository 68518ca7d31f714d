"""The gradient penalty against closed forms and its numerical derivative, and what critics see of eight Gaussians."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from discrete_vae.backbones.mlp import MLP
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.tasks.critic import gradient_norms, gradient_penalty

MEMBERS, BATCH, WIDTH = 2, 6, 3


def noise(seed: int = 0) -> Noise:
    return Noise([seeded(seed + p, "noise") for p in range(MEMBERS)])


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor]:
    drawn = noise(5)
    return drawn.normal((MEMBERS, BATCH, WIDTH), torch.float64), drawn.normal((MEMBERS, BATCH, WIDTH), torch.float64)


def test_penalty_of_a_linear_critic(pairs: tuple[Tensor, Tensor]) -> None:
    """``D(x) = w x + b`` has the gradient w everywhere: ``(|w| - 1)^2``, whose own is ``2 (|w| - 1) w / |w|``."""
    weight = noise(9).normal((MEMBERS, WIDTH, 1), torch.float64).requires_grad_()
    penalty = gradient_penalty(lambda points: (points @ weight).squeeze(-1) + 3, *pairs, noise())
    length = weight.detach().squeeze(-1).norm(dim=-1)
    torch.testing.assert_close(penalty, (length - 1).square())
    (found,) = torch.autograd.grad(penalty.sum(), weight)
    torch.testing.assert_close(found, 2 * ((length - 1) / length)[:, None, None] * weight.detach())


def test_penalty_looks_between_the_pairs(pairs: tuple[Tensor, Tensor]) -> None:
    """``D(x) = |x|^2 / 2`` has the gradient x, so the lengths are those of the points themselves."""
    seen: list[Tensor] = []

    def critic(points: Tensor) -> Tensor:
        seen.append(points.detach())
        return points.square().sum(-1) / 2

    penalty = gradient_penalty(critic, *pairs, noise())
    real, fake = pairs
    place = ((seen[0] - real) / (fake - real)).mean(-1, keepdim=True)
    torch.testing.assert_close(seen[0], real + place * (fake - real))
    assert 0 <= place.min() < place.max() < 1
    assert len(place.unique()) == MEMBERS * BATCH
    torch.testing.assert_close(penalty, (seen[0].norm(dim=-1) - 1).square().mean(-1))


@pytest.mark.parametrize("activation", ["relu", "softplus", "tanh"])
def test_penalty_has_its_numerical_derivative(activation: str, pairs: tuple[Tensor, Tensor]) -> None:
    """In every weight of a network of two hidden layers, by central differences in double precision.

    A step of 1e-6 errs by about 1e-9; 1e-6 leaves room for the curvature, and no relu has its kink so near here.
    """
    network = MLP((WIDTH, 5, 4, 1), activation, [seeded(p) for p in range(MEMBERS)]).double()

    def penalty() -> Tensor:
        return gradient_penalty(lambda points: network(points).squeeze(-1), *pairs, noise()).sum()

    weights = list(network.parameters())
    found = torch.autograd.grad(penalty(), weights, materialize_grads=True)
    for weight, exact in zip(weights, found, strict=True):
        flat = weight.detach().view(-1)
        for i in range(len(flat)):
            differences = []
            for step in (1e-6, -1e-6):
                flat[i] += step
                differences.append(penalty().item())
                flat[i] -= step
            numerical = (differences[0] - differences[1]) / 2e-6
            assert float(exact.reshape(-1)[i]) == pytest.approx(numerical, abs=1e-6, rel=1e-5)


def test_a_flat_critic_has_a_finite_penalty(pairs: tuple[Tensor, Tensor]) -> None:
    """A gradient of length 0, where a length has no derivative of its own, costs 1 and pulls nowhere."""
    weight = torch.zeros(MEMBERS, WIDTH, 1, dtype=torch.float64, requires_grad=True)

    def critic(points: Tensor) -> Tensor:
        return (points @ weight).squeeze(-1)

    assert torch.equal(gradient_norms(critic, pairs[0]), torch.zeros(MEMBERS, BATCH, dtype=torch.float64))
    penalty = gradient_penalty(critic, *pairs, noise())
    (found,) = torch.autograd.grad(penalty.sum(), weight)
    assert penalty.tolist() == [1, 1]
    assert found.isfinite().all()
