"""Estimates of several layers keep their claims, with noise that evaluations of a step share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from discrete_vae.conformance.problem import Problem
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import gradient_error
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import (
    STRATEGIES,
    Arsm,
    Carms,
    DisarmStickBreaking,
    DisarmTree,
    Estimate,
    GumbelSoftmax,
    Objective,
    Rebar,
    ReinMax,
    ReweightedWakeSleep,
    Rloo,
    Rodeo,
    Strategy,
    Vimco,
)
from discrete_vae.tasks.nesting import Layer, nested
from tests.tasks import nested as two_layers
from tests.tasks.nested import (
    BATCH,
    CATEGORIES,
    DRAWS,
    FIRST,
    LATENTS,
    LAYER,
    LOGITS,
    TARGET,
    UP,
    exact,
    upper_cost,
    upper_logits,
)

UNBIASED: dict[str, Callable[[], Strategy]] = {
    name: partial(Problem(Categorical(LATENTS, CATEGORIES)).build, kind)
    for name, kind in STRATEGIES.items()
    if kind.categorical()
    and kind.claim.unbiased
    and not kind.loss_includes_kl
    and kind.categories in (None, CATEGORIES)
}
"""All but a bound over several samples, which is not a mean of what its samples cost."""
BIASED: dict[str, Callable[[], Strategy]] = {"gumbel-softmax": lambda: GumbelSoftmax(0.5), "reinmax": ReinMax}


@pytest.mark.parametrize("name", [*UNBIASED, *BIASED])
def test_nested_estimates_keep_their_claim(name, monkeypatch) -> None:
    """9 states each: 5 standard errors in 12 + 36 elements fail by chance with probability 3e-5."""
    make = (UNBIASED | BIASED)[name]
    up = UP.clone().requires_grad_()
    monkeypatch.setattr(two_layers, "UP", up)
    lower, upper = exact(up)
    logits = LOGITS.repeat(DRAWS, 1, 1).requires_grad_()
    estimate = nested([make(), make()], logits, FIRST, [LAYER], Noise([seeded(3)]))
    assert estimate.loss.shape == (DRAWS * BATCH,)
    assert estimate.strategy_loss.shape == ()
    (sampled,) = torch.autograd.grad(estimate.loss.sum(), logits, retain_graph=True)
    error = gradient_error(sampled.view(DRAWS, BATCH, LATENTS, CATEGORIES), lower)
    assert (error.z_score < 5) == (name in UNBIASED)
    assert error.cosine > 0.9
    # The second layer's own weights learn as well; their gradient is a sum over draws, whose error is not known.
    (sampled,) = torch.autograd.grad(estimate.loss.sum() / DRAWS, up)
    assert torch.cosine_similarity(sampled.flatten(), upper.flatten(), 0) > 0.9


def test_one_layer_is_the_strategy_itself() -> None:
    alone = ReinMax().estimate(LOGITS.clone(), FIRST, Noise([seeded(1)]))
    assert nested([ReinMax()], LOGITS.clone(), FIRST, [], Noise([seeded(1)])).loss.equal(alone.loss)


SPREAD = {
    "score-function": 0.408,
    "rloo": 0.168,
    "unordered-set": 0.0909,
    "sum-and-sample": 0.1037,
    "rodeo": 0.341,
    "muprop": 0.342,
    "rebar": 0.375,
    "arsm": 0.307,
    "carms": 0.136,
    "disarm-stick-breaking": 0.293,
    "disarm-tree": 0.287,
    "local-expectation": 0.136,
    "enumeration": 0.111,
}
"""Standard deviation of one draw's gradient in the first logits, both images together. With noise of their own behind
each evaluation it was 0.511 for MuProp, 0.565 for REBAR, 0.384 for ARSM, 0.184 for local expectation and 0.128 for
enumeration. Several samples have noise of their own: with common noise it was 0.137 for CARMS, 0.285 for DisARM by
sticks and 0.163 for RLOO; in the second logits 0.145, 0.294 and 0.198 instead of 0.113, 0.264 and 0.141."""


@pytest.mark.parametrize("name", SPREAD)
def test_evaluations_of_a_step_differ_by_the_sample_alone(name) -> None:
    """The spread of the gradient as with common random numbers behind, within 4%."""
    logits = LOGITS.repeat(DRAWS, 1, 1).requires_grad_()
    make = UNBIASED[name]
    estimate = nested([make(), make()], logits, FIRST, [LAYER], Noise([seeded(3)]))
    (sampled,) = torch.autograd.grad(estimate.loss.sum(), logits)
    spread = sampled.view(DRAWS, BATCH, LATENTS, CATEGORIES).var(0).sum().sqrt()
    assert float(spread) == pytest.approx(SPREAD[name], rel=0.04)


class Looking(Strategy):
    """Evaluates one sample again and again: by itself, without a gradient, and several times at once."""

    claim = ReinMax.claim

    def __init__(self, independent: bool = False) -> None:
        super().__init__()
        self.independent = independent

    def compute(self, logits: Tensor, objective: Objective, noise: Noise) -> Estimate:
        sample = torch.zeros_like(logits)
        sample[..., 0] = 1
        self.seen = [objective(sample)]
        with torch.no_grad():
            self.seen += [objective(sample), *objective(sample.expand(3, *sample.shape))]
            self.seen += objective(sample.expand(2, 2, *sample.shape)).flatten(0, 1)
        self.seen.append(objective(sample))
        return Estimate(self.seen[0], logits.new_zeros(logits.shape[:-3]), sample)


@pytest.mark.parametrize(
    "behind", [ReinMax, Rloo, Arsm, lambda: Rebar().double()], ids=["reinmax", "rloo", "arsm", "rebar"]
)
@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("independent", [False, True])
def test_layers_behind_have_the_same_noise_at_each_look(behind, layers: int, independent: bool) -> None:
    """For members of a population, through one layer or two; independent samples each have their own."""
    logits = LOGITS.repeat(2, 5, 1, 1).view(2, 5 * BATCH, LATENTS, CATEGORIES).requires_grad_()
    looking = Looking(independent)
    noise = Noise([seeded(1), seeded(2)])
    nested([looking, *(behind() for _ in range(layers - 1))], logits, FIRST, [LAYER] * (layers - 1), noise)
    assert len(looking.seen) == 10
    alike = [each.allclose(looking.seen[0], rtol=1e-12) for each in looking.seen[1:]]
    assert not any(alike) if independent else all(alike)
    losses = looking.seen[0].view(2, 5, BATCH)
    assert not losses[0].equal(losses[1]), "members"
    assert not losses[:, 0].equal(losses[:, 1]), "images"


@pytest.mark.parametrize(
    "strategy",
    [
        Rloo(),
        Rodeo(units=4).double(),
        Vimco(),
        ReweightedWakeSleep(),
        Carms(),
        DisarmStickBreaking(),
        DisarmTree(),
    ],
)
def test_several_samples_have_layers_of_their_own(strategy) -> None:
    """With the same sample drawn again and again, losses differ by what is behind."""
    certain = torch.zeros(1, LATENTS, CATEGORIES, dtype=torch.float64)
    certain[..., 0] = 200.0
    seen: list[Tensor] = []

    def cost(upper: Tensor) -> Tensor:
        seen.append(upper)
        return upper_cost(upper)

    layer = Layer(upper_logits, lambda lower: Objective(lambda sample: sample, cost))
    target = TARGET[:1]
    assert strategy.independent
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "TARGET", target)
        patch.setitem(globals(), "BATCH", 1)
        nested([strategy, ReinMax()], certain.expand(1, -1, -1), FIRST, [layer], Noise([seeded(1)]))
    assert len(seen[0].unique(dim=0)) > 1


def test_an_output_of_one_number_an_example_is_refused_where_samples_are_several() -> None:
    objective = Objective(decode=lambda z: z.flatten(-2).sum(-1), loss=torch.square)
    with pytest.raises(InputError, match=r"decode gives shape \[4, 2\] of samples .*; give \[\.\.\., B, D\]"):
        nested([Carms(), ReinMax()], LOGITS.clone().requires_grad_(), objective, [LAYER], Noise([seeded(1)]))
