"""Two stochastic layers: nested estimates against the exact gradient, by enumeration of both layers' states."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.categorical import enumerate_states, log_prob
from discrete_vae.gradients import gradient_error
from discrete_vae.nesting import Layer, nested
from discrete_vae.noise import Noise, seeded
from discrete_vae.strategies import (
    Arsm,
    Enumeration,
    GumbelSoftmax,
    LocalExpectation,
    MuProp,
    Objective,
    Rebar,
    ReinMax,
    Rloo,
    ScoreFunction,
    Strategy,
)

LATENTS, CATEGORIES, BATCH, DRAWS = 2, 3, 2, 20_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


SIZE = LATENTS * CATEGORIES
UP, DOWN = normal("up", SIZE, SIZE), normal("down", SIZE, 4)
LOGITS, TARGET = normal("logits", BATCH, LATENTS, CATEGORIES), normal("target", BATCH, 4).sigmoid()


def upper_logits(lower: Tensor, output: Tensor) -> Tensor:
    return (lower.flatten(-2) @ UP).unflatten(-1, (LATENTS, CATEGORIES))


def first_cost(lower: Tensor) -> Tensor:
    return (lower.flatten(-2) * 0.3).sin().sum(-1)


def upper_cost(upper: Tensor) -> Tensor:
    target = TARGET.repeat(upper.shape[-3] // BATCH, 1)
    output = upper.flatten(-2) @ DOWN
    return F.binary_cross_entropy_with_logits(output, target.expand_as(output), reduction="none").sum(-1)


def penalty(logits: Tensor) -> Tensor:
    """Something analytic in the upper logits, as a KL would be."""
    return logits.logsumexp(-1).square().sum(-1) / 10


FIRST = Objective(decode=lambda sample: sample, loss=first_cost)
LAYER = Layer(upper_logits, lambda lower: Objective(lambda sample: sample, upper_cost, penalty=penalty))


def exact(up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in the first logits and in the map to the second's."""
    logits = LOGITS.clone().requires_grad_()
    states = enumerate_states(LATENTS, CATEGORIES, torch.float64)[:, None].expand(-1, BATCH, -1, -1)
    given = (states.flatten(-2) @ up).unflatten(-1, (LATENTS, CATEGORIES))
    inner = (log_prob(given, states[:, None]).exp() * upper_cost(states)[:, None]).sum(0) + penalty(given)
    total = (log_prob(logits, states).exp() * (first_cost(states) + inner)).sum()
    lower, upper = torch.autograd.grad(total, (logits, up))
    return lower, upper


UNBIASED: dict[str, Callable[[], Strategy]] = {
    "score function": ScoreFunction,
    "rloo": Rloo,
    "muprop": MuProp,
    "rebar": lambda: Rebar().double(),
    "arsm": Arsm,
    "local expectation": LocalExpectation,
    "enumeration": Enumeration,
}
BIASED: dict[str, Callable[[], Strategy]] = {"gumbel-softmax": lambda: GumbelSoftmax(0.5), "reinmax": ReinMax}


@pytest.mark.parametrize("name", [*UNBIASED, *BIASED])
def test_nested_estimates_keep_their_claim(name, monkeypatch) -> None:
    """9 states each: 5 standard errors in 12 + 36 elements fail by chance with probability 3e-5."""
    make = (UNBIASED | BIASED)[name]
    up = UP.clone().requires_grad_()
    monkeypatch.setitem(globals(), "UP", up)
    lower, upper = exact(up)
    logits = LOGITS.repeat(DRAWS, 1, 1).requires_grad_()
    estimate = nested([make(), make()], logits, FIRST, [LAYER], Noise([seeded(3)]))
    assert estimate.loss.shape == (DRAWS * BATCH,)
    assert estimate.auxiliary.shape == ()
    (sampled,) = torch.autograd.grad(estimate.loss.sum(), logits, retain_graph=True)
    error = gradient_error(sampled.view(DRAWS, BATCH, LATENTS, CATEGORIES), lower)
    assert (error.z_score < 5) == (name in UNBIASED)
    assert error.cosine > 0.9
    # The second layer's own weights learn as well; their gradient is a sum over draws, whose error is not known.
    (sampled,) = torch.autograd.grad(estimate.loss.sum() / DRAWS, up)
    assert torch.cosine_similarity(sampled.flatten(), upper.flatten(), 0) > 0.9


def test_one_layer_is_the_strategy_itself() -> None:
    alone = ReinMax()(LOGITS.clone(), FIRST, Noise([seeded(1)]))
    assert nested([ReinMax()], LOGITS.clone(), FIRST, [], Noise([seeded(1)])).loss.equal(alone.loss)
