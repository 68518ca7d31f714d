"""``torch.distributions`` with a strategy's gradient, against torch's own."""

import math

import pytest
import torch
from torch import Tensor, distributions

from discrete_vae.distributions import OneHotCategorical
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import seeded
from discrete_vae.strategies import STRATEGIES, GaussianReparameterisation, GumbelSoftmax, ReinMax, Rloo
from discrete_vae.strategies.pathwise import Pathwise

LOGITS = torch.randn(4, 3, 5, generator=seeded(0))
PRIOR = torch.randn(5, generator=seeded(1))
PATHWISE = [name for name, kind in STRATEGIES.items() if issubclass(kind, Pathwise) and kind.categorical()]


@pytest.mark.parametrize("name", PATHWISE)
def test_rsample_is_the_strategys_sample(name) -> None:
    logits = LOGITS.clone().requires_grad_()
    torch.manual_seed(0)
    z = OneHotCategorical(STRATEGIES[name](), logits=logits).rsample()
    (z * PRIOR).square().sum().backward()
    own = LOGITS.clone().requires_grad_()
    torch.manual_seed(0)
    expected = STRATEGIES[name]()(own - own.logsumexp(-1, keepdim=True))
    (expected * PRIOR).square().sum().backward()
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(logits.grad, own.grad, atol=1e-6, rtol=1e-4)


def test_densities_are_torchs() -> None:
    ours, torchs = OneHotCategorical(ReinMax(), logits=LOGITS), distributions.OneHotCategorical(logits=LOGITS)
    z = torchs.sample((7,))
    torch.testing.assert_close(ours.log_prob(z), torchs.log_prob(z))
    torch.testing.assert_close(ours.entropy(), torchs.entropy())
    prior = distributions.OneHotCategorical(logits=PRIOR)
    both = [OneHotCategorical(ReinMax(), logits=PRIOR), prior]
    expected = distributions.kl_divergence(torchs, prior)
    for other in both:
        torch.testing.assert_close(distributions.kl_divergence(ours, other), expected)
    torch.testing.assert_close(distributions.kl_divergence(torchs, both[0]), expected)
    assert (ours.batch_shape, ours.event_shape, ours.has_rsample) == ((4, 3), (5,), True)
    assert ours.sample((2,)).shape == ours.rsample((2,)).shape == (2, 4, 3, 5)


def test_frequencies_are_the_probabilities() -> None:
    torch.manual_seed(0)
    q = OneHotCategorical(ReinMax(), logits=LOGITS)
    error = (q.rsample((20_000,)).mean(0) - LOGITS.softmax(-1)) / (LOGITS.softmax(-1) / 20_000).sqrt()
    assert error.abs().max() < 5


@pytest.mark.parametrize("given", ["logits", "probs"])
def test_masked_categories(given) -> None:
    logits = LOGITS + torch.tensor([0, 0, 0, 0, -math.inf])
    parameter = (logits if given == "logits" else logits.softmax(-1)).clone().requires_grad_()
    q = OneHotCategorical(ReinMax(), **{given: parameter})
    z = q.rsample((1000,))
    assert not z[..., -1].any()
    unlike = torch.eye(5)[-1].expand(4, 3, 5)
    assert (q.log_prob(unlike) == -math.inf).all()
    uniform = OneHotCategorical(ReinMax(), logits=torch.zeros(5))
    assert distributions.kl_divergence(q, uniform).isfinite().all()
    for possible in (uniform, distributions.OneHotCategorical(logits=torch.zeros(5))):
        assert (distributions.kl_divergence(possible, q) == math.inf).all()
    total = q.log_prob(z.detach()).sum() + q.entropy().sum() + (z * PRIOR).square().sum()
    (total + distributions.kl_divergence(q, uniform).sum()).backward()
    assert parameter.grad.isfinite().all()
    if given == "logits":
        assert not parameter.grad[..., -1].any()


def test_it_is_a_distribution_like_others() -> None:
    temperatures = torch.tensor([0.1, 0.5, 1.0, 2.0])
    q = OneHotCategorical(GumbelSoftmax(temperatures), logits=LOGITS, validate_args=True)  # torch.compile turns it off
    expanded = OneHotCategorical(ReinMax(), logits=LOGITS).expand((2, 4, 3))
    assert expanded.rsample().shape == (2, 4, 3, 5)
    variables = distributions.Independent(OneHotCategorical(ReinMax(), logits=LOGITS), 1)
    z = variables.rsample((6,))
    assert variables.log_prob(z).shape == (6, 4)
    assert q.rsample((6,)).shape == (6, 4, 3, 5)
    half = OneHotCategorical(ReinMax(), logits=LOGITS.bfloat16())
    assert half.rsample().dtype == half.sample().dtype == torch.bfloat16
    assert half.entropy().dtype == torch.float32
    with pytest.raises(ValueError, match="support"):
        q.log_prob(q.rsample())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneHotCategorical(Rloo(), logits=LOGITS), "the strategy is Rloo; give one whose categorical sample"),
        (lambda: OneHotCategorical(LOGITS), "the strategy is Tensor"),
        (lambda: OneHotCategorical(GaussianReparameterisation(), logits=LOGITS), "GaussianReparameterisation"),
        (lambda: OneHotCategorical(ReinMax()), "give either probs or logits"),
        (lambda: OneHotCategorical(ReinMax(), LOGITS.softmax(-1), LOGITS), "give either probs or logits"),
    ],
)
def test_what_is_no_such_distribution_is_refused(make, message) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_a_loss_of_a_variational_auto_encoder() -> None:
    """As the module's documentation has it."""
    logits = LOGITS.clone().requires_grad_()

    def loss(at: Tensor) -> Tensor:
        q = OneHotCategorical(ReinMax(1.3), logits=at)
        prior = distributions.OneHotCategorical(logits=torch.zeros(5))
        return (q.rsample() * PRIOR).square().sum((-1, -2)) + distributions.kl_divergence(q, prior).sum(-1)

    loss(logits).sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"probs": torch.tensor([math.nan, 3, 5])}, "probs are negative or NaN somewhere; give numbers of at least 0"),
        ({"probs": torch.tensor([-1.0, 3, 5])}, "probs are negative or NaN somewhere; give numbers of at least 0"),
        ({"probs": torch.tensor([1, 3, 5])}, "probs are int64; give a tensor of floating-point numbers"),
        ({"probs": [0.5, 0.5]}, "probs are list; give a tensor of floating-point numbers"),
        ({"logits": torch.tensor([1, 3, 5])}, "the logits are int64; give a tensor of floating-point numbers"),
    ],
)
def test_parameters_that_are_none_are_refused(given, message) -> None:
    """Probabilities of NaN would pass for masked categories, and whole numbers for their truncated logarithms."""
    with pytest.raises(InputError, match=message):
        OneHotCategorical(ReinMax(), **given, validate_args=True)


def test_probabilities_in_half_precision_keep_their_logarithms() -> None:
    probs = LOGITS.softmax(-1).bfloat16()
    q = OneHotCategorical(ReinMax(), probs=probs)
    exact = distributions.OneHotCategorical(probs=probs.float(), validate_args=False)
    torch.testing.assert_close(q.probs, exact.probs)
    assert q.rsample().dtype == torch.bfloat16


def test_densities_broadcast_as_torchs_do() -> None:
    """Of one-hot values of any dtype, also as components of a mixture."""
    each = OneHotCategorical(ReinMax(), logits=LOGITS), distributions.OneHotCategorical(logits=LOGITS)
    for value in (torch.eye(5)[2], torch.eye(5)[2].bool(), torch.eye(5)[:4].long().unsqueeze(1)):
        ours, torchs = (q.log_prob(value) for q in each)
        torch.testing.assert_close(ours, torchs)
    weights = distributions.Categorical(logits=LOGITS[..., 0])
    z = each[1].sample((2,))[..., 0, :]
    ours, torchs = (distributions.MixtureSameFamily(weights, q).log_prob(z) for q in each)
    torch.testing.assert_close(ours, torchs)


def test_expanded_variables_keep_the_temperature_of_their_example() -> None:
    """With as many copies as there are examples: the new dimension is none of these."""
    temperature = torch.tensor([0.01, 0.1, 10, 1000])
    strategy = GumbelSoftmax(temperature)
    q = OneHotCategorical(strategy, logits=torch.zeros(4, 3, 5)).expand((4, 4, 3))
    largest = q.rsample((200,)).amax(-1).mean((0, 1, 3))
    assert largest[:2].min() > 0.9
    assert largest[2:].max() < 0.4
    assert strategy.temperature is not q.strategy.temperature
    assert strategy.temperature.equal(temperature)
