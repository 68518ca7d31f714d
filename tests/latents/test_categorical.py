"""Categorical latents against torch.distributions and closed forms.

Frequencies are judged by chi-square at a p-value of 1e-6, which is each test's false-alarm probability.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import OneHotCategorical, kl_divergence
from torch.distributions.relaxed_categorical import ExpRelaxedCategorical, RelaxedOneHotCategorical
from torch.nn import functional as F

from discrete_vae.errors import InputError
from discrete_vae.latents import categorical
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.noise import Noise, seeded

# Strongly uneven: the rarest category of the first variable has probability 8e-4.
UNEVEN = torch.tensor([[3.0, -2.0, 0.0, -4.0], [0.0, 0.0, 0.0, 0.0], [-1.0, 5.0, 2.0, 0.5]])
LOGITS = torch.randn(6, 3, 4, generator=seeded(0), dtype=torch.float64) * 2
TORCH = OneHotCategorical(logits=LOGITS)


def noise(*seeds: int) -> Noise:
    return Noise([seeded(seed, "test") for seed in seeds])


def p_value(samples: Tensor, probabilities: Tensor) -> float:
    """Smallest chi-square p-value of any variable: one-hot samples ``[S, ..., K]``, probabilities ``[..., K]``."""
    expected = len(samples) * probabilities.double()
    chi_square = ((samples.double().sum(0) - expected).square() / expected).sum(-1)
    degrees = torch.tensor((probabilities.shape[-1] - 1) / 2, dtype=torch.float64)
    return torch.special.gammaincc(degrees, chi_square / 2).min().item()


def test_gumbel_max_has_the_categorical_frequencies() -> None:
    """1e6 draws: a relative error of 20% in the rarest category (expected 838) is 6 standard errors."""
    many = UNEVEN.expand(1_000_000, 3, 4)
    samples = categorical.hard_sample(many, noise(0).gumbel(many.shape))
    assert p_value(samples, UNEVEN.softmax(-1)) > 1e-6
    assert p_value(samples, (UNEVEN * 1.02).softmax(-1)) < 1e-6  # power: logits 2% too large are found out
    assert p_value(samples, UNEVEN.flip(-1).softmax(-1)) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_gumbel_max_in_half_precision_keeps_the_frequencies_to_its_rounding(dtype) -> None:
    """Ties between rounded sums shift about one part in 2^8 (bfloat16): allow 1% of absolute probability."""
    many = UNEVEN.to(dtype).expand(200_000, 3, 4)
    samples = categorical.hard_sample(many, noise(1).gumbel(many.shape, dtype))
    assert samples.dtype == dtype
    assert samples.float().sum(-1).eq(1).all()
    assert (samples.float().mean(0) - UNEVEN.softmax(-1)).abs().max() < 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_gumbel_max_of_half_precision_logits_is_that_of_their_values(dtype) -> None:
    """Their sum with single-precision noise is not rounded."""
    logits = UNEVEN.to(dtype).expand(20_000, 3, 4)
    gumbel = noise(1).gumbel(logits.shape)
    assert categorical.hard_sample(logits, gumbel).float().equal(categorical.hard_sample(logits.float(), gumbel))


def test_inverse_cdf_samples_have_the_categorical_frequencies() -> None:
    """Shapes [B, N, K] -> [S, B, N, K]; each of the 2 x 3 variables is judged on its own."""
    logits = torch.stack([UNEVEN, UNEVEN.flip(-1)])
    samples = Categorical(3, 4).sample(logits, noise(2), samples=500_000)
    assert samples.shape == (500_000, 2, 3, 4)
    assert samples.sum(-1).eq(1).all()
    assert p_value(samples, logits.softmax(-1)) > 1e-6
    assert p_value(samples, (logits * 1.03).softmax(-1)) < 1e-6  # power
    # Variables and observations are independent: counts of pairs follow the product.
    pairs = (samples[:, 0, 1, :, None] * samples[:, 1, 1, None, :]).flatten(1)
    assert p_value(pairs, torch.full((16,), 1 / 16)) > 1e-6


def test_population_samples_are_each_member_s_own_with_its_own_frequencies() -> None:
    logits = torch.stack([UNEVEN, UNEVEN.flip(-1), UNEVEN * 0])[:, None]  # [P, B, N, K]
    together = Categorical(3, 4).sample(logits, noise(1, 2, 3), samples=200_000)
    assert together.shape == (3, 200_000, 1, 3, 4)
    for member, seed in enumerate((1, 2, 3)):
        alone = Categorical(3, 4).sample(logits[member, None], noise(seed), samples=200_000)
        assert together[member].equal(alone[0])
        assert p_value(together[member], logits[member].softmax(-1)) > 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_inverse_cdf_samples_in_half_precision_keep_rare_categories(dtype) -> None:
    """Four categories of probability 9.1e-4 each, 1e6 samples: 909 +- 30 expected, half to twice that allowed."""
    logits = torch.tensor([[0.0, -7.0, -7.0, -7.0, -7.0]], dtype=dtype)
    counts = Categorical(1, 5).sample(logits[None], noise(3), samples=1_000_000).float().sum((0, 1, 2))
    rare = 1e6 * logits.float().softmax(-1)[0, 1:]
    assert (counts[1:] > rare / 2).all()
    assert (counts[1:] < rare * 2).all()


def test_excluded_categories_are_never_sampled(monkeypatch) -> None:
    """Whether they stand last or first: also not at the largest uniform number, where the rounded cumulative sum may
    have fallen short of it, nor at the smallest, which is 0 like the sum before the first possible category."""
    logits = torch.full((200, 1, 64), -math.inf)
    for categories, row in enumerate(logits[:, 0]):
        row[: 2 + categories % 60] = torch.randn(2 + categories % 60, generator=seeded(categories))
    for extreme in (0.0, 1 - 2**-24):
        monkeypatch.setattr(Noise, "uniform", lambda self, shape, dtype, value=extreme: torch.full(shape, value))
        for each in (logits, logits.flip(-1)):
            samples = Categorical(1, 64).sample(each, noise(0))[0]
            assert not (samples.bool() & each.isinf()).any()


def test_prior_samples_are_uniform() -> None:
    samples = Categorical(2, 5).prior_sample(100_000, noise(4))
    assert samples.shape == (100_000, 2, 5)
    assert p_value(samples, torch.full((2, 5), 0.2)) > 1e-6


def test_entropy_kl_and_log_prob_are_those_of_torch_distributions() -> None:
    other = LOGITS.flip(0)
    uniform = OneHotCategorical(logits=torch.zeros_like(LOGITS))
    torch.testing.assert_close(categorical.entropy(LOGITS), TORCH.entropy())
    torch.testing.assert_close(categorical.kl(LOGITS, other), kl_divergence(TORCH, OneHotCategorical(logits=other)))
    torch.testing.assert_close(categorical.kl_to_uniform(LOGITS), kl_divergence(TORCH, uniform))
    torch.testing.assert_close(Categorical(3, 4).kl(LOGITS), categorical.kl(LOGITS, torch.zeros(4).double()))
    sample = TORCH.sample()
    torch.testing.assert_close(categorical.log_prob(LOGITS, sample), TORCH.log_prob(sample).sum(-1))
    ratio = (uniform.log_prob(sample) - TORCH.log_prob(sample)).sum(-1)
    torch.testing.assert_close(Categorical(3, 4).log_ratio(LOGITS, sample), ratio)
    torch.testing.assert_close(Categorical(3, 4).mean(LOGITS), TORCH.probs)


def test_closed_forms_of_the_uniform_and_the_deterministic_category() -> None:
    uniform, certain = torch.full((1, 5), 7.0), torch.tensor([[300.0, 0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(categorical.entropy(uniform), torch.tensor([math.log(5)]))
    torch.testing.assert_close(categorical.kl_to_uniform(uniform), torch.zeros(1), atol=1e-6, rtol=0)
    assert categorical.entropy(certain).equal(torch.zeros(1))
    torch.testing.assert_close(categorical.kl_to_uniform(certain), torch.tensor([math.log(5)]))
    half = torch.tensor([[0.0, 0.0, -300.0]])
    torch.testing.assert_close(categorical.kl(half, torch.zeros(3)), torch.tensor([math.log(3 / 2)]))


def test_kl_of_excluded_categories() -> None:
    """0 log 0 = 0 where q excludes; infinite where only p excludes; exact where both do."""
    never = -math.inf
    q, p = torch.tensor([[0.0, 0.0, never]]), torch.tensor([[0.0, math.log(3), never]])
    torch.testing.assert_close(categorical.kl(q, torch.zeros(3)), torch.tensor([math.log(3 / 2)]))
    torch.testing.assert_close(categorical.kl(q, p), torch.tensor([0.5 * math.log(2) + 0.5 * math.log(2 / 3)]))
    assert categorical.kl(torch.zeros(1, 3), p).equal(torch.tensor([math.inf]))


def test_excluded_categories_in_entropy_kl_to_uniform_and_log_prob() -> None:
    logits = torch.tensor([[0.0, 0.0, -math.inf]])
    torch.testing.assert_close(categorical.entropy(logits), torch.tensor([math.log(2)]))
    torch.testing.assert_close(categorical.kl_to_uniform(logits), torch.tensor([math.log(3 / 2)]))
    sample = torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(categorical.log_prob(logits, sample), torch.tensor(-math.log(2)))
    assert categorical.log_prob(logits, sample.flip(-1)).item() == -math.inf
    assert categorical.log_prob(logits.expand(9, 3), sample.flip(-1).expand(9, 3)).item() == -math.inf


@pytest.mark.parametrize(
    "row",
    [[0.0, math.nan, 1.0], [0.0, math.inf, 1.0], [-math.inf] * 3],
    ids=["NaN", "infinite", "all masked"],
)
def test_what_is_no_distribution_has_no_sample(row) -> None:
    """NaN instead of a category, and in that variable alone."""
    logits = torch.tensor([[row, [0.0, 1.0, 2.0]]])
    gumbel = noise(0).gumbel(logits.shape)
    for each in (logits, categorical.finite(logits)):
        for sample in (categorical.hard_sample(each, gumbel), Categorical(2, 3).sample(each, noise(0))[:, 0]):
            assert sample[0, 0].isnan().all()
            assert sample[0, 1].sum() == 1


@pytest.mark.parametrize("place", [0.0, -3e9, 1e6])
def test_masks_are_finite_and_of_probability_zero_at_every_temperature(place) -> None:
    """Wherever the other logits are, and whatever the logits are divided by."""
    logits = torch.tensor([[0.0, 1.0, -math.inf]]) + place
    logits.requires_grad_()
    masked = categorical.finite(logits)
    assert masked.isfinite().all()
    assert masked[:, :2].equal(logits[:, :2])
    for temperature in (0.01, 1.0, 9e5):
        probabilities = categorical.softmax(masked / temperature)
        assert probabilities[0, 2] == 0
        torch.testing.assert_close(probabilities, (logits / temperature).softmax(-1))
    (gradient,) = torch.autograd.grad((masked * torch.tensor([1.0, 2.0, 3.0])).sum(), logits)
    assert gradient.equal(torch.tensor([[1.0, 2.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_summed_in_single(dtype) -> None:
    logits, sample = LOGITS.to(dtype), TORCH.sample().to(dtype)
    other = logits.flip(0)
    for function in (
        categorical.entropy,
        categorical.kl_to_uniform,
        lambda at: categorical.kl(at, other.to(at.dtype)),
        lambda at: categorical.log_prob(at, sample.to(at.dtype)),
    ):
        found = function(logits)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, function(logits.float()))


def test_the_taken_categorys_log_probability_and_its_derivatives() -> None:
    logits, sample = LOGITS.clone().requires_grad_(), TORCH.sample()
    torch.testing.assert_close(categorical.log_taken(logits, sample).squeeze(-1), TORCH.log_prob(sample))
    assert torch.autograd.gradcheck(lambda at: categorical.log_taken(at, sample), logits)
    assert torch.autograd.gradgradcheck(lambda at: categorical.log_taken(at, sample), logits)
    masked = torch.tensor([[0.0, 0.0, -math.inf]], requires_grad=True)
    found = categorical.log_taken(masked, torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[-math.log(2)]]))
    assert torch.autograd.grad(found, masked)[0].equal(torch.tensor([[0.5, -0.5, 0.0]]))


def test_a_softmax_through_other_probabilities_is_that_of_moved_logits() -> None:
    weights = torch.linspace(-1, 1, LOGITS.numel(), dtype=torch.float64).reshape(LOGITS.shape)
    other = LOGITS.flip(0)
    found = []
    for function in (
        lambda at: categorical.softmax_through(at, other.softmax(-1)),
        lambda at: (at + (other - at).detach()).softmax(-1),
    ):
        logits = LOGITS.clone().requires_grad_()
        value = function(logits)
        (first,) = torch.autograd.grad((value * weights).sum(), logits, create_graph=True)
        found.append((value, first, torch.autograd.grad((first.square() + first * weights).sum(), logits)[0]))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 10.0])
def test_relaxed_sample_is_gumbel_softmax_of_the_same_gumbels(temperature) -> None:
    torch.manual_seed(3)
    expected = F.gumbel_softmax(LOGITS, temperature)
    torch.manual_seed(3)
    gumbel = -torch.empty_like(LOGITS).exponential_().log()
    torch.testing.assert_close(categorical.relaxed_sample(LOGITS, gumbel, temperature), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("categories", [1, 2, 10, 15, 16, 40])
def test_softmax_is_torchs_with_its_gradients(categories: int, dtype: torch.dtype) -> None:
    """On both sides of the number of categories where torch's own kernel takes over; far logits, and excluded ones."""
    logits = 30 * torch.randn(50, 3, categories, generator=seeded(1), dtype=torch.float64).to(dtype)
    logits[:20, :, 1:] -= 1000.0
    logits[:10, 0, 1:] = -math.inf
    logits.requires_grad_()
    ours, theirs = categorical.softmax(logits), logits.softmax(-1)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(logits.shape, generator=seeded(2), dtype=torch.float64).to(dtype)
    gradients = [torch.autograd.grad((each * weights).sum(), logits, retain_graph=True)[0] for each in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    small = torch.randn(2, 2, categories, generator=seeded(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(categorical.softmax, small)
    assert torch.autograd.gradgradcheck(categorical.softmax, small)


@pytest.mark.parametrize("categories", [1, 3, 20])
def test_gradient_of_the_entropy(categories: int) -> None:
    logits = torch.randn(4, 2, categories, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(categorical.entropy, logits)
    assert torch.autograd.gradcheck(categorical.kl_to_uniform, logits)
    excluded = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    (gradient,) = torch.autograd.grad(categorical.entropy(excluded).sum(), excluded)
    pair = torch.tensor([[0.0, 1.0]], requires_grad=True)
    (expected,) = torch.autograd.grad(torch.distributions.Categorical(logits=pair).entropy().sum(), pair)
    torch.testing.assert_close(gradient, torch.cat([expected, torch.zeros(1, 1)], -1))
    assert torch.autograd.gradgradcheck(categorical.entropy, logits)


def test_relaxed_sample_at_the_limits_of_temperature() -> None:
    """tau -> 0: one-hot, and the very sample of Gumbel-max; tau -> infinity: uniform."""
    logits = UNEVEN.double().expand(100_000, 3, 4)
    gumbel = noise(5).gumbel(logits.shape, torch.float64)
    cold = categorical.relaxed_sample(logits, gumbel, 1e-9)
    # Two of 3e5 perturbed pairs come within 40e-9 of each other with probability 0.01 at most.
    assert cold.max(-1).values.min() > 1 - 1e-12
    assert cold.round().equal(categorical.hard_sample(logits, gumbel))
    assert p_value(cold.round(), UNEVEN.softmax(-1)) > 1e-6
    assert (categorical.relaxed_sample(logits, gumbel, 1e9) - 0.25).abs().max() < 1e-7


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_concrete_density_is_that_of_torch_distributions(temperature) -> None:
    tau = torch.tensor(temperature, dtype=torch.float64)
    log_sample = ((LOGITS + noise(6).gumbel(LOGITS.shape, torch.float64)) / tau).log_softmax(-1)
    density = categorical.exp_concrete_log_density(LOGITS, tau, log_sample)
    assert density.shape == (6, 3)
    expected = ExpRelaxedCategorical(tau, logits=LOGITS, validate_args=False).log_prob(log_sample)
    torch.testing.assert_close(density, expected)
    on_simplex = RelaxedOneHotCategorical(tau, logits=LOGITS, validate_args=False).log_prob(log_sample.exp())
    torch.testing.assert_close(density - log_sample.sum(-1), on_simplex)


def test_concrete_density_stays_finite_where_the_sample_underflows() -> None:
    """tau = 0.1 in float32: torch's density of z is not finite on many samples, ours of log z is on all."""
    logits = 3 * torch.randn(10_000, 1, 10, generator=seeded(7))
    log_sample = ((logits + noise(7).gumbel(logits.shape)) / 0.1).log_softmax(-1)
    assert (log_sample.exp() == 0).any(-1).float().mean() > 0.01
    torchs = RelaxedOneHotCategorical(torch.tensor(0.1), logits=logits, validate_args=False)
    assert not torchs.log_prob(log_sample.exp()).isfinite().all()
    assert categorical.exp_concrete_log_density(logits, 0.1, log_sample).isfinite().all()


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 2.0])
def test_concrete_density_of_two_categories_integrates_to_one(temperature) -> None:
    """In t = log(z_1 / z_2) the density of z becomes that of log z: dz = z_1 z_2 dt. Trapezoids over +-60 / tau."""
    t = torch.linspace(-60 / temperature, 60 / temperature, 20_001, dtype=torch.float64)
    log_sample = torch.stack([F.logsigmoid(t), F.logsigmoid(-t)], -1).unsqueeze(-2)
    logits = torch.tensor([[0.7, -1.2]], dtype=torch.float64).expand_as(log_sample)
    density = categorical.exp_concrete_log_density(logits, temperature, log_sample).squeeze(-1).exp()
    assert torch.trapezoid(density, t).item() == pytest.approx(1, abs=1e-10)
    # P(z_1 > 1/2) is the probability of the first category at every temperature (Maddison et al., Prop. 1 b).
    above = torch.trapezoid(density[10_000:], t[10_000:]).item()
    assert above == pytest.approx(logits[0, 0].softmax(-1)[0].item(), abs=1e-5)


def test_each_member_has_its_own_temperature() -> None:
    logits, taus = LOGITS.expand(3, 6, 3, 4), [0.2, 1.0, 5.0]
    gumbel = noise(8).gumbel(logits.shape, torch.float64)
    temperature = torch.tensor(taus, dtype=torch.float64).reshape(3, 1, 1, 1)
    relaxed = categorical.relaxed_sample(logits, gumbel, temperature)
    density = categorical.exp_concrete_log_density(logits, temperature, relaxed.log())
    for member, tau in enumerate(taus):
        alone = categorical.relaxed_sample(LOGITS, gumbel[member], tau)
        torch.testing.assert_close(relaxed[member], alone)
        expected = categorical.exp_concrete_log_density(LOGITS, tau, alone.log())
        torch.testing.assert_close(density[member], expected)


def test_enumeration_is_complete_and_in_counting_order() -> None:
    states = categorical.enumerate_states(2, 3)
    assert states.shape == (9, 2, 3)
    digits = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]]
    assert states.equal(F.one_hot(torch.tensor(digits), 3).float())
    assert categorical.enumerate_states(1, 4, torch.float64).equal(torch.eye(4, dtype=torch.float64)[:, None])
    # Complete: the probabilities of all states sum to 1.
    states = categorical.enumerate_states(3, 4, torch.float64)
    total = categorical.log_prob(LOGITS[0], states).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0, dtype=torch.float64))


def test_enumeration_of_too_many_states_is_refused() -> None:
    with pytest.raises(InputError, match=r"2\^21 states are too many .*1048576.*take fewer") as caught:
        categorical.enumerate_states(21, 2)
    assert "\n" not in str(caught.value)


def test_code_entropy_of_the_averaged_posterior() -> None:
    family = Categorical(3, 4)
    torch.testing.assert_close(family.code_entropy(torch.full((2, 3, 4), 0.25)), torch.full((2,), 3 * math.log(4)))
    assert family.code_entropy(torch.eye(4)[:3]).equal(torch.zeros(()))
    torch.testing.assert_close(family.code_entropy(TORCH.probs), TORCH.entropy().sum(-1))


MASKS = [-math.inf, torch.finfo(torch.float32).min, -1e30]


@pytest.mark.parametrize("mask", MASKS, ids=str)
def test_masked_categories_are_as_if_they_were_not_there(mask: float) -> None:
    """In value, gradient and second derivative; and get a gradient of exactly 0."""
    plain = torch.randn(50, 2, 3, generator=seeded(0))
    prior = torch.randn(3, generator=seeded(1))
    sample = categorical.hard_sample(plain, Noise([seeded(2)]).gumbel(plain.shape))

    def extended(tensor: Tensor, fill: float) -> Tensor:
        return torch.cat([tensor, torch.full_like(tensor[..., :1], fill)], -1)

    functions = {
        "entropy": lambda logits, wide: categorical.entropy(logits),
        "kl": lambda logits, wide: categorical.kl(logits, extended(prior, mask) if wide else prior),
        "log_prob": lambda logits, wide: categorical.log_prob(logits, extended(sample, 0) if wide else sample),
        "log_taken": lambda logits, wide: categorical.log_taken(logits, extended(sample, 0) if wide else sample),
        "softmax": lambda logits, wide: categorical.softmax(logits)[..., :3] * prior,
    }
    for name, function in functions.items():
        found = []
        for wide in (True, False):
            logits = (extended(plain, mask) if wide else plain).clone().requires_grad_()
            value = function(logits, wide)
            (first,) = torch.autograd.grad(value.sum(), logits, create_graph=True)
            (second,) = torch.autograd.grad(first.square().sum(), logits)
            if wide:
                assert not first[..., -1].any(), name
                assert not second[..., -1].any(), name
            found.append((value, first[..., :3], second[..., :3]))
        for masked, without in zip(*found, strict=True):
            torch.testing.assert_close(masked, without, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
def test_logits_that_are_no_distribution_give_nan(bad: float) -> None:
    """Of their own variable only; -inf where there is nothing else."""
    logits = torch.zeros(5, 2, 3)
    logits[1, 0, 0 if bad != -math.inf else slice(None)] = bad
    noise = Noise([seeded(0)])
    family = Categorical(2, 3)
    for sample in (categorical.hard_sample(logits, noise.gumbel(logits.shape)), family.sample(logits, noise)[0]):
        assert sample[1, 0].isnan().all()
        sample[1, 0] = 0
        assert sample.isfinite().all()
        assert (sample.sum(-1) == 1).sum() == 9
    for value in (
        categorical.entropy(logits),
        categorical.kl_to_uniform(logits),
        categorical.kl(logits, torch.zeros(3)),
        categorical.log_prob(logits, categorical.softmax(logits)),
    ):
        assert value[1].isnan().any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_sums_of_half_precision_logits_are_those_of_float32(dtype: torch.dtype) -> None:
    """Near-uniform logits, whose KL of some thousandths a sum in half precision would lose."""
    logits = (torch.randn(200, 30, 10, generator=seeded(0)) / 100).to(dtype)
    sample = categorical.one_hot(logits.argmax(-1), 10, dtype)
    exact = logits.double()
    for found, expected in (
        (categorical.kl_to_uniform(logits), categorical.kl_to_uniform(exact)),
        (categorical.kl(logits, torch.zeros(10, dtype=dtype)), categorical.kl_to_uniform(exact)),
        (categorical.entropy(logits), categorical.entropy(exact)),
        (categorical.log_prob(logits, sample), categorical.log_prob(exact, sample.double())),
    ):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
