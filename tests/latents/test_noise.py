"""Noise: finite everywhere, rightly distributed out to the tails, and each member's own.

Every bound on a random quantity is at 5 standard errors or more (false alarm below 1e-6 each), at fixed seeds.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from discrete_vae.latents.noise import CommonNoise, Noise, SeparateNoise, seeded

HALF = [torch.float16, torch.bfloat16]
DTYPES = [*HALF, torch.float32, torch.float64]
DRAWS = 10_000_000


def noise(seed: int = 0) -> Noise:
    return Noise([seeded(seed, "test")])


def kolmogorov_smirnov(values: Tensor, distribution: Callable[[Tensor], Tensor]) -> tuple[float, float]:
    """Largest distance to the distribution, and its bound by Dvoretzky-Kiefer-Wolfowitz at false alarm 1e-6."""
    count = len(values)
    exact = distribution(values.double().sort().values)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    distance = torch.maximum((exact - steps[:-1]).abs().max(), (exact - steps[1:]).abs().max())
    return distance.item(), math.sqrt(math.log(2 / 1e-6) / (2 * count))


def worst_gumbel_tail(values: Tensor) -> float:
    """Largest deviation of four tail counts from the exact ones, in standard errors.

    In 1e7 draws 454 lie above 10, 61 above 12, 163 below -2.4 and 6.2 thousand below -2: a tail that is
    cut off shows as 8 to 79 standard errors, one that is halved as 4 (at 12) to 39.
    """
    deviations = []
    for above, threshold in ((True, 10.0), (True, 12.0), (False, -2.4), (False, -2.0)):
        below = math.exp(-math.exp(-threshold))
        expected = len(values) * (-math.expm1(-math.exp(-threshold)) if above else below)
        observed = ((values > threshold) if above else (values < threshold)).sum().item()
        deviations.append(abs(observed - expected) / math.sqrt(expected))
    return max(deviations)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gumbel_is_finite_in_ten_million_draws(dtype) -> None:
    values = noise().gumbel((DRAWS,), dtype)
    assert values.dtype == dtype
    assert values.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gumbel_of_the_most_extreme_uniforms_lies_within_their_cells(dtype, monkeypatch) -> None:
    """A uniform u stands for [u, u + cell): its Gumbel has to lie between the quantiles of the cell's two ends."""
    cell = 2.0**-53 if dtype == torch.float64 else 2.0**-24
    points = [0.0, cell, 2 * cell, 0.5, 1 - 2 * cell, 1 - cell]
    grid = torch.tensor(points, dtype=torch.float64 if dtype == torch.float64 else torch.float32)
    monkeypatch.setattr(Noise, "uniform", lambda self, shape, dtype: grid.clone())
    values = noise().gumbel(grid.shape, dtype)
    assert values.dtype == dtype
    assert values.isfinite().all()
    slack = 2 * torch.finfo(dtype).eps
    for u, value in zip(points, values.tolist(), strict=True):
        highest = math.inf if u == 0 else -math.log(-math.log1p(-u))
        lowest = -math.inf if u == 1 - cell else -math.log(-math.log1p(-(u + cell)))
        assert lowest - slack * abs(lowest) <= value <= highest + slack * abs(highest)
    assert values[0].item() == pytest.approx(-math.log(cell / 2), rel=slack), "the lowest is in the middle of its cell"


def test_added_epsilon_puts_extreme_uniforms_outside_their_cells() -> None:
    """Why the test above has teeth: -log(-log(u + eps) + eps) with eps 1e-7 misses the last cell by half a nat."""
    last = torch.tensor(1 - 2**-24)
    biased = -torch.log(-torch.log(last + 1e-7) + 1e-7)
    assert biased < -math.log(-math.log1p(-(2**-24))) - 0.4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gumbel_has_the_exact_distribution_and_both_tails(dtype) -> None:
    values = noise(1).gumbel((DRAWS,), dtype)
    distance, bound = kolmogorov_smirnov(values[:1_000_000], lambda x: torch.exp(-torch.exp(-x)))
    assert distance < bound
    assert worst_gumbel_tail(values) < 5


@pytest.mark.parametrize(
    "biased",
    [
        # A tail of probability e^-12 = 6e-6 is cut wherever eps is larger; eps below 2^-24 hides behind the fp32 grid.
        lambda u: -torch.log(-torch.log(u + 1e-5) + 1e-5),
        lambda u: -torch.log(-torch.log(u.clamp(1e-4, 1 - 1e-4))),
        # Uniforms of half precision have no values beyond 2^-11: no Gumbel number above 7.6.
        lambda u: -torch.log(-torch.log(u.half().float().clamp(2**-12, 1 - 2**-11))),
        lambda u: -torch.log(-torch.log1p(-u.clamp_min(2**-25))) * 1.05,
    ],
    ids=["eps added", "clamped", "half-precision uniform", "5% too wide"],
)
def test_tail_counts_reject_biased_gumbels(biased) -> None:
    assert worst_gumbel_tail(biased(noise(1).uniform((DRAWS,)))) > 6


def test_uniform_lies_on_the_grid_that_the_gumbels_assume() -> None:
    for dtype, bits in ((torch.float32, 24), (torch.float64, 53)):
        scaled = noise().uniform((1_000_000,), dtype).double() * 2**bits
        assert scaled.equal(scaled.round())
        assert (scaled % 2 == 1).any()
        assert scaled.min() >= 0
        assert scaled.max() < 2**bits


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_normal_has_the_exact_moments_and_distribution(dtype) -> None:
    count = 1_000_000
    values = noise(2).normal((count,), dtype)
    assert values.dtype == dtype
    # Moments of a standard normal and the variances of x, x^2, x^3, x^4.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert values.double().pow(power).mean().item() == pytest.approx(moment, abs=5 * math.sqrt(variance / count))
    distance, bound = kolmogorov_smirnov(values, torch.special.ndtr)
    assert distance < bound


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_normal_has_its_tails_in_every_dtype(dtype) -> None:
    """Of 1e6 numbers 465 lie beyond 3.5; uniforms of 8 bits (bfloat16) would reach 3.33 only."""
    values = noise(3).normal((1_000_000,), dtype)
    assert values.isfinite().all()
    expected = 1e6 * math.erfc(3.5 / math.sqrt(2))
    assert (values.abs() > 3.5).sum().item() == pytest.approx(expected, abs=5 * math.sqrt(expected))


@pytest.mark.parametrize("draw", ["uniform", "gumbel", "normal"])
@pytest.mark.parametrize("population", [1, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_member_draws_what_it_would_draw_alone(draw, population, dtype) -> None:
    """Bit by bit, over two draws in a row, and whoever the others are."""

    def two_draws(seeds: list[int]) -> Tensor:
        source = Noise([seeded(seed) for seed in seeds])
        return torch.cat([getattr(source, draw)((len(seeds), 5, size, 10), dtype) for size in (3, 1)], -2)

    together = two_draws(list(range(population)))
    for member in range(population):
        assert together[member].equal(two_draws([member])[0])
    others = two_draws([99, *range(1, population)])
    assert others[1:].equal(together[1:])
    assert not others[0].equal(together[0])


def test_noise_is_drawn_where_it_is_asked_for_unless_it_has_a_device() -> None:
    free, meta = Noise(), torch.device("meta")
    assert free.on(meta).uniform((2,)).device == meta
    assert free.uniform((2,)).device.type == "cpu"
    for own in (Noise(device="cpu"), Noise([seeded(0)])):
        assert own.on(meta).uniform((2,)).device.type == "cpu"


def test_population_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="2 generators cannot fill a population of 3"):
        Noise([seeded(0), seeded(1)]).uniform((3, 4))


def test_noise_without_generators_follows_torch_seed() -> None:
    torch.manual_seed(5)
    first = Noise().gumbel((4,))
    torch.manual_seed(5)
    assert first.equal(Noise().gumbel((4,)))


def test_noise_on_every_device(device) -> None:
    source = Noise([seeded(0, device=device), seeded(1, device=device)])
    for values in (source.uniform((2, 7)), source.gumbel((2, 7)), source.normal((2, 7))):
        assert values.device.type == device.type
        assert values.isfinite().all()


def test_streams_repeat_and_differ() -> None:
    streams = [
        (1, "noise", 1),
        (1, "noise", 11),
        (11, "noise", 1),
        (1, "order", 1),
        (1, "noise", "1"),
        (1, "noise"),
        (1,),
    ]
    drawn = [torch.rand(10_000, generator=seeded(*stream), dtype=torch.float64) for stream in streams]
    for stream, values in zip(streams, drawn, strict=True):
        assert values.equal(torch.rand(10_000, generator=seeded(*stream), dtype=torch.float64))
    # 21 correlations of 10,000 pairs, each N(0, 1e-4): one beyond 0.055 (5.5 standard errors) is a 1e-6 chance.
    correlation = torch.corrcoef(torch.stack(drawn)) - torch.eye(len(streams))
    assert correlation.abs().max() < 0.055


def test_streams_of_many_runs_and_epochs_have_seeds_of_their_own() -> None:
    seeds = {seeded(seed, "noise", epoch).initial_seed() for seed in range(40) for epoch in range(100)}
    assert len(seeds) == 40 * 100


DRAWS_OF: list[Callable[[Noise, tuple[int, ...]], Tensor]] = [
    lambda noise, shape: noise.uniform(shape),
    lambda noise, shape: noise.gumbel(shape),
    lambda noise, shape: noise.normal(shape, torch.float64),
]


@pytest.mark.parametrize("draw", DRAWS_OF, ids=["uniform", "gumbel", "normal"])
def test_common_noise_is_the_same_again_for_each_batch(draw) -> None:
    """Members by their own generators; several batches beside each other get what one got."""
    plain, common = (Noise([seeded(1), seeded(2)]) for _ in range(2))
    first, second = draw(plain, (2, 3, 4)), draw(plain, (2, 3))
    common = CommonNoise(common, 1)
    for times in (1, 5, 1, 2):
        common.again(times)
        found = draw(common, (2, 3 * times, 4))
        assert found.equal(first.repeat(1, times, 1))
        assert draw(common, (2, 3 * times)).equal(second.repeat(1, times))


def test_common_noise_refuses_another_question() -> None:
    common = CommonNoise(noise(), 0)
    common.uniform((3, 2))
    with pytest.raises(ValueError, match="drawn before"):
        common.again().uniform((3, 4))
    with pytest.raises(ValueError, match="drawn before"):
        common.again().uniform((3, 2), torch.float64)


def test_separate_noise_differs_between_batches_and_not_between_looks() -> None:
    """Independent samples of a layer in the middle, when the layer before looks several times."""
    common = CommonNoise(noise(), 0)
    once = SeparateNoise(common.again(), 0, 4).uniform((4 * 3, 2)).view(4, 3, 2)
    assert len(once.flatten(1).unique(dim=0)) == 4
    several = SeparateNoise(common.again(5), 0, 4).uniform((4 * 5 * 3, 2)).view(4, 5, 3, 2)
    assert several.equal(once.unsqueeze(1).expand(4, 5, 3, 2))


def test_numbers_that_are_no_images_own_are_drawn_as_they_are_asked() -> None:
    """A strategy may probe its own networks with another number of rows."""
    common = CommonNoise(noise(), 0)
    assert common.again(4).uniform((10, 2)).unique(dim=0).shape[0] == 10
    assert SeparateNoise(noise(), 0, 4).uniform((10, 2)).equal(noise().uniform((10, 2)))
