"""Estimators by antithetic samples: their exact mean, by the law of the coupling, without a draw."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_gradient
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import STRATEGIES, Carms, Disarm, Objective, Strategy
from discrete_vae.strategies.stick_breaking import Sticks

LATENTS = 2


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


def objective(categories: int) -> Objective:
    weight = normal("weight", LATENTS * categories, 6)
    return Objective(
        decode=lambda z: (z.flatten(-2) @ weight).tanh(),
        loss=lambda output: (output - 0.3).square().sum(-1),
    )


class Given(Noise):
    """Uniform numbers that are given."""

    def __init__(self, numbers: Tensor) -> None:
        super().__init__()
        self.numbers = numbers

    def uniform(self, shape: object, dtype: torch.dtype = torch.float32) -> Tensor:
        return self.numbers.to(dtype)


def gradient(strategy: Strategy, logits: Tensor, noise: Noise) -> Tensor:
    """Of each row of the logits ``[R, 1, N, K]``."""
    at = logits.clone().requires_grad_()
    loss = strategy.estimate(at, objective(logits.shape[-1]), noise).loss
    return torch.autograd.grad(loss.sum(), at)[0]


def pieces_of(probability: float) -> list[tuple[float, float]]:
    """Uniform numbers, one for each way that two antithetic decisions can come out, and the length that each is for."""
    ends = sorted([0.0, probability, 1 - probability, 1.0])
    return [((low + high) / 2, high - low) for low, high in itertools.pairwise(ends)]


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_the_mean_of_disarm_over_its_uniform_numbers_is_the_gradient(scale: float) -> None:
    """Each variable's estimate is constant between the numbers p, 1 - p, 0 and 1."""
    logits = scale * normal("logits", 1, 1, LATENTS, 2)
    cells = list(itertools.product(*[pieces_of(p) for p in logits.softmax(-1)[0, 0, :, 1].tolist()]))
    numbers = torch.tensor([[[u for u, _ in cell]] for cell in cells], dtype=torch.float64)
    mass = torch.tensor([math.prod(width for _, width in cell) for cell in cells], dtype=torch.float64)
    each = gradient(Disarm(), logits.expand(len(cells), -1, -1, -1), Given(numbers))
    found = (mass[:, None, None, None] * each).sum(0)
    torch.testing.assert_close(found, exact_gradient(logits[0], objective(2)), rtol=1e-10, atol=1e-12)


def stick_probabilities(logits: Tensor) -> list[float]:
    """Of one variable's logits ``[K]``, least probable first: each category's share of what is left."""
    ascending = sorted(logits.softmax(-1).tolist())
    return [p / math.fsum(ascending[c:]) for c, p in enumerate(ascending[:-1])]


def all_taken(probability: float, samples: int, among: int) -> float:
    """That so many of the samples' decisions with a Dirichlet copula are yes: ``P(d_s > 1 - y^(1 / (S - 1)))``."""
    left = 1 - among * (1 - probability ** (1 / (samples - 1)))
    return max(left, 0.0) ** (samples - 1)


def mass_of(probabilities: list[float], places: tuple[int, ...]) -> float:
    """That samples of one variable are at these places: each stick by inclusion and exclusion."""
    mass = 1.0
    for c, probability in enumerate(probabilities):
        yes, no = places.count(c), sum(place > c for place in places)
        mass *= math.fsum(
            (-1) ** also * math.comb(no, also) * all_taken(probability, len(places), yes + also)
            for also in range(no + 1)
        )
    return mass


@pytest.mark.parametrize("scale", [0.3, 2.0])
def test_the_mean_of_the_tree_over_its_uniform_numbers_is_the_gradient(scale: float) -> None:
    """For 3 categories of one variable: two decisions, category 0 or 1, and one of these or 2."""
    logits = scale * normal("tree", 1, 1, 1, 3)
    a, b, c = logits.softmax(-1)[0, 0, 0].tolist()
    cells = list(itertools.product(pieces_of(b / (a + b)), pieces_of(c)))
    numbers = torch.tensor([[[[u for u, _ in cell]]] for cell in cells], dtype=torch.float64)
    mass = torch.tensor([math.prod(width for _, width in cell) for cell in cells], dtype=torch.float64)
    weight = normal("tree weight", 3, 6)
    whole = Objective(decode=lambda z: (z.flatten(-2) @ weight).tanh(), loss=lambda output: output.square().sum(-1))
    at = logits.expand(len(cells), -1, -1, -1).clone().requires_grad_()
    (each,) = torch.autograd.grad(STRATEGIES["disarm-tree"]().estimate(at, whole, Given(numbers)).loss.sum(), at)
    found = (mass[:, None, None, None] * each).sum(0)
    torch.testing.assert_close(found, exact_gradient(logits[0], whole), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("categories", [2, 3, 4])
@pytest.mark.parametrize(("name", "samples"), [("carms", 2), ("carms", 3), ("disarm-stick-breaking", 2)])
def test_the_mean_over_all_sets_of_samples_is_the_gradient(
    name: str, samples: int, categories: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the probability of every two or three categories of each variable."""
    logits = 1.5 * normal("logits", 1, 1, LATENTS, categories)
    sets = list(itertools.product(range(categories), repeat=samples))
    mass = [[mass_of(stick_probabilities(row), places) for places in sets] for row in logits[0, 0]]
    for each in mass:
        assert math.fsum(each) == pytest.approx(1, rel=1e-12)
    cells = list(itertools.product(range(len(sets)), repeat=LATENTS))
    places = torch.tensor([[sets[i] for i in cell] for cell in cells])  # [R, N, S]
    monkeypatch.setattr(Sticks, "places", lambda self, taken: places.movedim(-1, 0).unsqueeze(2))
    strategy = STRATEGIES[name](draws=samples) if name == "carms" else STRATEGIES[name]()
    each = gradient(strategy, logits.expand(len(cells), -1, -1, -1), Noise([seeded(0)]))
    weights = torch.tensor([math.prod(mass[n][i] for n, i in enumerate(cell)) for cell in cells], dtype=torch.float64)
    found = (weights[:, None, None, None] * each).sum(0)
    torch.testing.assert_close(found, exact_gradient(logits[0], objective(categories)), rtol=1e-10, atol=1e-12)


def test_two_categories_make_all_of_them_disarm() -> None:
    """Draw by draw, by the paper's formula for the pair that each has drawn."""
    logits = normal("binary", 300, 1, LATENTS, 2)
    for name in ("disarm", "disarm-stick-breaking", "disarm-tree", "carms"):
        strategy = Carms(2) if name == "carms" else STRATEGIES[name]()
        at = logits.clone().requires_grad_()
        estimate = strategy.estimate(at, objective(2), Noise([seeded(1)]))
        (found,) = torch.autograd.grad(estimate.loss.sum(), at)
        one, other = estimate.sample
        f = objective(2)(estimate.sample)
        half = ((f[0] - f[1]) / 2)[..., None, None]
        expected = half * (one - other) * (at[..., 1:] - at[..., :1]).abs().sigmoid().detach()
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        assert found.any()


def test_binary_estimators_refuse_more_categories() -> None:
    with pytest.raises(InputError, match="categories is 3, and DisARM is for binary variables; give 2, or take "):
        gradient(Disarm(), normal("three", 1, 1, LATENTS, 3), Noise([seeded(0)]))


@pytest.mark.parametrize("name", ["disarm", "disarm-stick-breaking", "disarm-tree", "carms"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_categories_without_probability_are_never_drawn(name: str, dtype: torch.dtype) -> None:
    """At logits 1e9 below the row's maximum, nothing is a NaN and the gradient there is 0."""
    categories = STRATEGIES[name].categories or 4
    logits = normal("logits", 500, 1, LATENTS, categories).to(dtype)
    logits[..., 0, 1:] = logits[..., 0, :1] - 1e9
    logits[..., 1, 0] = logits[..., 1, 1] - 1e9
    strategy = STRATEGIES[name]()
    at = logits.clone().requires_grad_()
    whole = objective(categories)
    weight = normal("other", LATENTS * categories, 6).to(dtype)
    whole = Objective(decode=lambda z: (z.flatten(-2) @ weight).tanh(), loss=whole.loss)
    estimate = strategy.estimate(at, whole, Noise([seeded(1)]))
    (found,) = torch.autograd.grad(estimate.loss.sum(), at)
    assert found.isfinite().all()
    assert not found[..., 0, :].any()
    assert not found[..., 1, 0].any()
    assert estimate.sample[..., 0, 0].all()
    assert not estimate.sample[..., 1, 0].any()
