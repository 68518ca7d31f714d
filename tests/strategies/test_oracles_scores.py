"""Score functions and exact estimators against their papers' formulas, draw by draw.

The formulas are written with loops over samples, categories and states, and by automatic differentiation of ``log q``,
in ``oracles_one_sample``, ``oracles_several_samples``, ``oracles_coupled`` and ``oracles_exact``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import STRATEGIES, MuProp, Nvil, Objective, ScoreFunction
from tests.strategies.oracles import Case, Given, Net, Problem, check, close, every, net, normal
from tests.strategies.oracles_coupled import arsm, carms, coupled, disarm, leaf_by_leaf, rebar, stick_by_stick
from tests.strategies.oracles_exact import (
    enumeration,
    local_expectation,
    marginalisation,
    sparsemax_marginalisation,
)
from tests.strategies.oracles_one_sample import darn_baseline, muprop, score_function
from tests.strategies.oracles_several_samples import (
    reweighted_wake_sleep,
    rloo,
    rodeo,
    sum_and_sample,
    unordered_set,
    vimco,
)

MOVING = [{"decay": 0.7, "normalise": normalise} for normalise in (False, True)]
LEARNED = {"network": "baseline", "steps": 4}
CASES = [
    *(Case("score-function", score_function, options, steps=4) for options in MOVING),
    *(Case("score-function", score_function, options, **LEARNED, built=False) for options in MOVING),
    *(Case("nvil", score_function, options, **LEARNED) for options in MOVING),
    *(Case("muprop", muprop, options, steps=4) for options in MOVING),
    *(Case("muprop", muprop, options, **LEARNED, built=False) for options in MOVING),
    *(
        Case("darn-baseline", darn_baseline, {"centre": centre, **options}, steps=4)
        for centre in ("mean", "uniform")
        for options in MOVING
    ),
    Case("darn-baseline", darn_baseline, {"centre": "mean", **MOVING[1]}, **LEARNED, built=False),
    *(Case(name, reference, {"draws": 3}) for name, reference in (("rloo", rloo), ("vimco", vimco))),
    *(Case(name, reference, {"draws": 2}) for name, reference in (("rloo", rloo), ("vimco", vimco))),
    *(Case("rodeo", rodeo, {"draws": draws, "units": 3}) for draws in (2, 3)),
    *(Case("reweighted-wake-sleep", reweighted_wake_sleep, {"draws": draws}) for draws in (2, 3)),
    *(
        Case("unordered-set", unordered_set, {"draws": draws, "baseline": baseline})
        for draws, baseline in ((2, True), (4, True), (3, False))
    ),
    *(
        Case("sum-and-sample", sum_and_sample, {"states": states, "baseline": baseline})
        for states, baseline in ((1, True), (3, True), (2, False))
    ),
    *(
        Case(name, rebar, {"temperature": 0.7, "weight": 0.8, "coupled": coupled}, "critic" * (name == "relax"))
        for name in ("rebar", "relax")
        for coupled in (False, True)
    ),
    Case("arsm", arsm),
    Case("disarm", disarm, categories=2),
    Case("disarm-stick-breaking", partial(coupled, decisions_of=stick_by_stick)),
    Case("disarm-tree", partial(coupled, decisions_of=leaf_by_leaf)),
    *(Case("carms", carms, {"draws": draws}) for draws in (2, 3, 6)),
    *(Case("enumeration", enumeration, broadcasts=broadcasts) for broadcasts in (False, True)),
    *(Case("marginalisation", marginalisation, broadcasts=broadcasts) for broadcasts in (False, True)),
    Case("local-expectation", local_expectation),
    Case("sparsemax-marginalisation", sparsemax_marginalisation),
]
ELSEWHERE = {
    "target-propagation",
    "target-propagation-auto-encoder",
    "vq-vae",
    "vq-vae-rotation",
    "fsq",
    "gauss-newton-local-expectation",
}


@every(CASES)
def test_gradient_is_the_papers_for_the_same_noise(case, shape, population) -> None:
    """Value, gradient in logits and decoder, and the strategy's own loss, to 1e-9; and how many states are decoded."""
    strategy, posed = check(case, shape, population)
    assert type(strategy) is STRATEGIES[case.strategy]
    batch, latents, categories = shape
    images, every_state = batch * (2 if population else 1), categories**latents
    once = every_state if case.broadcasts else every_state * images
    decoded = {
        "rloo": case.options.get("draws", 0) * images,
        "rodeo": case.options.get("draws", 0) * images,
        "vimco": case.options.get("draws", 0) * images,
        "disarm": 2 * images,
        "disarm-stick-breaking": 2 * images,
        "disarm-tree": 2 * images,
        "carms": case.options.get("draws", 0) * images,
        "unordered-set": case.options.get("draws", 0) * images,
        "sum-and-sample": (case.options.get("states", 0) + 1) * images,
        "sparsemax-marginalisation": min(16, every_state) * images,
        "reweighted-wake-sleep": case.options.get("draws", 0) * images,
        "rebar": 3 * images,
        "relax": 3 * images,
        "arsm": images * (1 + categories * (categories - 1) // 2),
        "local-expectation": images * (1 + latents * (categories - 1)),
        "enumeration": images + once,
        "marginalisation": once,
    }
    if case.options.get("normalise"):  # which divides where the deviation is above 1, and otherwise does nothing
        moving = strategy.moving
        variance = moving.square / moving.weight - (moving.mean / moving.weight).square()
        assert variance.reshape(-1).gt(1).tolist() == ([False, True] if population else [True])
    # The mean field of the others' expansions is a function of its own here.
    assert posed.decoded == decoded.get(case.strategy, images)


def test_every_strategy_has_an_oracle() -> None:
    from tests.strategies.test_oracles_pathwise import CASES as PATHWISE

    assert {case.strategy for case in [*CASES, *PATHWISE]} | ELSEWHERE == set(STRATEGIES)


@pytest.mark.parametrize("name", ["rebar", "relax"])
def test_one_set_of_parameters_learns_from_every_row_of_leading_dimensions(name) -> None:
    """Without a population, the loss's gradient is the sum of that of ``sum_b |estimate|^2 / B`` of each row."""
    batch, latents, categories = 5, 4, 3
    problem = Problem(0, batch, (latents, categories))
    critic = {"critic": Net(net([latents * categories, 6, 1], "shared critic"))} if name == "relax" else {}
    strategy = STRATEGIES[name](**critic, temperature=0.7, weight=0.8).double()
    logits = normal("rows", shape=(6, batch, latents, categories))
    objective = Objective(decode=lambda sample: sample, loss=problem.f)
    estimate = strategy.estimate(logits, objective, Noise([seeded(1)]))
    found = torch.autograd.grad(estimate.strategy_loss.sum(), list(strategy.parameters()))
    noise = Noise([seeded(1)])
    drawn = [noise.gumbel(logits.shape, torch.float64) for _ in range(2)]

    class Row(Noise):
        """The numbers of one row."""

        def __init__(self, row: int) -> None:
            super().__init__()
            self.left = [each[row] for each in drawn]

        def gumbel(self, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
            return self.left.pop(0)

    own = {key: value.detach().requires_grad_() for key, value in strategy.named_parameters()}
    options = SimpleNamespace(coupled=False)
    losses = []
    for row, values in enumerate(logits):
        given = Given(problem, values.clone().requires_grad_(), Row(row), options, "critic" * bool(critic), own, [])
        losses.append(rebar(given).strategy_loss)
        close(estimate.strategy_loss[row].detach(), losses[row].detach(), "value")
    for actual, expected in zip(found, torch.autograd.grad(sum(losses), list(own.values())), strict=True):
        close(actual, expected, "gradient")


OBJECTIVE = Objective(
    decode=lambda sample: sample.flatten(-2),
    loss=lambda output: (output @ torch.linspace(-3, 5, output.shape[-1], dtype=output.dtype)).square(),
    context=normal("evaluation context", shape=(5, 9)),
    kl_term=lambda logits: logits.square().sum((-1, -2)),
)


@pytest.mark.parametrize(
    "make",
    [ScoreFunction, MuProp, lambda **options: Nvil(Net(net([9, 4, 1], "evaluated")), **options)],
    ids=["score function", "muprop", "nvil"],
)
def test_evaluation_is_told_what_the_last_step_was_and_changes_nothing(make) -> None:
    """Outside of training the same noise gives the last step's gradient again."""
    strategy = make(decay=0.7, normalise=True).double()
    logits = normal("evaluated logits", shape=(5, 4, 3)).requires_grad_()

    def gradient(seed: int) -> Tensor:
        return torch.autograd.grad(strategy.estimate(logits, OBJECTIVE, Noise([seeded(seed)])).loss.sum(), logits)[0]

    gradient(0)
    last = gradient(1)
    strategy.eval()
    assert gradient(2).ne(last).any()
    assert gradient(1).equal(last)
    strategy.train()
    assert gradient(1).ne(last).any()


@pytest.mark.parametrize("name", ["vimco", "reweighted-wake-sleep", "rebar", "score-function"])
def test_an_objective_may_have_the_least_there_is(name) -> None:
    """Without sample_kl, kl_term or context: what these would add is 0."""
    bare = replace(OBJECTIVE, context=None, kl_term=None)
    nothing = replace(
        OBJECTIVE,
        kl_term=lambda logits: 0 * logits.sum((-1, -2)),
        sample_kl=lambda logits, sample: 0 * logits.sum((-1, -2)),
    )
    logits = normal("bare logits", shape=(5, 4, 3)).requires_grad_()
    found = []
    for objective in (bare, nothing):
        options = {"normalise": True} if name == "score-function" else {}
        estimate = STRATEGIES[name](**options).double().estimate(logits, objective, Noise([seeded(1)]))
        found.append(torch.autograd.grad(estimate.loss.sum(), logits)[0])
    assert math.isfinite(float(found[0].sum()))
    assert found[0].any()
    torch.testing.assert_close(*found)
