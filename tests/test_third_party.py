"""Research code as others write it, with one line replaced: all gradients stay those of the papers, and misuse is told.

Each model takes its sampling line as an argument. It is given the published one, written with torch alone, and ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional as F

from discrete_vae import functional
from discrete_vae.distributions import OneHotCategorical
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import entropy
from discrete_vae.strategies import (
    STRATEGIES,
    Arsm,
    Carms,
    DarnBaseline,
    Enumeration,
    GumbelSoftmax,
    LocalExpectation,
    MuProp,
    Nvil,
    Objective,
    Rebar,
    ReinMax,
    ReinMaxMeanControl,
    Relax,
    Rloo,
    ScoreFunction,
)
from tests.third_party import assert_mean_is, give, gradients, normal, torchs_gumbel, vector

Line = Callable[[Tensor], Tensor]


def chosen(logits: Tensor, dim: int) -> Tensor:
    """A one-hot sample by the noise of ``torchs_gumbel``."""
    index = (logits + torchs_gumbel(*logits.shape)).argmax(dim, keepdim=True).detach()
    return torch.zeros_like(logits).scatter(dim, index, 1.0)


def carried(sample: Tensor, surrogate: Tensor) -> Tensor:
    return sample + surrogate - surrogate.detach()


def published_gumbel_softmax(logits: Tensor, dim: int, hard: bool = False) -> Tensor:
    torch.manual_seed(1)
    return F.gumbel_softmax(logits, tau=0.5, hard=hard, dim=dim)


def published_straight_through(logits: Tensor, dim: int) -> Tensor:
    return carried(chosen(logits, dim), (logits / 1.5).softmax(dim))


def published_reinmax(logits: Tensor, dim: int) -> Tensor:
    """Liu et al. 2023, algorithm 2."""
    sample = chosen(logits, dim)
    first = (sample + (logits / 1.5).softmax(dim)) / 2
    first = ((first.log() - logits).detach() + logits).softmax(dim)
    return carried(sample, 2 * first - logits.softmax(dim) / 2)


def published_gapped(logits: Tensor, dim: int) -> Tensor:
    """Fan et al. 2022, equations 8 to 10, with a gap of 1."""
    sample, top = chosen(logits, dim), logits.amax(dim, keepdim=True)
    lifted = (top - logits) * sample
    lowered = (logits - top + 1).relu() * (1 - sample)
    return carried(sample, ((logits + (lifted - lowered).detach()) / 0.5).softmax(dim))


def published_zgr(logits: Tensor, dim: int) -> Tensor:
    """Shekhovtsov 2023: half of straight-through, half of DARN with the mean as its centre."""
    sample, probabilities = chosen(logits, dim), logits.softmax(dim)
    taken = (sample * logits.log_softmax(dim)).sum(dim, keepdim=True)
    return carried(sample, (probabilities + (sample - probabilities.detach()) * taken) / 2)


PATHWISE = {
    "gumbel_softmax": (published_gumbel_softmax, lambda at, dim: functional.gumbel_softmax(at, 0.5, dim=dim)),
    "hard": (
        lambda at, dim: published_gumbel_softmax(at, dim, hard=True),
        lambda at, dim: functional.gumbel_softmax(at, tau=0.5, hard=True, dim=dim),
    ),
    "straight_through": (published_straight_through, lambda at, dim: functional.straight_through(at, 1.5, dim)),
    "reinmax": (published_reinmax, lambda at, dim: functional.reinmax(at, temperature=1.5, dim=dim)),
    "gapped": (published_gapped, lambda at, dim: functional.gapped_straight_through(at, 0.5, dim=dim)),
    "zgr": (published_zgr, lambda at, dim: functional.zgr(at, dim=dim)),
    "softmax": (torch.softmax, lambda at, dim: functional.softmax(at, dim=dim)),
}
pathwise = pytest.mark.parametrize(("published", "ours"), PATHWISE.values(), ids=PATHWISE)


class ImageVae(nn.Module):
    """A discrete VAE in the style of DALL-E's, with logits ``[B, K, H, W]``."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = line
        self.encoder = nn.Sequential(nn.Conv2d(1, 6, 2, 2), nn.Tanh(), nn.Conv2d(6, 5, 1))
        self.codebook = nn.Embedding(5, 7)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(7, 4, 2, 2), nn.Tanh(), nn.Conv2d(4, 1, 1))
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        logits = self.encoder(images)
        one_hot = self.line(logits)
        sampled = torch.einsum("b n h w, n d -> b d h w", one_hot, self.codebook.weight)
        log_q = logits.permute(0, 2, 3, 1).flatten(1, 2).log_softmax(-1)
        kl = F.kl_div(torch.full_like(log_q, 1 / 5).log(), log_q, reduction="batchmean", log_target=True)
        return F.mse_loss(self.decoder(sampled), images) + 0.1 * kl


@pathwise
def test_image_vae_has_the_published_gradients(published, ours, monkeypatch) -> None:
    images = normal("images", 3, 1, 4, 6)
    expected_vae, vae = ImageVae(lambda at: published(at, 1)), ImageVae(lambda at: ours(at, 1))
    give(monkeypatch, torchs_gumbel(3, 5, 2, 3).movedim(1, -1))
    expected, found = expected_vae(images), vae(images)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, vae), gradients(expected, expected_vae))


class Critic(nn.Module):
    """A critic with a sampled layer of logits ``[B, N, K]``, and the penalty of WGAN-GP (Gulrajani et al. 2017)."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.line = line
        self.encoder = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 12), nn.Unflatten(1, (3, 4)))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))
        self.double()

    def forward(self, points: Tensor) -> Tensor:
        return self.head(self.line(self.encoder(points)))

    def penalty(self, points: Tensor) -> Tensor:
        points = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(self(points).sum(), points, create_graph=True)
        return (slope.norm(dim=1) - 1).square().mean()


@pathwise
def test_gradient_penalty_has_the_published_second_derivatives(published, ours, monkeypatch) -> None:
    points = normal("points", 6, 2)
    expected_critic, critic = Critic(lambda at: published(at, -1)), Critic(lambda at: ours(at, -1))
    give(monkeypatch, torchs_gumbel(6, 3, 4))
    expected, found = expected_critic.penalty(points), critic.penalty(points)
    torch.testing.assert_close(found, expected)
    inputs = [dict(each.named_parameters()) for each in (expected_critic, critic)]
    expected_slopes, slopes = (
        torch.autograd.grad(penalty, list(each.values()), allow_unused=True, materialize_grads=True)
        for penalty, each in zip((expected, found), inputs, strict=True)
    )
    assert sum(each.any().item() for each in slopes) > 5  # all but the last bias, which a slope does not see
    torch.testing.assert_close(slopes, expected_slopes)


@pytest.mark.parametrize(
    "strategy",
    [
        *(ScoreFunction(), Rloo(), Carms(), MuProp(), DarnBaseline(), Enumeration()),
        *(Rebar(), Relax(nn.Linear(12, 1)), Arsm(), LocalExpectation(), ReinMaxMeanControl()),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_gradient_penalty_through_an_estimate_is_refused(strategy) -> None:
    critic, points = Critic(lambda at: at), normal("points", 6, 2).requires_grad_()
    strategy = strategy.double()
    loss = strategy.estimate(critic.encoder(points), critic.head).loss
    (slope,) = torch.autograd.grad(loss.sum(), points, create_graph=True)
    message = f"{type(strategy).__name__} gives no second derivatives"
    with pytest.raises(InputError, match=message) as caught:
        (slope.norm(dim=1) - 1).square().mean().backward()
    assert "\n" not in str(caught.value)


class Attention(nn.Module):
    """Hard attention: logits ``[B, K]`` of which of K glimpses ``[B, K, D]`` the classifier sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        self.classifier = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5))
        self.baseline = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
        self.double()

    def cost(self, glimpses: Tensor, labels: Tensor) -> Line:
        def of(z: Tensor) -> Tensor:
            seen = torch.einsum("bk,bkd->bd", z, glimpses)
            return 3 * F.cross_entropy(self.classifier(seen), labels, reduction="none")

        return of


GLIMPSES, LABELS = normal("glimpses", 3, 4, 3), torch.tensor([0, 4, 2])


def reinforce(
    model: Attention, gumbel: Tensor, baseline: Callable[[Tensor], Tensor | float], scale: Tensor | float = 1
) -> tuple[Tensor, Tensor]:
    """Public code: the surrogate and the cost of one glimpse an image, ``[B]`` each."""
    logits = model.attention(GLIMPSES)
    place = (logits + gumbel).argmax(-1).detach()
    cost = model.cost(GLIMPSES, LABELS)(F.one_hot(place, 4).double())
    advantage = (cost.detach() - baseline(cost.detach())) * scale
    return cost + Categorical(logits=logits).log_prob(place) * advantage, cost.detach()


def others(cost: Tensor) -> Tensor:
    """The mean of all the other costs."""
    return (cost.sum(0) - cost) / (len(cost) - 1)


def test_rloo_is_reinforce_with_the_other_samples_as_baseline(monkeypatch) -> None:
    """Kool et al. 2019, for the same four samples."""
    model, gumbel = Attention(), torchs_gumbel(4, 3, 4)
    costs = torch.stack([reinforce(model, each, lambda cost: 0)[1] for each in gumbel])
    surrogates = [reinforce(model, each, lambda _, b=b: b)[0] for each, b in zip(gumbel, others(costs), strict=True)]
    expected = torch.stack(surrogates).mean()
    give(monkeypatch, *gumbel.unsqueeze(-2))
    estimate = Rloo(4).estimate(model.attention(GLIMPSES), model.cost(GLIMPSES, LABELS))
    torch.testing.assert_close(estimate.loss, costs.mean(0))
    parts = model.attention, model.classifier
    torch.testing.assert_close(gradients(estimate.loss.mean(), *parts), gradients(expected, *parts))


def test_score_function_is_reinforce_with_a_moving_baseline(monkeypatch) -> None:
    """The first step has the other images' mean, the second the first's mean."""
    model, strategy = Attention(), ScoreFunction().double()
    parts, baseline = (model.attention, model.classifier), others
    for gumbel in torchs_gumbel(2, 3, 4):
        expected, cost = reinforce(model, gumbel, baseline)
        give(monkeypatch, gumbel.unsqueeze(-2))
        estimate = strategy.estimate(model.attention(GLIMPSES), model.cost(GLIMPSES, LABELS))
        torch.testing.assert_close(estimate.loss, cost)
        torch.testing.assert_close(gradients(estimate.loss.mean(), *parts), gradients(expected.mean(), *parts))
        mean = cost.mean()
        baseline = lambda _, mean=mean: mean  # noqa: E731


def test_nvil_is_reinforce_with_a_learned_baseline(monkeypatch) -> None:
    """Mnih and Gregor 2014: a network, a moving mean and deviation; the network learns from the squared rest."""
    model = Attention()
    strategy = Nvil(model.baseline).double()
    parts, rest = (model.attention, model.classifier), None
    for gumbel in torchs_gumbel(2, 3, 4):
        predicted = model.baseline(GLIMPSES).squeeze(-1)
        _, cost = reinforce(model, gumbel, lambda cost: 0)
        if rest is None:
            mean = others(cost - predicted.detach())
            variance = others((cost - predicted.detach()).square()) - mean.square()
        else:
            mean = rest.mean()
            variance = rest.square().mean() - mean.square()
        b, scale = predicted.detach() + mean, 1 / variance.clamp_min(0).sqrt().clamp_min(1)
        rest = cost - predicted.detach()
        expected = reinforce(model, gumbel, lambda _, b=b: b, scale)[0]
        give(monkeypatch, gumbel.unsqueeze(-2))
        objective = Objective(lambda z: z, model.cost(GLIMPSES, LABELS), context=GLIMPSES)
        estimate = strategy.estimate(model.attention(GLIMPSES), objective)
        torch.testing.assert_close(estimate.loss, cost)
        torch.testing.assert_close(gradients(estimate.loss.mean(), *parts), gradients(expected.mean(), *parts))
        square = (cost - mean - predicted).square().mean()
        torch.testing.assert_close(gradients(estimate.strategy_loss, model.baseline), gradients(square, model.baseline))


def unscaled_nvil() -> Nvil:
    return Nvil(Attention().baseline, normalise=False)


@pytest.mark.parametrize("kind", [ScoreFunction, Rloo, Rebar, unscaled_nvil], ids=lambda kind: kind.__name__)
def test_score_functions_average_to_the_exact_gradient_of_all_parameters(kind) -> None:
    """400 batches of 50 copies of each image, beside the sum over all places.

    93 parameters within 5 standard errors: false alarm below 1e-4 a strategy.
    """
    torch.manual_seed(3)
    model, strategy = Attention(), kind().double()
    many, labels = GLIMPSES.repeat(50, 1, 1), LABELS.repeat(50)
    parts = model.attention, model.classifier
    places = torch.eye(4, dtype=torch.float64)
    costs = torch.stack([model.cost(GLIMPSES, LABELS)(place.expand(3, 4)) for place in places], -1)
    exact = gradients((model.attention(GLIMPSES).softmax(-1) * costs).sum(-1).mean(), *parts)
    found = []
    for _ in range(400):
        cost = model.cost(many, labels)
        posed = Objective(lambda z: z, cost, context=many) if isinstance(strategy, Nvil) else cost
        loss = strategy.estimate(model.attention(many), posed).loss.mean()
        found.append(vector(gradients(loss, *parts)))
    assert_mean_is(found, vector(exact))


LEGAL = torch.tensor([[[1, 1, 0, 1], [0, 1, 1, 0]], [[0, 0, 0, 1], [1, 0, 1, 0]]]).bool()
"""Actions of two states with two choices each."""


def black_box(actions: Tensor) -> Tensor:
    return (actions * torch.tensor([1.0, 3.0])).sum(-1).sin()


def test_masked_policy_is_reinforce_with_an_entropy_bonus(monkeypatch) -> None:
    """With -inf in the logits and a reward without a gradient: the same two samples, the same gradients, no NaN."""
    policy = nn.Linear(3, 8).double()
    states, gumbel = normal("states", 2, 3), torchs_gumbel(2, 2, 2, 4)

    def logits() -> Tensor:
        return policy(states).view(2, 2, 4).masked_fill(~LEGAL, -torch.inf)

    q = Categorical(logits=logits())
    actions = (logits() + gumbel).argmax(-1)
    reward = -black_box(actions)
    expected = -(q.log_prob(actions).sum(-1) * (reward - others(reward))).mean() - 0.1 * q.entropy().sum(-1).mean()
    give(monkeypatch, *gumbel)
    estimate = Rloo(2).estimate(logits(), lambda z: black_box(z.argmax(-1)))
    loss = estimate.loss.mean() - 0.1 * entropy(logits()).sum(-1).mean()
    torch.testing.assert_close(estimate.loss.double(), -reward.mean(0), check_dtype=False)
    found = gradients(loss, policy)
    assert all(each.isfinite().all() for each in found)
    torch.testing.assert_close(found, gradients(expected, policy), rtol=1e-6, atol=1e-7)  # the reward is in float32


NEEDING = {"nvil", "relax", "target-propagation"}
"""Strategies that are made with a network, or want more than a cost; the first two have it below."""
MASKED = [
    kind for name, kind in STRATEGIES.items() if kind.categorical() and kind.categories is None and name not in NEEDING
] + [functools.partial(kind, nn.Linear(4, 1)) for kind in (Nvil, Relax)]


@pytest.mark.parametrize("kind", MASKED, ids=lambda kind: getattr(kind, "func", kind).__name__)
def test_illegal_actions_are_never_taken(kind) -> None:
    """20,000 choices each, with -inf for half of the actions; no gradient is NaN, and none reaches these."""
    logits = normal("choices", 5000, 4).float().masked_fill(torch.arange(4) % 2 == 0, -torch.inf).requires_grad_()
    cost = Objective(
        lambda z: z,
        lambda z: (z * torch.arange(4)).sum((-1, -2)).square(),
        context=torch.ones(5000, 4),
        curvature=lambda z: 2 * torch.arange(4.0).square().expand_as(z),
    )
    strategy = kind()
    estimate = strategy.estimate(logits.unsqueeze(-2), cost)
    (estimate.loss.mean() + estimate.strategy_loss).backward()
    assert not estimate.sample[..., ::2].any()
    assert estimate.sample[..., 1::2].any()
    assert estimate.loss.isfinite().all()
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 1::2].any()
    assert not logits.grad[:, ::2].any()
    assert all(each.grad.isfinite().all() for each in strategy.parameters())


X = normal("x", 5, 6).float()
MISUSES = {
    "mean loss": (lambda z: F.mse_loss(z.flatten(1), X), r"the loss has shape \[\]; .*take no \.mean\(\)"),
    "loss [B, 1]": (lambda z: z.flatten(1).sum(1, keepdim=True), r"the loss has shape \[5, 1\]; .*\.squeeze\(-1\)"),
    "loss [B, D]": (lambda z: (z.flatten(1) - X).square(), r"the loss has shape \[5, 6\]; give one number an example"),
    "part of the batch": (lambda z: z[:3].sum((1, 2)), r"the loss has shape \[3\]; give one number an example"),
    "tuple": (lambda z: (z.sum((1, 2)), {}), r"the loss is a tuple; give a tensor of one number an example, \[5\]"),
    "number": (lambda z: z.sum().item(), r"the loss is a float; give a tensor of one number an example, \[5\]"),
}


@pytest.mark.parametrize("strategy", [Rloo(2), ScoreFunction(), Rebar(), ReinMax(), GumbelSoftmax()], ids=repr)
@pytest.mark.parametrize("misuse", MISUSES)
def test_wrong_losses_are_told(strategy, misuse) -> None:
    cost, message = MISUSES[misuse]
    with pytest.raises(InputError, match=message) as caught:
        strategy.estimate(torch.randn(5, 2, 3, requires_grad=True), cost)
    assert "\n" not in str(caught.value)


class Channels(nn.Module):
    """Third-party code around the line."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.net, self.line = nn.Conv2d(1, 6, 1), line

    def forward(self, images: Tensor) -> Tensor:
        return self.line(self.net(images))


@pytest.mark.parametrize(
    ("line", "message"),
    {
        "wrong dim": (lambda at: functional.reinmax(at, dim=4), r"dim is 4; the logits have shape \[2, 6, 3, 3\]"),
        "dim of the batch": (
            lambda at: Rloo().estimate(at, lambda z: z.sum((1, 2, 3)), dim=0).loss,
            r"logits of shape \[2, 6, 3, 3\] have no batch before the categories' dim 0",
        ),
        "dim forgotten": (
            lambda at: Rloo().estimate(at, lambda z: z.sum((1, 2, 3))).loss,
            r"the loss has shape \[2\]; give one number an example, \[2, 6\]",
        ),
        "no dim": (lambda at: functional.zgr(at, dim=None), r"dim is a NoneType; give the categories' dimension"),
        "cost in dim's place": (lambda at: ReinMax()(at, lambda z: z), r"dim is a function; .*estimate\(logits, obj"),
        "indices": (lambda at: functional.reinmax(at.argmax(1), dim=1), "the logits are int64; give a tensor of float"),
        "booleans": (lambda at: functional.softmax(at > 0, dim=1), "the logits are bool; give a tensor of floating-po"),
        "list": (lambda at: functional.softmax([at], dim=1), "the logits are list; give a tensor of floating-point"),
        "score function": (lambda at: Rloo()(at, dim=1), r"Rloo gives no sample that has a gradient; call estimate\("),
        "rebar": (lambda at: Rebar()(at), r"Rebar gives no sample that has a gradient; call estimate\("),
        "in a distribution": (
            lambda at: OneHotCategorical(Rloo(), logits=at).rsample(),
            "the strategy is Rloo; give one whose categorical sample has a gradient",
        ),
        "no temperature": (lambda at: functional.reinmax(at, temperature=0), "temperature is 0; give a finite number"),
    }.values(),
)
def test_wrong_lines_are_told(line, message) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Channels(line)(torch.randn(2, 1, 3, 3))
    assert "\n" not in str(caught.value)
