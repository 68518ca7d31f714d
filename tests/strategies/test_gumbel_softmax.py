"""Gumbel-Softmax against torch's own function, and its trade of bias for variance against the exact gradient."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import GradientError, exact_gradient, gradient_error, sampled_gradients
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import (
    GumbelSoftmax,
    Model,
    NetworkFactory,
    Objective,
    StraightThroughGumbelSoftmax,
    TargetPropagation,
)
from discrete_vae.strategies.gumbel_softmax import GumbelSoftmaxOptions

LOGITS = torch.randn(2, 3, 4, generator=seeded(0), dtype=torch.float64)
WEIGHTS = torch.randn(3, 4, generator=seeded(1), dtype=torch.float64)
CURVED = Objective(decode=lambda z: (z * WEIGHTS).sum(-1).cumsum(-1), loss=lambda output: output.sin().sum(-1))
BOTH = pytest.mark.parametrize("strategy", [GumbelSoftmax, StraightThroughGumbelSoftmax])


class Given(Noise):
    """Hands out the Gumbel numbers that it was given."""

    def __init__(self, gumbel: Tensor) -> None:
        super().__init__()
        self.given = gumbel

    def gumbel(self, shape, dtype=torch.float32) -> Tensor:
        assert self.given.shape == shape
        return self.given


@pytest.mark.parametrize(("strategy", "hard"), [(GumbelSoftmax, False), (StraightThroughGumbelSoftmax, True)])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 3.0])
def test_sample_and_gradient_are_torchs_for_the_same_noise(strategy, hard, temperature) -> None:
    torch.manual_seed(2)
    expected_logits = LOGITS.clone().requires_grad_()
    expected = F.gumbel_softmax(expected_logits, temperature, hard=hard)
    CURVED(expected).sum().backward()
    torch.manual_seed(2)
    gumbel = -torch.empty_like(LOGITS).exponential_().log()

    logits = LOGITS.clone().requires_grad_()
    ours = strategy(temperature)
    ours.temperature = torch.tensor(temperature, dtype=torch.float64)  # as torch's: a float32 buffer would round 0.1
    estimate = ours.estimate(logits, CURVED, Given(gumbel))
    estimate.loss.sum().backward()
    torch.testing.assert_close(estimate.sample, expected)
    torch.testing.assert_close(logits.grad, expected_logits.grad)
    assert logits.grad.any()


def test_bias_shrinks_and_variance_grows_as_temperature_falls() -> None:
    """300,000 draws: each bias is known to its Monte-Carlo error sqrt(variance / draws); the steps are 5 times that."""
    draws, exact = 300_000, exact_gradient(LOGITS, CURVED)
    errors: list[GradientError] = []
    for temperature in (1.0, 0.5, 0.1):
        noise = Noise([seeded(3)])
        sampled = sampled_gradients(GumbelSoftmax(temperature), LOGITS, CURVED, draws, noise)
        errors.append(gradient_error(sampled, exact))
    for warm, cold in itertools.pairwise(errors):
        uncertainty = math.sqrt(warm.variance / draws) + math.sqrt(cold.variance / draws)
        assert warm.bias - cold.bias > 5 * uncertainty
        # A variance of so many draws is known to a few percent; these differ by far more.
        assert cold.variance > 1.5 * warm.variance
    assert errors[0].z_score > 20
    assert errors[-1].cosine > errors[0].cosine


@BOTH
@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf, torch.tensor([0.5, 0.0])], ids=str)
def test_bad_temperature_is_refused(strategy, temperature) -> None:
    with pytest.raises(InputError, match=r"temperature is .*; give a finite number above 0") as caught:
        strategy(temperature)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("schedule", [Schedule(0), Schedule(1, decay=0), Schedule(1, warmup=1)], ids=str)
def test_schedule_that_reaches_temperature_zero_is_refused(schedule) -> None:
    with pytest.raises(InputError, match=r"temperature is .*; it must stay above 0"):
        GumbelSoftmaxOptions(schedule)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_sample_is_a_drop_in_that_stays_finite(strategy, dtype) -> None:
    """Without a Noise it follows torch's seed; a million half-precision rows give no NaN, where torch's gave some."""
    logits = (torch.randn(250_000, 4, generator=seeded(4)) * 5).to(dtype).requires_grad_()
    torch.manual_seed(6)
    sample = strategy(0.1).sample(logits)
    assert sample.shape == logits.shape
    assert sample.dtype == dtype
    assert sample.isfinite().all()
    (gradient,) = torch.autograd.grad((sample * torch.arange(4, dtype=dtype)).sum(), logits)
    assert gradient.isfinite().all()
    assert gradient.any()
    torch.manual_seed(6)
    assert strategy(0.1).sample(logits).equal(sample)
    assert not strategy(0.1).sample(logits).equal(sample)


@BOTH
def test_each_member_has_its_own_temperature(strategy) -> None:
    temperatures = torch.tensor([0.1, 1.0, 5.0])
    logits = LOGITS.expand(3, 2, 3, 4).clone().requires_grad_()
    together = strategy(temperatures).estimate(logits, CURVED, Noise([seeded(p) for p in range(3)]))
    (gradient,) = torch.autograd.grad(together.loss.sum(), logits)
    for member, temperature in enumerate(temperatures.tolist()):
        single = LOGITS[None].clone().requires_grad_()
        alone = strategy(temperature).estimate(single, CURVED, Noise([seeded(member)]))
        torch.testing.assert_close(together.sample[member], alone.sample[0])
        torch.testing.assert_close(gradient[member], torch.autograd.grad(alone.loss.sum(), single)[0][0])


@BOTH
def test_follow_sets_the_temperature_of_the_next_step(strategy) -> None:
    assert strategy.scheduled() == ("temperature",)
    moved = strategy.build(strategy.Options(), NetworkFactory(1, *[torch.nn.Identity] * 4))
    moved.follow({"temperature": torch.tensor([2.0])})
    logits = LOGITS[None].clone().requires_grad_()
    gradients = [
        torch.autograd.grad(s.estimate(logits, CURVED, Noise([seeded(7)])).loss.sum(), logits)[0]
        for s in (moved, strategy(2.0))
    ]
    assert gradients[0].equal(gradients[1])


@pytest.mark.parametrize(
    "strategy", [StraightThroughGumbelSoftmax(0.5), pytest.param(TargetPropagation(), marks=pytest.mark.slow)]
)
def test_half_precision_does_not_favour_a_category(strategy) -> None:
    """Equal logits in bfloat16: rounded noise would tie, and ties go to the first category.

    4e7 draws have a standard error of 7.9e-5; noise rounded to bfloat16 is off by 7e-4, nine of them.
    """
    logits, noise = torch.zeros(1000, 4000, 2, dtype=torch.bfloat16), Noise([seeded(0)])
    objective = Objective(
        decode=lambda z: z,
        loss=lambda z: z.sum((-1, -2)),
        model=Model(predict=lambda z: z, observation=logits, encode=lambda x: x),
    )
    with torch.no_grad():
        first = [strategy.estimate(logits, objective, noise).sample[..., 0].float().mean().item() for _ in range(10)]
    assert abs(sum(first) / 10 - 0.5) < 4.5 * 0.5 / math.sqrt(4e7)  # false alarm: 7e-6
