"""Every likelihood is a distribution, the one that it says, and its draws, mean and bits are those of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.likelihoods import LEVELS, LIKELIHOODS, Likelihood, likelihood
from tests.tiny_images import described

ALL = {name: likelihood(name, pixel_scale=0.2) for name in LIKELIHOODS}
DENSITIES = ("gaussian", "gaussian-fixed")
GRID = torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)
LEVEL = 1e-3
"""Of each test of draws, whose seeds are fixed: what fails is no accident."""
each = pytest.mark.parametrize("name", ALL)


def levels(name: str) -> Tensor:
    """All the values that a pixel may take, of a likelihood that has no density."""
    return torch.tensor([0.0, 1.0], dtype=torch.float64) if ALL[name].binary else GRID


def outputs(name: str, *shape: int, pixels: int = 3, spread: float = 1.0) -> Tensor:
    """What a decoder might put out: ``[*shape, D numbers]`` in float64."""
    size = (*shape, pixels * ALL[name].numbers)
    return spread * torch.randn(*size, generator=seeded(3, name), dtype=torch.float64)


def observations(name: str, *shape: int, pixels: int = 3) -> Tensor:
    """Images ``[*shape, D]``, of values that the likelihood explains."""
    values = levels(name) if name not in DENSITIES else GRID
    return values[torch.randint(len(values), (*shape, pixels), generator=seeded(4, name))]


def probabilities(name: str, output: Tensor) -> Tensor:
    """Of every value of one pixel, from its numbers ``[numbers]``."""
    return (-ALL[name].nll(output, levels(name).unsqueeze(-1))).exp()


# ---------------------------------------------------------------------------------------------------- distributions


@each
@pytest.mark.parametrize("spread", [0.3, 3.0])
def test_probabilities_sum_to_one(name: str, spread: float) -> None:
    """Over all values; a density's by the trapezoidal rule, which for these is exact to rounding."""
    for output in outputs(name, 5, pixels=1, spread=spread):
        if name in DENSITIES:
            deviation = 0.2 if name == "gaussian-fixed" else max(math.exp(output[1].item() - 2), 1 / 255)
            points = output[0] + deviation * torch.linspace(-12, 12, 2001, dtype=torch.float64)
            total = torch.trapezoid((-ALL[name].nll(output, points.unsqueeze(-1))).exp(), points)
        else:
            total = probabilities(name, output).sum()
        assert total.item() == pytest.approx(1, abs=1e-9)


def bernoulli(output: Tensor, observation: Tensor) -> Tensor:
    return torch.distributions.Bernoulli(logits=output).log_prob(observation)


def gaussian(output: Tensor, observation: Tensor) -> Tensor:
    mean, log_scale = output[..., ::2], output[..., 1::2]
    return torch.distributions.Normal(mean, torch.exp(log_scale - 2).clamp_min(1 / 255)).log_prob(observation)


def gaussian_fixed(output: Tensor, observation: Tensor) -> Tensor:
    return torch.distributions.Normal(output, 0.2).log_prob(observation)


def discretised_logistic(output: Tensor, observation: Tensor) -> Tensor:
    """The cumulative distribution's increase over the pixel's level; beyond the ends it is 0 and 1."""
    location, scale = output[..., ::2] + 0.5, torch.exp((output[..., 1::2] - 2).clamp_min(-7))

    def below(edge: Tensor) -> Tensor:
        cumulative = 1 / (1 + torch.exp(-(edge - location) / scale))
        return torch.where(edge < 0, 0.0, torch.where(edge > 1, 1.0, cumulative))

    return torch.log(below(observation + 1 / 510) - below(observation - 1 / 510))


def categorical(output: Tensor, observation: Tensor) -> Tensor:
    logits = output.reshape(*output.shape[:-1], -1, 256)
    return torch.distributions.Categorical(logits=logits).log_prob((observation * 255 + 0.5).floor())


FORMULAS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bernoulli": bernoulli,
    "gaussian": gaussian,
    "gaussian-fixed": gaussian_fixed,
    "discretised-logistic": discretised_logistic,
    "categorical": categorical,
}


def test_every_likelihood_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(LIKELIHOODS)


@each
def test_nll_is_that_of_an_independent_formula(name: str) -> None:
    output, observation = outputs(name, 4, 6, spread=0.3), observations(name, 4, 6)
    expected = -FORMULAS[name](output, observation).sum(-1)
    torch.testing.assert_close(ALL[name].nll(output, observation), expected)


@pytest.mark.parametrize("location", [-0.7, -0.5, 0.1, 0.5, 0.6])
@pytest.mark.parametrize("log_scale", [-20.0, -1.0, 1.0, 4.0])
def test_the_outermost_levels_take_all_that_lies_beyond(location: float, log_scale: float) -> None:
    """Where the formula by hand is exact enough to be compared: at the nearest levels to the location, and the ends."""
    output = torch.tensor([location, log_scale], dtype=torch.float64)
    near = min(max(round((location + 0.5) * 255), 0), 255)
    for level in {0, 1, near, 254, 255}:
        observation = torch.tensor([level / 255], dtype=torch.float64)
        if (expected := FORMULAS["discretised-logistic"](output, observation).item()) > -20:
            assert -ALL["discretised-logistic"].nll(output, observation).item() == pytest.approx(expected, rel=1e-6)
    if location < -0.5:
        assert probabilities("discretised-logistic", output).argmax() == 0
    if location > 0.5:
        assert probabilities("discretised-logistic", output).argmax() == 255


@pytest.mark.parametrize("name", ["gaussian", "discretised-logistic"])
@pytest.mark.parametrize("location", [-100.0, 0.0, 100.0])
@pytest.mark.parametrize("log_scale", [-1e3, -20.0, 20.0, 60.0])
def test_extreme_scales_have_finite_losses_and_gradients(name: str, location: float, log_scale: float) -> None:
    """In float32, in which runs are; a scale has a least value, below which it changes nothing."""
    output = torch.tensor([location, log_scale], requires_grad=True)
    loss = ALL[name].nll(output, GRID.float().unsqueeze(-1))
    assert loss.isfinite().all()
    loss.sum().backward()
    assert output.grad is not None
    assert output.grad.isfinite().all()
    assert ALL[name].sample(output, Noise([seeded(0)])).isfinite().all()
    if log_scale == -1e3:
        least = ALL[name].nll(torch.tensor([location, -20.0]), GRID.float().unsqueeze(-1))
        assert least.equal(loss)


@each
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_those_of_the_loss(name: str, shared: bool) -> None:
    """By differences; also of an output that many images share."""
    output = outputs(name, *((1,) if shared else (2, 3)), pixels=2).requires_grad_()
    observation = observations(name, 2, 3, pixels=2)
    weights = torch.tensor([[1.0, 0.0, -2.0], [3.0, 0.5, 1.5]], dtype=torch.float64)
    if ALL[name].numbers == LEVELS:  # along a direction, of so many numbers
        direction = torch.randn(output.shape, generator=seeded(1), dtype=torch.float64)
        step = torch.zeros((), dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(
            lambda step: (weights * ALL[name].nll(output.detach() + step * direction, observation)).sum(), step
        )
    else:
        assert torch.autograd.gradcheck(lambda output: weights * ALL[name].nll(output, observation), output)


@each
def test_a_canonical_likelihood_has_the_error_of_its_mean_for_a_gradient(name: str) -> None:
    if ALL[name].numbers > 1:
        assert not ALL[name].canonical  # there is more than a mean
        return
    output, observation = outputs(name, 5).requires_grad_(), observations(name, 5)
    (gradient,) = torch.autograd.grad(ALL[name].nll(output, observation).sum(), output)
    error = ALL[name].mean(output).detach() - observation
    assert torch.allclose(gradient, error) == ALL[name].canonical


# ------------------------------------------------------------------------------------------------- means and draws


@each
def test_the_mean_is_that_of_the_distribution(name: str) -> None:
    """Over all values where it is exact; a logistic's is that before rounding, within half a level."""
    output = outputs(name, 5, pixels=1)
    means = ALL[name].mean(output)
    assert means.shape == (5, 1)
    if name in DENSITIES:
        assert means.equal(output[:, :1])
    elif name == "discretised-logistic":
        wide = torch.tensor([[5.0, 9.0], [-5.0, 6.0], [2.0, 2.0], [0.1, -9.0]], dtype=torch.float64)
        for one in (*output, *wide):
            enumerated = (probabilities(name, one) * GRID).sum().item()
            assert ALL[name].mean(one).item() == pytest.approx(enumerated, abs=0.5 / 255)
    else:
        enumerated_means = [(probabilities(name, one) * levels(name)).sum() for one in output]
        torch.testing.assert_close(means[:, 0], torch.stack(enumerated_means))


def fits(drawn: Tensor, probability: Tensor) -> float:
    """The p-value of a chi-square test of levels drawn, of which rare ones are counted together: ``[n]``, ``[256]``."""
    expected = (probability * len(drawn)).numpy()
    counts = torch.bincount(drawn, minlength=len(probability)).numpy()
    common = expected >= 5
    found, wanted = [*counts[common]], [*expected[common]]
    if (~common).any():
        found.append(counts[~common].sum())
        wanted.append(expected[~common].sum())
    statistic = sum((f - w) ** 2 / w for f, w in zip(found, wanted, strict=True))
    return float(stats.chi2.sf(statistic, len(found) - 1))


@each
def test_draws_are_of_the_distribution(name: str) -> None:
    """20,000 draws: chi-square of levels, Kolmogorov and Smirnov's test of densities, at a level of 1e-3."""
    count, one = 20_000, outputs(name, pixels=1)
    output = one.expand(count, -1)
    drawn = ALL[name].sample(output, Noise([seeded(5, name)])).flatten()
    assert len(drawn) == count
    assert drawn.dtype == output.dtype
    if name in DENSITIES:
        scale = 0.2 if name == "gaussian-fixed" else math.exp(one[1].item() - 2)
        assert stats.kstest(drawn.numpy(), stats.norm(one[0].item(), scale).cdf).pvalue > LEVEL
        return
    values = levels(name)
    index = (drawn * (len(values) - 1)).round().long()
    torch.testing.assert_close(values[index], drawn, rtol=0, atol=1e-12)
    probability = probabilities(name, one)
    assert fits(index, probability) > LEVEL
    assert fits(index, probability.roll(1)) < LEVEL  # the test would see one level's difference


def test_the_first_and_the_last_uniform_number_give_an_edge() -> None:
    class Fixed(Noise):
        def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.tensor([0.0, 0.5, 1 - 2**-24], dtype=dtype).expand(*shape)

    drawn = ALL["discretised-logistic"].sample(torch.zeros(2, 6), Fixed())
    assert drawn.equal(torch.tensor([0.0, 128 / 255, 1.0]).expand(2, -1))


@each
def test_a_members_draws_are_by_its_own_noise(name: str) -> None:
    output = outputs(name, 3, 4)
    together = ALL[name].sample(output, Noise([seeded(p) for p in range(3)]))
    assert together.shape == (3, 4, 3)
    for p in range(3):
        assert ALL[name].sample(output[p : p + 1], Noise([seeded(p)])).equal(together[p : p + 1])


# ---------------------------------------------------------------------------------------------------------- shapes


@each
def test_samples_of_latents_share_their_images(name: str) -> None:
    """As evaluation has them: ``[P, S, B, D numbers]`` and ``[P, 1, B, D]``."""
    output, observation = outputs(name, 2, 4, 5), observations(name, 2, 1, 5)
    together = ALL[name].nll(output, observation)
    assert together.shape == (2, 4, 5)
    for p in range(2):
        for s in range(4):
            torch.testing.assert_close(together[p, s], ALL[name].nll(output[p, s], observation[p, 0]))
    assert ALL[name].mean(output).shape == (2, 4, 5, 3)


@each
def test_the_numbers_of_a_pixel_stand_side_by_side(name: str) -> None:
    output, observation = outputs(name, pixels=2), observations(name, pixels=2)
    apart = output.view(2, -1)
    alone = [ALL[name].nll(one, value.unsqueeze(0)) for one, value in zip(apart, observation, strict=True)]
    torch.testing.assert_close(ALL[name].nll(output, observation), torch.stack(alone).sum(0))


# ------------------------------------------------------------------------------------------------------------ bits


def test_uniform_levels_take_eight_bits() -> None:
    row = ALL["categorical"]
    nats = row.nll(torch.zeros(5, 7 * 256), observations("categorical", 5, pixels=7))
    bits = row.bits(nats, 7)
    assert bits is not None
    torch.testing.assert_close(bits, torch.full((5,), 8.0))


@pytest.mark.parametrize("name", DENSITIES)
def test_bits_of_a_density_are_of_a_level(name: str) -> None:
    """A density of 255 is that of a pixel known to a level: no bits; a quarter of it, two bits."""
    deviation = 4 / (255 * math.sqrt(2 * math.pi))
    row: Likelihood = likelihood(name, pixel_scale=deviation)
    numbers = [0.5] if name == "gaussian-fixed" else [0.5, math.log(deviation) + 2]
    image = torch.full((4,), 0.5, dtype=torch.float64)
    nats = row.nll(torch.tensor(numbers * 4, dtype=torch.float64), image)
    bits = row.bits(nats, 4)
    assert bits is not None
    assert bits.item() == pytest.approx(2)


def test_binary_pixels_have_no_bits_a_dimension() -> None:
    assert ALL["bernoulli"].bits(torch.ones(3), 4) is None


# --------------------------------------------------------------------------------------------------- configurations


def test_a_row_takes_its_own_options() -> None:
    assert likelihood("gaussian-fixed", pixel_scale=0.3) == replace(likelihood("gaussian-fixed"), pixel_scale=0.3)  # type: ignore[type-var]
    assert likelihood("gaussian", pixel_scale=0.3) == likelihood("gaussian")
    gray = described(4, 4, binarisation="none")
    found = Config(data=gray, likelihood="gaussian-fixed", pixel_scale=0.3).pixels
    assert found == likelihood("gaussian-fixed", pixel_scale=0.3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        *(
            ({"likelihood": name}, f"likelihood {name} explains the 256 levels .* the pixels are binary; give")
            for name in LIKELIHOODS
            if name != "bernoulli"
        ),
        ({"pixel_scale": 0.2}, r"pixel scale is 0.2, which has no effect with likelihood bernoulli; leave it at 0\.1"),
        ({"likelihood": "discretized-logistic"}, "unknown likelihood .*; did you mean 'discretised-logistic'"),
        ({"likelihood": "xyz"}, "unknown likelihood 'xyz'; choose from bernoulli, gaussian"),
        ({"pixel_scale": 0.0}, r"pixel scale is 0\.0; give a standard deviation from 0.001"),
        ({"pixel_scale": -1.0}, r"pixel scale is -1\.0; give a standard deviation from 0.001"),
        ({"pixel_scale": math.nan}, "pixel scale is nan; give a"),
        ({"pixel_scale": 1}, "pixel scale is 1; give a float"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        Config(data=described(4, 4), **given)
    assert "\n" not in str(caught.value)


def test_grayscale_may_be_explained_by_any() -> None:
    for name in LIKELIHOODS:
        assert Config(data=described(4, 4, 3, binarisation="none"), likelihood=name).likelihood == name


# ---------------------------------------------------------------------------------------------------- constant outputs


@each
def test_no_other_constant_output_explains_observations_better(name: str) -> None:
    """The gradient of the mean loss vanishes there, where it is defined as the maximum of a likelihood."""
    own, seen = ALL[name], torch.cat([torch.zeros(200, 3, dtype=torch.float64), observations(name, 400)])
    output = own.constant(seen).requires_grad_()
    assert output.shape == (seen.shape[-1] * own.numbers,)
    loss = own.nll(output, seen).mean()
    assert loss < own.nll(torch.zeros_like(output), seen).mean() - 0.01
    if name not in {"categorical", "discretised-logistic"}:  # of counts plus one, and of a mean and a deviation
        (gradient,) = torch.autograd.grad(loss, output)
        assert gradient.abs().max() < 1e-9


def test_constant_outputs_by_hand() -> None:
    """Means, deviations and frequencies; pixels that are always the same keep the output finite."""
    pixels = torch.tensor([[0.0, 1.0, 0.2], [0.0, 1.0, 0.6]], dtype=torch.float64)
    expected = [math.log(p / (1 - p)) for p in (0.001, 0.999, 0.4)]
    assert ALL["bernoulli"].constant(pixels).tolist() == pytest.approx(expected)
    assert ALL["gaussian-fixed"].constant(pixels).tolist() == pytest.approx([0, 1, 0.4])
    deviations = [0.0, 0.0, math.log(0.2) + 2]
    found = ALL["gaussian"].constant(pixels)
    assert found[::2].tolist() == pytest.approx([0, 1, 0.4])
    assert found[1::2].tolist() == pytest.approx(deviations)
    found = ALL["discretised-logistic"].constant(pixels)
    assert found[::2].tolist() == pytest.approx([-0.5, 0.5, -0.1])
    assert found[1::2].tolist() == pytest.approx([each + math.log(3**0.5 / math.pi) for each in deviations])
    frequencies = ALL["categorical"].constant(pixels).exp().view(3, LEVELS)
    assert frequencies[0, 0].item() == pytest.approx(3 / 258)
    assert frequencies[2, [51, 153, 0]].tolist() == pytest.approx([2 / 258, 2 / 258, 1 / 258])


@pytest.mark.parametrize("name", ["gaussian", "discretised-logistic"])
def test_a_start_from_pixels_that_never_change_costs_no_more(name: str) -> None:
    """A new decoder is not exact about them, however sure the data are."""
    pixels = torch.cat([torch.zeros(100, 6), torch.rand(100, 6, generator=torch.Generator().manual_seed(0))], 1)
    noise = 0.3 * torch.randn(100, 24, generator=torch.Generator().manual_seed(1))
    start = ALL[name].constant(pixels)
    assert ALL[name].nll(start + noise, pixels).mean() < ALL[name].nll(noise, pixels).mean()


def test_frequencies_of_more_observations_than_float32_counts() -> None:
    """One bias for all pixels of 50,000 images has some 40 million."""
    pixels = torch.zeros(2**24 + 2**22, 1)
    pixels[: 2**22] = 1
    frequencies = ALL["categorical"].constant(pixels).exp()
    assert frequencies[[0, 255]].tolist() == pytest.approx([0.8, 0.2], rel=1e-4)


def test_a_likelihood_without_a_constant_output_says_so() -> None:
    with pytest.raises(InputError, match="Likelihood has no constant output, which data bias needs; leave that out"):
        Likelihood().constant(torch.zeros(2, 3))
