"""Idioms of public code around a sampling line: with ours in its place they give what they gave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Independent,
    OneHotCategoricalStraightThrough,
    RelaxedOneHotCategorical,
    kl_divergence,
)
from torch.nn import functional as F

from discrete_vae import functional
from discrete_vae.distributions import OneHotCategorical
from discrete_vae.latents.noise import Noise
from discrete_vae.strategies import GumbelSoftmax, Rebar, ReinMax, Rloo, ScoreFunction
from tests.third_party import assert_mean_is, give, gradients, normal, vector


def flat(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """fairseq's quantiser, whose groups lie in the batch."""
    return sampler(logits.view(4 * 2, -1), tau=2.0, hard=True).type_as(logits).view(4, -1)


def edges(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """NRI's edge types."""
    return sampler(logits.view(-1, logits.size(2)), tau=0.5, hard=False).view(logits.size())


def binary(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """An edge or none."""
    return sampler(torch.stack([-logits, logits], dim=-1), tau=0.5, hard=True, dim=-1)[..., 1]


def columns(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """CTGAN's: variables of several sizes side by side."""
    return torch.cat([sampler(part, 0.5) for part in torch.split(logits.view(4, -1), [2, 5, 3], dim=-1)], dim=-1)


def message(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """EGG's: log-probabilities, one symbol after the other."""
    symbol, symbols = torch.zeros_like(logits[:, 0]), []
    for _ in range(3):
        symbol = sampler(F.log_softmax(logits[:, 0] * 2 + symbol.roll(1, -1), dim=1), 0.5, True)
        symbols.append(symbol)
    return torch.stack(symbols).permute(1, 0, 2)


def operations(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """A search over architectures: logits [K] without a batch."""
    return sampler(logits.view(-1), tau=0.5, dim=0)


def learned(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    """A temperature that the network gives for each variable."""
    return sampler(logits, tau=F.softplus(logits.sum(-1, keepdim=True)) + 0.5)


def permuted(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    return sampler(logits.view(1, 4, 2, 5).permute(2, 0, 3, 1), 0.5, hard=True, dim=-1).permute(0, 3, 1, 2)


def concepts(sampler: Callable[..., Tensor], logits: Tensor) -> Tensor:
    return torch.einsum("btm,tme->bte", sampler(logits, dim=1, tau=0.5, hard=True), torch.ones(2, 5, 3).double())


@pytest.mark.parametrize("idiom", [flat, edges, binary, columns, message, operations, learned, permuted, concepts])
def test_public_idioms_have_the_gradients_of_torchs_function(idiom, monkeypatch) -> None:
    dim = {concepts: 1}.get(idiom, -1)

    def gumbel(self: Noise, shape: torch.Size, dtype: torch.dtype = torch.float32) -> Tensor:
        drawn = torch.empty(torch.empty(shape).movedim(-1, dim).shape, dtype=dtype).exponential_()
        return -drawn.log().movedim(dim, -1)

    monkeypatch.setattr(Noise, "gumbel", gumbel)
    results = []
    for sampler in (F.gumbel_softmax, functional.gumbel_softmax):
        logits = normal("idiom", 4, 2, 5).requires_grad_()
        torch.manual_seed(1)
        sample = idiom(sampler, logits)
        results.append((sample, *torch.autograd.grad((sample * normal("weights", *sample.shape)).sum(), logits)))
    torch.testing.assert_close(results[1], results[0])
    assert results[0][1].any()


def test_world_model_takes_our_distribution_in_torchs_place() -> None:
    """Dreamer's latents: independent variables, KL both ways, entropy, mode; with straight-through the same mean."""
    logits, prior = normal("posterior", 3, 2, 4), normal("prior", 3, 2, 4)
    torchs, ours = (
        [Independent(make(at), 1) for at in (logits, prior)]
        for make in (
            lambda at: OneHotCategoricalStraightThrough(logits=at),
            lambda at: OneHotCategorical(ReinMax(), logits=at),
        )
    )
    torch.testing.assert_close(kl_divergence(*ours), kl_divergence(*torchs))
    torch.testing.assert_close(kl_divergence(ours[0], torchs[1]), kl_divergence(*torchs))
    torch.testing.assert_close(ours[0].entropy(), torchs[0].entropy())
    torch.testing.assert_close(ours[0].mode, torchs[0].mode)
    torch.testing.assert_close(ours[0].mean, torchs[0].mean)
    sample = ours[0].rsample((5,))
    torch.testing.assert_close(ours[0].log_prob(sample), torchs[0].log_prob(sample))


def test_learned_temperature_of_a_relaxed_distribution(monkeypatch) -> None:
    """EGG's ``RelaxedOneHotCategorical``, whose temperature is a parameter."""
    logits, results = normal("sender", 3, 4), []
    torch.manual_seed(2)
    give(monkeypatch, -(-torch.rand(3, 4, dtype=torch.float64).log()).log().unsqueeze(-2))
    for make in (
        lambda at, tau: RelaxedOneHotCategorical(logits=at, temperature=tau),
        lambda at, tau: OneHotCategorical(GumbelSoftmax(tau), logits=at),
    ):
        at, tau = logits.clone().requires_grad_(), nn.Parameter(torch.tensor([0.7], dtype=torch.float64))
        torch.manual_seed(2)
        sample = make(at, tau).rsample()
        results.append((sample, *torch.autograd.grad((sample * normal("weights", 3, 4)).sum(), (at, tau))))
    torch.testing.assert_close(results[1], results[0])


@pytest.mark.parametrize("strategy", [Rloo(2), ScoreFunction(), Rebar(), ReinMax(), GumbelSoftmax()], ids=repr)
def test_autocast(strategy) -> None:
    """Logits in half precision, losses in float32, gradients in the weights' float32."""
    encoder, decoder = nn.Linear(6, 8), nn.Linear(8, 6)
    x = torch.randn(5, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = encoder(x).view(5, 2, 4)
        estimate = strategy.estimate(logits, lambda z: (decoder(z.flatten(1)) - x).square().sum(-1))
        loss = estimate.loss.mean() + estimate.strategy_loss
    loss.backward()
    assert logits.dtype == estimate.sample.dtype == torch.bfloat16
    assert loss.dtype == encoder.weight.grad.dtype == torch.float32
    assert encoder.weight.grad.isfinite().all()
    assert encoder.weight.grad.any()


def test_compiled_as_one_graph_while_the_temperature_falls() -> None:
    net = nn.Linear(6, 5)
    score = ScoreFunction()

    def pathwise_loss(x: Tensor, tau: float) -> Tensor:
        return functional.reinmax(net(x), tau).cumsum(-1).square().sum()

    def score_loss(x: Tensor, tau: float) -> Tensor:
        return score.estimate(net(x), lambda z: z.cumsum(-1).square().sum(-1)).loss.sum()

    for function in (pathwise_loss, score_loss):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        for tau in (1.0, 0.9, 0.8):
            gradient = gradients(compiled(torch.randn(8, 6), tau), net)
            assert all(each.isfinite().all() for each in gradient)


def test_sampled_index_is_the_argmax_of_the_sample() -> None:
    """Code that looks up ``embedding(action)`` takes ``z.argmax(-1)``; its parameters learn as they did."""
    embedding, logits = nn.Embedding(4, 3), torch.randn(6, 4, requires_grad=True)
    estimate = ScoreFunction().estimate(logits, lambda z: embedding(z.argmax(-1)).square().sum(-1))
    estimate.loss.mean().backward()
    assert logits.grad.any()
    expected = torch.zeros(4, 3)
    for row in estimate.sample.argmax(-1).tolist():
        expected[row] += 2 * embedding.weight.detach()[row] / 6
    torch.testing.assert_close(embedding.weight.grad, expected)


def test_episode_of_several_actions_is_an_estimate_within_the_cost() -> None:
    """A tour, of which each action is illegal from then on: 200 batches of 100, beside the sum over all six tours.

    12 parameters within 5 standard errors: false alarm below 1e-5.
    """
    torch.manual_seed(4)
    policy = nn.Linear(3, 3).double()
    lengths = normal("lengths", 3, 3)
    steps = [ScoreFunction().double() for _ in range(2)]

    def logits(visited: Tensor) -> Tensor:
        return policy(visited * normal("scale", 3)).masked_fill(visited > 0, -torch.inf)

    def rest(visited: Tensor, at: Tensor, step: int) -> Tensor:
        if step == len(steps):
            return torch.zeros(len(visited), dtype=torch.float64)

        def cost(z: Tensor) -> Tensor:
            return lengths[at, z.argmax(-1)] + rest(visited + z, z.argmax(-1), step + 1)

        return steps[step].estimate(logits(visited), cost).loss

    start = torch.zeros(1, 3, dtype=torch.float64)
    exact = torch.zeros((), dtype=torch.float64)
    for first in range(3):
        visited = F.one_hot(torch.tensor([first]), 3).double()
        for second in {0, 1, 2} - {first}:
            chance = logits(start).softmax(-1)[0, first] * logits(visited).softmax(-1)[0, second]
            exact = exact + chance * (lengths[0, first] + lengths[first, second])
    expected = vector(gradients(exact, policy))
    found = []
    for _ in range(200):
        loss = rest(start.expand(100, 3), torch.zeros(100, dtype=torch.long), 0).mean()
        found.append(vector(gradients(loss, policy)))
    assert_mean_is(found, expected)


@pytest.mark.parametrize("strategy", [ScoreFunction, Rloo, Rebar], ids=lambda kind: kind.__name__)
def test_cost_with_the_kl_of_its_own_logits(strategy) -> None:
    """An ELBO in one function has the KL's gradient once: 100 batches of 100, false alarm below 1e-5."""
    torch.manual_seed(5)
    base, costs = normal("base", 4), normal("costs", 4)

    def kl(logits: Tensor) -> Tensor:
        log_q = logits.log_softmax(-1)
        return 3 * (log_q.exp() * log_q).sum(-1)

    at = base.clone().requires_grad_()
    (expected,) = torch.autograd.grad((at.softmax(-1) * costs.square()).sum() + kl(at), at)
    made, found = strategy().double(), []
    for _ in range(100):
        logits = base.expand(100, 4).clone().requires_grad_()
        seen = logits * 1  # as an encoder gives them: no leaf
        loss = made.estimate(seen, lambda z, seen=seen: (z * costs).sum(-1).square() + kl(seen)).loss.sum()
        found.append(torch.autograd.grad(loss, logits)[0].mean(0))
    assert_mean_is(found, expected)


def test_channel_first_samples_can_be_viewed_as_torchs_can() -> None:
    logits = torch.randn(2, 5, 3, 4)
    assert F.gumbel_softmax(logits, dim=1, hard=True).view(2, -1).shape == (2, 60)
    assert functional.gumbel_softmax(logits, dim=1, hard=True).view(2, -1).shape == (2, 60)


def test_temperature_of_each_place_broadcasts_as_torchs_does() -> None:
    logits, tau = torch.randn(2, 5, 3, 4), torch.rand(2, 1, 3, 4) + 0.5
    assert F.gumbel_softmax(logits, tau, dim=1).shape == logits.shape
    assert functional.gumbel_softmax(logits, tau, dim=1).shape == logits.shape
