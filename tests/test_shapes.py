"""Variables with two categories, and shapes whose axes all differ, against sums written down and torch.distributions.

With as many categories as variables or images a swapped axis goes unseen, and with two categories some formulas
simplify: a relaxed sample is a sigmoid, and a log-probability is a softplus.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, OneHotCategorical, kl_divergence
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical
from torch.nn import functional as F

from discrete_vae.evaluation.gradients import exact_gradient, exact_value
from discrete_vae.latents import categorical
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.deterministic import Deterministic, Real
from discrete_vae.latents.family import Family
from discrete_vae.latents.gaussian import Gaussian
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.latents.sparse import Sparse
from discrete_vae.strategies import Objective

SHAPES = [(5, 3, 2), (2, 3, 7), (3, 2, 11), (4, 6, 2), (2, 1, 5), (7, 4, 3), (3, 1, 2)]
"""Images B, variables N, categories K."""
cases = pytest.mark.parametrize("shape", SHAPES, ids=str)


def normal(stream: str, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64)


def logits_of(shape: tuple[int, ...], stream: str = "logits") -> Tensor:
    """Not normalised, and of another sum for each variable."""
    return 2 * normal(stream, *shape) + normal(f"{stream} shift", *shape[:-1], 1)


def samples_of(shape: tuple[int, ...]) -> Tensor:
    index = torch.randint(0, shape[-1], shape[:-1], generator=seeded(0, "sample"))
    return F.one_hot(index, shape[-1]).double()


def probabilities(row: list[float]) -> list[float]:
    total = math.fsum(math.exp(each) for each in row)
    return [math.exp(each) / total for each in row]


def images(logits: Tensor) -> list[list[list[float]]]:
    """The probabilities of each variable of each image, as Python's numbers."""
    return [[probabilities(row) for row in image] for image in logits.tolist()]


def close(found: Tensor, expected: object) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-10)


@cases
def test_entropy_and_divergences_of_each_variable(shape: tuple[int, int, int]) -> None:
    categories = shape[-1]
    logits, prior = logits_of(shape), logits_of(shape, "prior")
    entropies = [[-math.fsum(p * math.log(p) for p in row) for row in image] for image in images(logits)]
    to_uniform = [[math.fsum(p * math.log(categories * p) for p in row) for row in image] for image in images(logits)]
    to_prior = [
        [math.fsum(p * math.log(p / r) for p, r in zip(*rows, strict=True)) for rows in zip(*pair, strict=True)]
        for pair in zip(images(logits), images(prior), strict=True)
    ]
    close(categorical.entropy(logits), entropies)
    close(categorical.kl_to_uniform(logits), to_uniform)
    close(categorical.kl(logits, prior), to_prior)
    close(Categorical(*shape[1:]).kl(logits), to_uniform)
    close(Categorical(*shape[1:]).mean(logits), images(logits))
    own, other = OneHotCategorical(logits=logits), OneHotCategorical(logits=prior)
    close(categorical.entropy(logits), own.entropy())
    close(categorical.kl(logits, prior), kl_divergence(own, other))
    assert not categorical.kl(logits, prior).allclose(categorical.kl(prior, logits))


@cases
def test_a_divergence_broadcasts_a_prior_of_all_images(shape: tuple[int, int, int]) -> None:
    logits, prior = logits_of(shape), logits_of(shape[1:], "prior")
    close(categorical.kl(logits, prior), categorical.kl(logits, prior.expand(shape)))
    assert categorical.kl(logits.unsqueeze(0), prior.expand(4, 1, *shape[1:])).shape == (4, *shape[:-1])


@cases
def test_log_probability_and_log_ratio_of_each_image(shape: tuple[int, int, int]) -> None:
    _, latents, categories = shape
    logits, sample = logits_of(shape), samples_of(shape)
    taken = sample.argmax(-1).tolist()
    expected = [
        math.fsum(math.log(row[k]) for row, k in zip(image, places, strict=True))
        for image, places in zip(images(logits), taken, strict=True)
    ]
    close(categorical.log_prob(logits, sample), expected)
    close(categorical.log_prob(logits, sample), OneHotCategorical(logits=logits).log_prob(sample).sum(-1))
    ratios = [-latents * math.log(categories) - each for each in expected]
    close(Categorical(latents, categories).log_ratio(logits, sample), ratios)


@cases
def test_log_ratios_of_many_samples_stand_beside_each_other(shape: tuple[int, int, int]) -> None:
    """Samples ``[P, S, B, N, K]`` of parameters ``[P, 1, B, N, K]``, for every family: ``[P, S, B]``."""
    members, samples = 2, 4
    families: list[Family] = [
        Categorical(*shape[1:]),
        Sparse(*shape[1:]),
        Gaussian(shape[1]),
        Deterministic(shape[1]),
        Real(shape[1]),
    ]
    for family in families:
        parameters = normal("parameters", members, shape[0], *family.parameter_shape)
        drawn = family.sample(parameters, Noise([seeded(p) for p in range(members)]), samples)
        assert drawn.shape == (members, samples, shape[0], *family.sample_shape)
        together = family.log_ratio(parameters.unsqueeze(1), drawn).expand(members, samples, shape[0])
        for p, s, b in itertools.product(range(members), range(samples), range(shape[0])):
            alone = family.log_ratio(parameters[p, b], drawn[p, s, b])
            torch.testing.assert_close(together[p, s, b], alone)


@cases
def test_concrete_density_of_each_variable(shape: tuple[int, int, int]) -> None:
    """``(K - 1)! tau^(K - 1) prod_k pi_k y_k^-tau / (sum_k pi_k y_k^-tau)^K``, of log y, for three temperatures."""
    categories = shape[-1]
    logits = logits_of(shape)
    log_sample = logits_of(shape, "relaxed").log_softmax(-1)
    for tau in (0.3, 1.0, 2.5):
        expected = []
        for image, points in zip(images(logits), log_sample.tolist(), strict=True):
            row = []
            for pi, y in zip(image, points, strict=True):
                scores = [p * math.exp(-tau * log_y) for p, log_y in zip(pi, y, strict=True)]
                density = math.factorial(categories - 1) * tau ** (categories - 1) * math.prod(scores)
                row.append(math.log(density / sum(scores) ** categories))
            expected.append(row)
        found = categorical.exp_concrete_log_density(logits, tau, log_sample)
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-8)
        torchs = ExpRelaxedCategorical(torch.tensor(tau).double(), logits=logits, validate_args=False)
        torch.testing.assert_close(found, torchs.log_prob(log_sample))


@cases
def test_concrete_density_with_a_temperature_for_each_member(shape: tuple[int, int, int]) -> None:
    temperatures = [0.3, 1.0, 2.5]
    logits, log_sample = logits_of((3, *shape)), logits_of((3, *shape), "relaxed").log_softmax(-1)
    column = torch.tensor(temperatures, dtype=torch.float64).view(3, 1, 1, 1)
    found = categorical.exp_concrete_log_density(logits, column, log_sample)
    assert found.shape == (3, *shape[:-1])
    for p, tau in enumerate(temperatures):
        close(found[p], categorical.exp_concrete_log_density(logits[p], tau, log_sample[p]))


def gumbel(uniform: Tensor) -> Tensor:
    return -(-(1 - uniform).log()).log()


@cases
def test_samples_by_the_gumbel_trick_and_their_relaxation(shape: tuple[int, int, int]) -> None:
    logits = logits_of(shape)
    noise = Noise([seeded(4)]).gumbel(shape, torch.float64)
    close(noise, gumbel(Noise([seeded(4)]).uniform(shape, torch.float64)))
    perturbed = logits + noise
    expected = F.one_hot(perturbed.argmax(-1), shape[-1]).double()
    assert categorical.hard_sample(logits, noise).equal(expected)
    for tau in (0.2, 1.0, 3.0):
        relaxed = [[probabilities([each / tau for each in row]) for row in image] for image in perturbed.tolist()]
        close(categorical.relaxed_sample(logits, noise, tau), relaxed)


def test_two_categories_are_a_sigmoid() -> None:
    """Samples, relaxed samples, log-probabilities, entropy and Jacobian by the difference of the two logits."""
    logits = logits_of((6, 4, 2))
    noise = Noise([seeded(5)]).gumbel(logits.shape, torch.float64)
    difference, shift = logits[..., 0] - logits[..., 1], noise[..., 0] - noise[..., 1]
    first = difference.sigmoid()
    close(categorical.softmax(logits)[..., 0], first)
    assert categorical.hard_sample(logits, noise)[..., 0].equal((difference + shift > 0).double())
    close(categorical.relaxed_sample(logits, noise, 0.4)[..., 0], ((difference + shift) / 0.4).sigmoid())
    sample = samples_of((6, 4, 2))
    signed = torch.where(sample[..., 0] > 0, difference, -difference)
    close(categorical.log_prob(logits, sample), F.logsigmoid(signed).sum(-1))
    bernoulli = torch.distributions.Bernoulli(logits=difference)
    close(categorical.entropy(logits), bernoulli.entropy())
    close(categorical.kl_to_uniform(logits), math.log(2) - bernoulli.entropy())
    vector = normal("vector", 6, 4, 2)
    slope = first * (1 - first) * (vector[..., 0] - vector[..., 1])
    close(categorical.jacobian_product(categorical.softmax(logits), vector), torch.stack([slope, -slope], -1))


def test_frequencies_of_two_categories() -> None:
    """100,000 samples of each kind: within 5 standard errors of the sigmoid, false alarm below 1e-5 in all."""
    count = 100_000
    logits = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-2.0, -2.0]])
    first = (logits[:, 0] - logits[:, 1]).sigmoid()
    error = 5 * (first * (1 - first) / count).sqrt()
    many = logits.expand(count, 3, 2)
    trick = categorical.hard_sample(many, Noise([seeded(6)]).gumbel(many.shape)).mean(0)
    inverse = Categorical(3, 2).sample(logits[None], Noise([seeded(7)]), samples=count).mean((0, 1))
    prior = Categorical(3, 2).prior_sample(count, Noise([seeded(8)])).mean(0)
    assert ((trick[:, 0] - first).abs() < error).all()
    assert ((inverse[:, 0] - first).abs() < error).all()
    assert ((prior[:, 0] - 0.5).abs() < 5 * 0.5 / math.sqrt(count)).all()


@cases
def test_samples_by_the_inverse_distribution_function(shape: tuple[int, int, int]) -> None:
    """Each takes the first category whose cumulative probability is above its uniform number."""
    members, samples = 2, 3
    logits = logits_of((members, *shape))
    drawn = Categorical(*shape[1:]).sample(logits, Noise([seeded(p) for p in range(members)]), samples)
    assert drawn.shape == (members, samples, *shape)
    for p in range(members):
        uniform = Noise([seeded(p)]).uniform((1, samples, *shape[:-1], 1), torch.float64)[0]
        for s, b, n in itertools.product(range(samples), range(shape[0]), range(shape[1])):
            left, place = uniform[s, b, n].item(), 0
            row = probabilities(logits[p, b, n].tolist())
            while left >= row[place] and place < len(row) - 1:
                left -= row[place]
                place += 1
            assert drawn[p, s, b, n].argmax().item() == place


@cases
def test_states_and_exact_sums_over_them(shape: tuple[int, int, int]) -> None:
    """Value and gradient of an objective that no sum over single variables gives."""
    _, latents, categories = shape
    if categories**latents > 500:
        pytest.skip("as many states prove no more")
    logits, costs = logits_of(shape), normal("costs", latents, categories)
    states = list(itertools.product(range(categories), repeat=latents))
    found = categorical.enumerate_states(latents, categories, torch.float64)
    assert found.argmax(-1).tolist() == [list(state) for state in states]
    objective = Objective(decode=lambda z: z, loss=lambda z: (z * costs).sum((-1, -2)).sin())
    values, slopes = [], []
    for image in images(logits):
        total, slope = 0.0, [[0.0] * categories for _ in range(latents)]
        for state in states:
            chance = math.prod(row[k] for row, k in zip(image, state, strict=True))
            cost = math.sin(math.fsum(costs[n, k].item() for n, k in enumerate(state)))
            total += chance * cost
            for n, k in itertools.product(range(latents), range(categories)):
                slope[n][k] += chance * cost * ((state[n] == k) - image[n][k])
        values.append(total)
        slopes.append(slope)
    close(exact_value(logits, objective), values)
    close(exact_gradient(logits, objective), slopes)


@cases
def test_code_entropy_is_summed_over_variables(shape: tuple[int, int, int]) -> None:
    members = logits_of((3, *shape[1:])).softmax(-1)
    expected = [-math.fsum(p * math.log(p) for row in image for p in row) for image in members.tolist()]
    close(Categorical(*shape[1:]).code_entropy(members), expected)


@pytest.mark.parametrize("shape", [(2, 3, 5), (4, 2, 7), (3, 1, 2)], ids=str)
def test_gaussian_numbers_of_each_variable(shape: tuple[int, int, int]) -> None:
    """Images, variables and samples all differ in number; KL and log-ratio by the densities written down."""
    batch, latents, samples = shape
    family, parameters = Gaussian(latents), normal("gaussian", batch, latents, 2)
    drawn = family.sample(parameters, Noise([seeded(9)]), samples)
    epsilon = Noise([seeded(9)]).normal((samples, batch, latents, 1), torch.float64)
    kl, ratios = [], [[0.0] * batch for _ in range(samples)]
    for b in range(batch):
        kl.append([])
        for n in range(latents):
            mean, log_variance = parameters[b, n].tolist()
            deviation = math.exp(log_variance / 2)
            kl[b].append(0.5 * (mean**2 + deviation**2 - 1 - 2 * math.log(deviation)))
            for s in range(samples):
                z = drawn[s, b, n, 0].item()
                assert z == pytest.approx(mean + deviation * epsilon[s, b, n, 0].item(), rel=1e-12)
                log_p = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
                log_q = -0.5 * ((z - mean) / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)
                ratios[s][b] += log_p - log_q
    close(family.kl(parameters), kl)
    close(family.log_ratio(parameters, drawn), ratios)
    posterior = Normal(parameters[..., 0], (parameters[..., 1] / 2).exp())
    close(family.kl(parameters), kl_divergence(posterior, Normal(torch.zeros(()).double(), 1.0)))


def test_gaussian_literals() -> None:
    """Means 1 and 0 and variances 1 and 4: 0.5 nats and (4 - 1 - log 4) / 2; a sample's densities by hand."""
    parameters = torch.tensor([[1.0, 0.0], [0.0, math.log(4)]], dtype=torch.float64)
    close(Gaussian(2).kl(parameters), [0.5, 0.8068528194400546])
    # log p - log q: at 2, (1 - 4) / 2; at -1, (1 / 4 - 1) / 2 + log 2.
    ratio = Gaussian(2).log_ratio(parameters, torch.tensor([[2.0], [-1.0]], dtype=torch.float64))
    close(ratio, -1.5 - 0.375 + 0.6931471805599453)


def test_normal_numbers_are_box_and_mullers() -> None:
    """``sqrt(-2 log(1 - u)) cos(2 pi v)`` of neighbouring uniform numbers, whatever the shape."""
    for shape in ((3, 2), (2, 3, 1), (1, 7), (2, 2, 2)):
        found = Noise([seeded(10)]).normal(shape, torch.float64)
        pairs = Noise([seeded(10)]).uniform((*shape, 2), torch.float64).reshape(-1, 2).tolist()
        expected = [math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v) for u, v in pairs]
        close(found, torch.tensor(expected, dtype=torch.float64).view(shape))


def test_a_code_without_noise() -> None:
    """Sigmoid of the parameters, or the parameters: the same for all samples, without KL and without a log-ratio."""
    parameters = torch.tensor([[[0.0], [math.log(3)]], [[-math.log(4)], [2.0]], [[1.0], [-1.0]]])
    codes = {
        Deterministic(2): [[0.5, 0.75], [0.2, 0.880797], [0.731059, 0.268941]],
        Real(2): parameters.squeeze(-1).tolist(),
    }
    for family, expected in codes.items():
        assert (family.parameter_shape, family.sample_shape) == ((2, 1), (2, 1))
        drawn = family.sample(parameters, Noise([seeded(0)]), samples=4)
        assert drawn.shape == (4, 3, 2, 1)
        torch.testing.assert_close(drawn.squeeze(-1), torch.tensor(expected).expand(4, -1, -1))
        torch.testing.assert_close(family.mean(parameters).squeeze(-1), torch.tensor(expected))
        assert family.kl(parameters).equal(torch.zeros(3, 2))
        assert family.log_ratio(parameters, drawn).equal(torch.zeros(3))
        assert family.code_entropy(family.mean(parameters)).isnan().tolist() == [True] * 3


def test_gradients_of_a_code_without_noise() -> None:
    parameters = torch.tensor([[[0.0], [math.log(3)]]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[2.0], [16.0]], dtype=torch.float64)
    for family, expected in ((Deterministic(2), [0.5, 3.0]), (Real(2), [2.0, 16.0])):
        total = (family.sample(parameters, Noise([seeded(0)])) * weights).sum()
        (gradient,) = torch.autograd.grad(total, parameters)
        close(gradient.flatten(), expected)


def test_prior_codes_of_an_auto_encoder_are_uniform() -> None:
    """10,000 numbers in the unit interval: mean and variance within 5 standard errors."""
    drawn = Deterministic(2).prior_sample(10_000, Noise([seeded(11)])).squeeze(-1)
    assert drawn.shape == (10_000, 2)
    assert 0 <= drawn.min() < drawn.max() < 1
    assert ((drawn.mean(0) - 1 / 2).abs() < 5 / math.sqrt(12 * 10_000)).all()
    assert ((drawn.var(0) - 1 / 12).abs() < 5 / math.sqrt(180 * 10_000)).all()
