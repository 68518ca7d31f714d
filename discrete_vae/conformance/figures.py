"""A strategy's gradient on the problem, compared with its claim."""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from discrete_vae.conformance.problem import BATCH, SHAPES, Problem
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import GradientError, gradient_error, sampled_gradients
from discrete_vae.latents.categorical import Categorical
from discrete_vae.strategies.base import Strategy
from discrete_vae.strategies.objective import Objective

DRAWS = 200_000
REJECTED = 5.5
"""Standard errors of the worst element beyond which a gradient is biased: a false alarm in 12 elements has probability
5e-7."""
LOUDEST = 0.1
"""Relative error of the largest element that the draws have to detect for an unbiased claim to count."""
AT_ONCE = 2**25
"""Numbers in the samples that are decoded at once."""


class Figures(NamedTuple):
    """Statistics of many draws, compared with the exact gradient."""

    cosine: float
    """Cosine between their mean and the exact gradient, within 0.01."""
    length: float
    """Norm of their mean relative to the exact gradient's, within 5%: catches a lost or doubled factor."""
    spread: float
    """Standard deviation of one draw relative to that norm, within 5%: catches an idle control variate."""


def measured(
    strategy: Strategy,
    problem: Problem,
    exact: Tensor,
    draws: int = DRAWS,
    seed: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[GradientError, Figures, float]:
    """The error of many draws, its figures, and the smallest relative error that the test detects.

    The test rejects beyond 5.5 standard errors. It misses an error of 9 standard errors in the largest element with
    probability 2e-4. ``advance`` is called with the number of draws just made.
    """
    noise, gradients = problem.noise(seed), []
    numbers = strategy.claim.decoded(*problem.family.sample_shape) * BATCH * problem.size
    most = max(AT_ONCE // numbers, 1)
    for begin in range(0, draws, most):
        count = min(most, draws - begin)
        gradients.append(sampled_gradients(strategy, problem.logits, problem.objective(count), count, noise))
        advance(count)
    sampled = torch.cat(gradients)
    largest = exact.abs().flatten().argmax()
    standard_error = sampled.std(0).flatten()[largest] / math.sqrt(draws)
    error = gradient_error(sampled, exact)
    found = Figures(error.cosine, (sampled.mean(0).norm() / exact.norm()).item(), math.sqrt(error.variance))
    return error, found, (9 * standard_error / exact.abs().flatten()[largest]).item()


def cost(strategy: Strategy, problem: Problem) -> tuple[int, bool | None]:
    """Samples that an estimate decodes for an example, and whether they are relaxed (None for other latents)."""
    problem.calls = 0
    estimate = strategy.estimate(problem.logits.clone().requires_grad_(), problem.objective(), problem.noise(0))
    calls, problem.calls = problem.calls, 0
    sample = estimate.sample
    return calls, bool(((sample > 0) & (sample < 1)).any()) if isinstance(problem.family, Categorical) else None


def value(strategy: Strategy, logits: Tensor, objective: Objective, sample: Tensor) -> Tensor:
    """The required loss: the objective at the sample; of several samples their mean, weighted mean or bound."""
    losses = objective(sample)
    weights = strategy.weights(logits, sample)
    if weights is not None:
        return (weights * losses).sum(0)
    if strategy.loss_includes_kl:
        assert objective.sample_kl is not None
        losses = losses + objective.sample_kl(logits, sample)
        return math.log(len(losses)) - (-losses).logsumexp(0)
    return losses.mean(0) if sample.dim() > logits.dim() else losses


class Line(NamedTuple):
    """A promise and its measurement."""

    what: str
    claim: str
    measured: str
    holds: bool | None = None
    """None where nothing was promised, or the draws are too few to say."""
    reason: str = ""


def judged(strategy: Strategy, problem: Problem, error: GradientError, found: Figures, detectable: float) -> list[Line]:
    """The claim of a strategy, one promise after the other, with the measurements."""
    claim = strategy.claim
    known = math.isfinite(error.z_score)
    rejected = not error.z_score < REJECTED  # also where it is NaN
    if claim.unbiased:
        said, holds = "unbiased", None if not rejected and detectable >= LOUDEST else not rejected
    else:
        said, holds = "biased", (True if rejected else None) if known else False
    if not known:
        reason = "the gradients are not finite"
    elif rejected:
        reason = "the mean differs from the exact gradient"
    elif detectable < LOUDEST:
        reason = f"no bias is detectable; {detectable:.1%} in the largest element would be"
        if not claim.unbiased:
            reason += "; the table wants options that show one, or unbiased=True"
    else:
        reason = f"a bias below {detectable:.0%} would be missed; give more draws"
    calls, relaxed = cost(strategy, problem)
    decoded = claim.decoded(*problem.family.sample_shape)
    exact = "0" if claim.unbiased else "above 0"
    lines = [
        Line("mean", said, f"z = {error.z_score:.4g}", holds, reason),
        Line("bias", exact, f"{error.bias:.4f}"),
        Line("cosine", "1" if claim.unbiased else "", f"{found.cosine:.4f}"),
        Line("length", "1" if claim.unbiased else "", f"{found.length:.4f}"),
        Line("spread", "", f"{found.spread:.4f}"),
        Line("variance", "", f"{error.variance:.4f}"),
        Line("cost", str(decoded), str(calls), calls == decoded, "" if calls == decoded else "decoded samples differ"),
    ]
    lines += contract(strategy, problem)
    if relaxed is not None:
        kinds = ("hard", "relaxed")
        same = relaxed == claim.relaxed
        reason = "" if same else "the decoded sample is of the other kind"
        lines.append(Line("sample", kinds[claim.relaxed], kinds[relaxed], same, reason))
    return lines


def contract(strategy: Strategy, problem: Problem) -> list[Line]:
    """The contract that lets estimates nest, with what this one does."""
    before, found = torch.get_rng_state(), []
    for _ in range(2):
        logits = problem.logits.clone().requires_grad_()
        estimate = copy.deepcopy(strategy).estimate(logits, problem.objective(), problem.noise(3))
        found.append(estimate)
    alone = before.equal(torch.get_rng_state())
    repeats = found[0].sample.equal(found[1].sample) and found[0].loss.equal(found[1].loss)
    expected = value(strategy, problem.logits, problem.objective(), estimate.sample.detach())
    same = torch.allclose(estimate.loss, expected)
    if strategy.claim.marginal:
        expected = problem.expectation(problem.logits)
    loss = estimate.loss + 0 * problem.outer.sum()  # adds nothing; for a loss in which the decoder has no part
    (slope,), (wanted,) = (torch.autograd.grad(each.sum(), problem.outer) for each in (loss, expected))
    learns = torch.allclose(slope, wanted)
    other = not_alone(strategy, problem)
    reasons = {
        "value": "" if same else "the loss is not that of the sample; stack several samples in front",
        "decoder": "" if learns else "it does not learn from the loss of the sample, or of all of several",
        "noise": "" if alone else "it draws from torch's generator; draw from noise",
    }
    return [
        Line("value", "same", "same" if same else "another", same, reasons["value"]),
        Line("decoder", "right", "right" if learns else "wrong", learns, reasons["decoder"]),
        Line("noise", "alone", "alone" if alone and repeats else "more", alone and repeats, reasons["noise"]),
        Line("members", "alone", "together" if other else "alone", not other, other),
    ]


def not_alone(strategy: Strategy, problem: Problem) -> str:
    """Why two runs side by side, with two values of each schedule, are not what each is alone; empty if they are."""
    for name in strategy.scheduled():
        if name not in strategy.minima:
            return f"{name} is a schedule; register_hyperparameter has to make it a buffer"
    if not strategy.scheduled():
        return ""
    values = {name: getattr(strategy, name) * torch.tensor([1.0, 1.7]) for name in strategy.scheduled()}

    def gradient(members: slice) -> Tensor:
        own = copy.deepcopy(strategy)
        own.follow({name: value[members] for name, value in values.items()})
        count = len(range(2)[members])
        logits = problem.logits.expand(count, *problem.logits.shape).clone().requires_grad_()
        noise = problem.noise(*range(2)[members])
        return torch.autograd.grad(own.estimate(logits, problem.objective(count), noise).loss.sum(), logits)[0]

    try:
        together, first, second = (gradient(slice(*ends)) for ends in ((0, 2), (0, 1), (1, 2)))
    except (InputError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return "" if torch.allclose(together, torch.cat([first, second])) else "a schedule is one value a run: per_member"


def csv_line(*cells: object) -> str:
    """A line of a CSV table; numbers with four digits."""
    file = io.StringIO()
    csv.writer(file, lineterminator="").writerow([f"{each:.4g}" if isinstance(each, float) else each for each in cells])
    return file.getvalue()


def name_of(shape: tuple[int, int]) -> str:
    """Name in the conformance table of a problem of this shape, (variables, categories)."""
    return next((name for name, known in SHAPES.items() if known == shape), f"{shape[0]} x {shape[1]}")
