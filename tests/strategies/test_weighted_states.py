"""States without a list of all: which are drawn how often, what they weigh, and where there are too few of them."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_gradient, exact_value
from discrete_vae.latents.categorical import enumerate_states, log_prob
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.latents.states import likeliest_states, states_without_replacement
from discrete_vae.strategies import Objective, SumAndSample, UnorderedSet
from discrete_vae.strategies.sum_and_sample import SumAndSampleOptions
from discrete_vae.strategies.unordered_set import UnorderedSetOptions, drawn_first

SHAPES = [(3, 2), (1, 8), (2, 3)]
DRAWS = 100_000


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


def place_of(sample: Tensor) -> Tensor:
    """The place of each state ``[..., N, K]`` in counting order: ``[...]``."""
    latents, categories = sample.shape[-2:]
    return (sample.argmax(-1) * categories ** torch.arange(latents - 1, -1, -1)).sum(-1)


def probabilities(logits: Tensor) -> Tensor:
    """Of every joint state, in counting order."""
    return log_prob(logits, enumerate_states(*logits.shape, torch.float64)).exp()


def objective_of(latents: int, categories: int) -> Objective:
    weight = normal("objective", latents * categories, 3)
    return Objective(lambda z: z.flatten(-2) @ weight.to(z.dtype), lambda output: 50 + output.square().sum(-1))


def as_often(counts: Tensor, expected: Tensor) -> None:
    """Pearson's statistic within 5 standard deviations of its mean; what is rare counts together."""
    rare = expected < 5
    counts, expected = (torch.cat([each[~rare], each[rare].sum().reshape(-1)]) for each in (counts, expected))
    freedom = (expected > 0).sum() - 1
    statistic = ((counts - expected).square() / expected.clamp_min(1e-9)).sum()
    assert abs(float(statistic) - freedom) < 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_states_come_in_the_order_of_drawing_without_replacement(shape: tuple[int, int]) -> None:
    """Three in a row: ``p(a) p(b) / (1 - p(a)) p(c) / (1 - p(a) - p(b))``."""
    logits = normal("logits", *shape)
    q = probabilities(logits)
    drawn = place_of(states_without_replacement(logits.expand(DRAWS, *shape), 3, Noise([seeded(1)])))
    counts = torch.zeros(len(q), len(q), len(q), dtype=torch.float64)
    counts.index_put_(tuple(drawn), torch.ones(DRAWS, dtype=torch.float64), accumulate=True)
    orders = list(itertools.permutations(range(len(q)), 3))
    expected = [q[a] * q[b] / (1 - q[a]) * q[c] / (1 - q[a] - q[b]) for a, b, c in orders]
    as_often(torch.stack([counts[order] for order in orders]), DRAWS * torch.stack(expected))
    assert counts.sum() == sum(counts[order] for order in orders), "all different"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_likeliest_states_are_those_of_a_sorted_list(shape: tuple[int, int]) -> None:
    logits = normal("logits", 5, *shape)
    found = place_of(likeliest_states(logits, 6))
    for image, own in zip(found.T, logits, strict=True):
        assert image.equal(probabilities(own).argsort(descending=True)[:6])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_last_state_of_sum_and_sample_is_a_sample_of_the_others(shape: tuple[int, int]) -> None:
    logits = normal("logits", *shape)
    q = probabilities(logits)
    sample = SumAndSample(2).states(logits.expand(DRAWS, *shape), Noise([seeded(2)]))
    others = q.argsort(descending=True)[2:]
    counts = torch.bincount(place_of(sample)[2], minlength=len(q)).double()
    assert counts[others].sum() == DRAWS
    as_often(counts[others], DRAWS * q[others] / q[others].sum())


@pytest.mark.parametrize("strategy", [UnorderedSet(3), UnorderedSet(2, baseline=False), SumAndSample(2)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_loss_is_unbiased(strategy, shape: tuple[int, int]) -> None:
    """Within 5 standard errors of ``E[f]``."""
    logits, objective = normal("logits", 1, *shape), objective_of(*shape)
    losses = strategy.estimate(logits.expand(DRAWS, 1, -1, -1), objective, Noise([seeded(3)])).loss
    assert abs(losses.mean() - exact_value(logits, objective)) < 5 * losses.std() / math.sqrt(DRAWS)


@pytest.mark.parametrize("strategy", [UnorderedSet(8), UnorderedSet(8, baseline=False), SumAndSample(7)])
def test_all_states_together_are_exact(strategy) -> None:
    logits, objective = normal("logits", 4, 3, 2).requires_grad_(), objective_of(3, 2)
    estimate = strategy.estimate(logits, objective, Noise([seeded(4)]))
    torch.testing.assert_close(estimate.loss, exact_value(logits.detach(), objective))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    torch.testing.assert_close(found, exact_gradient(logits.detach(), objective))


@pytest.mark.parametrize("strategy", [UnorderedSet(), SumAndSample()])
@pytest.mark.parametrize("gap", [10.0, 40.0, 1000.0, 1e8])
def test_a_nearly_certain_state_leaves_no_nan(strategy, gap: float) -> None:
    """In single precision, where ``1 - p(s)`` is 0: the loss is the state's, and the gradient vanishes."""
    logits = torch.zeros(2, 3, 4)
    logits[..., 1:] = -gap
    logits.requires_grad_()
    estimate = strategy.estimate(logits, objective_of(3, 4), Noise([seeded(5)]))
    (found,) = torch.autograd.grad(estimate.loss.sum(), logits)
    assert found.isfinite().all()
    weights = strategy.weights(logits.detach(), estimate.sample)
    torch.testing.assert_close(weights.sum(0), torch.ones(2))
    assert found.abs().max() < 1e3 * math.exp(-gap) + 1e-30


def test_weights_keep_their_digits_where_a_state_is_nearly_certain() -> None:
    """Two states of 1 - 1e-12 and 7e-13: the ratios by hand, in which 1 - p(C) has no cancellation."""
    first, second = 1 - 1e-12, 7e-13
    weights, then, others = drawn_first(torch.tensor([math.log1p(-1e-12), math.log(second)], dtype=torch.float64))
    ways = first * second / 1e-12, second * first / (1 - second)
    torch.testing.assert_close(weights, torch.tensor(ways, dtype=torch.float64) / sum(ways), rtol=1e-3, atol=0)
    assert then.equal(torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    torch.testing.assert_close(others[0], torch.tensor(1e-12, dtype=torch.float64), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (UnorderedSet(5), "5 different states are wanted, and 2 variables of 2 categories have 4; give fewer"),
        (SumAndSample(4), "5 different states are wanted"),
    ],
)
def test_fewer_states_than_draws_are_refused(strategy, message: str) -> None:
    with pytest.raises(InputError, match=message):
        strategy.estimate(torch.zeros(1, 2, 2), objective_of(2, 2))


def test_options_are_refused_with_the_remedy() -> None:
    for draws in (1, 9):
        with pytest.raises(InputError, match=f"draws is {draws}; give 2 to 8"):
            UnorderedSetOptions(draws)
    with pytest.raises(InputError, match="states is 0; give at least 1"):
        SumAndSampleOptions(0)


def test_a_claim_counts_the_samples() -> None:
    assert (UnorderedSet(3).claim.evaluations, SumAndSample(1).claim.evaluations) == (3, 2)
