"""Formulas of estimators that couple samples by their noise: REBAR, RELAX, ARSM, DisARM, CARMS and its kin.

The symbols are those of ``oracles_one_sample``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.strategies.oracles import Expected, Given, close
from tests.strategies.oracles_one_sample import hard, log_q


def rebar(given: Given) -> Expected:
    """``(f(z) - c(z~)) grad log q(z) + grad c(z') - grad c(z~)``, ``z' = l + G`` (Tucker et al. 2017, eq. 7 and 8).

    ``c(l') = eta f(softmax(l' / tau)) + critic(softmax(l' / tau))``. ``z~`` has ``log Z - log E_i`` for the sample i
    and ``-log(E_j exp(-l_j) + E_i / Z)`` for the others; where coupled, E is what gives ``z~ = z'`` (appendix G.2).
    Temperature, eta and critic descend the estimate's square, by differentiating the formula as it stands.
    """
    logits, own, problem = given.logits, given.own, given.problem
    perturbed = logits + given.gumbel()
    sample = hard(perturbed.detach())
    total = logits.exp().sum(-1, keepdim=True)
    if given.options.coupled:
        weight = (-perturbed.detach()).exp()
        taken = (sample * weight).sum(-1, keepdim=True)  # E_i / Z
        first, others = taken * total.detach(), (weight - taken) * logits.detach().exp()
        exponential = sample * first + (1 - sample) * others
    else:
        exponential = given.exponential()
    first = (sample * exponential).sum(-1, keepdim=True)
    rest = (1 - sample) * exponential * (-logits).exp() + first / total
    again = torch.where(sample == 1, total.log() - first.log(), -rest.log())
    if given.options.coupled:
        close(again.detach(), perturbed.detach(), "coupled logits")

    def control(at: Tensor) -> Tensor:
        relaxed = (at / own["log_temperature"].exp()).softmax(-1)
        value = own["weight"] * problem.f(relaxed)
        return value + given.network(relaxed.flatten(-2)) if given.learned else value

    loss = problem.f(sample)
    slopes = [
        torch.autograd.grad(value.sum(), logits, create_graph=True)[0]
        for value in (log_q(logits, sample), control(perturbed), control(again))
    ]
    signal = (loss.detach() - control(again))[:, None, None]
    estimate = signal * slopes[0] + slopes[1] - slopes[2]
    return Expected(loss, estimate.detach(), sum((row**2).sum() for row in estimate) / len(estimate))


def arsm(given: Given) -> Expected:
    """``g_nc = sum_j (f^cj - 1/K sum_m f^mj) (1/K - w_nj)`` (Yin et al. 2019, eq. 12).

    w is Dirichlet(1), ``z_n = argmin_k w_nk exp(-l_nk)``, and ``f^cj`` has entries c and j of every w_n swapped.
    """
    logits = given.logits.detach()
    exponential = given.exponential()
    share = exponential / exponential.sum(-1, keepdim=True)
    batch, latents, size = logits.shape

    def swapped(c: int, j: int) -> Tensor:
        order = list(range(size))
        order[c], order[j] = j, c
        return hard(-share[..., order] * (-logits).exp())

    f = [[given.problem.f(swapped(c, j)) for j in range(size)] for c in range(size)]
    gradient = torch.zeros_like(logits)
    for b, n, c, j in itertools.product(range(batch), range(latents), range(size), range(size)):
        mean = sum(f[m][j][b] for m in range(size)) / size
        gradient[b, n, c] += ((f[c][j][b] - mean) * (1 / size - share[b, n, j])).detach()
    return Expected(f[0][0], gradient)


def disarm(given: Given) -> Expected:
    """``(f(b) - f(b')) / 2 (-1)^b'_n [b_n != b'_n] sigma(|a_n|)`` in the logit a (Dong et al. 2020).

    ``b = [1 - u > sigma(-a)]`` and ``b' = [u > sigma(-a)]`` for one u, here with u and 1 - u the other way around.
    """
    logits = given.logits.detach()
    batch, latents, _ = logits.shape
    uniform = given.noise.uniform((batch, latents), torch.float64)
    gradient = torch.zeros_like(logits)
    pair = torch.zeros(2, *logits.shape, dtype=torch.float64)
    for b, n in itertools.product(range(batch), range(latents)):
        odds, u = (logits[b, n, 1] - logits[b, n, 0]).item(), uniform[b, n].item()
        threshold = 1 / (1 + math.exp(odds))
        first, second = int(1 - u > threshold), int(u > threshold)
        pair[0, b, n, first] = pair[1, b, n, second] = 1.0
        if first != second:
            gradient[b, n, 1] = (-1) ** second / (1 + math.exp(-abs(odds)))
            gradient[b, n, 0] = -gradient[b, n, 1]
    one, other = given.problem.f(pair[0]), given.problem.f(pair[1])
    half = ((one - other) / 2).detach()
    return Expected((one + other) / 2, half[:, None, None] * gradient)


def sticks(logits: Tensor) -> tuple[list[int], list[float]]:
    """Of one variable's logits ``[K]``: categories, least probable first, and each one's share of what is left."""
    weights = [math.exp(each) for each in logits.tolist()]
    order = sorted(range(len(weights)), key=lambda k: weights[k])
    return order, [weights[k] / sum(weights[j] for j in order[c:]) for c, k in enumerate(order[:-1])]


def broken(decisions: Sequence[bool]) -> int:
    """The first stick that is taken, or the place behind the last."""
    return next((c for c, taken in enumerate(decisions) if taken), len(decisions))


def carms(given: Given) -> Expected:
    """The mean over pairs of ``(f(z) - f(z')) / 2 q(z_n) q(z'_n) / p(z_n, z'_n) (grad log q(z_n) - grad log q(z'_n))``.

    Of stick c and sample s, ``u = (1 - d)^(S - 1)`` with d Dirichlet(1), and the stick is taken where u is below its
    share pi (Dimitriev and Zhou 2021). ``P(u < v, u' < v) = max(2 v^(1 / (S - 1)) - 1, 0)^(S - 1)``.
    """
    logits = given.logits.detach()
    batch, latents, size = logits.shape
    count = given.options.draws
    exponential = (-given.noise.gumbel((batch, latents, size - 1, count), torch.float64)).exp()
    drawn = torch.zeros(count, *logits.shape, dtype=torch.float64)
    places: dict[tuple[int, int, int], int] = {}
    for b, n, s in itertools.product(range(batch), range(latents), range(count)):
        order, shares = sticks(logits[b, n])
        numbers = [(1 - each[s].item() / each.sum().item()) ** (count - 1) for each in exponential[b, n]]
        places[b, n, s] = broken([u < share for u, share in zip(numbers, shares, strict=True)])
        drawn[s, b, n, order[places[b, n, s]]] = 1.0
    losses = [given.problem.f(sample) for sample in drawn]
    gradient = torch.zeros_like(logits)
    pairs = list(itertools.combinations(range(count), 2))
    for b, n, (s, r) in itertools.product(range(batch), range(latents), pairs):
        order, shares = sticks(logits[b, n])
        if (first := min(places[b, n, s], places[b, n, r])) == max(places[b, n, s], places[b, n, r]):
            continue
        independent = joint = 1.0
        for c, share in enumerate(shares[: first + 1]):
            both = max(2 * share ** (1 / (count - 1)) - 1, 0) ** (count - 1)
            independent *= share * (1 - share) if c == first else (1 - share) ** 2
            joint *= share - both if c == first else 1 - 2 * share + both
        half = (losses[s][b] - losses[r][b]).item() / 2
        gradient[b, n] += half * independent / joint * (drawn[s, b, n] - drawn[r, b, n]) / len(pairs)
    return Expected(sum(losses) / count, gradient)


Decisions = list[tuple[list[int], list[int]]]
"""Binary decisions that draw a category: the categories left if it is no, and if it is yes."""


def stick_by_stick(logits: Tensor) -> Decisions:
    order, _ = sticks(logits)
    return [(order[c + 1 :], [order[c]]) for c in range(len(order) - 1)]


def leaf_by_leaf(logits: Tensor) -> Decisions:
    """A tree of neighbours, level by level; one without a neighbour goes up as it is."""
    found: Decisions = []
    level = [[k] for k in range(len(logits))]
    while len(level) > 1:
        joined = [(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = [no + yes for no, yes in joined] + level[2 * len(joined) :]
        found += joined
    return found


def followed(decisions: Decisions, answers: list[bool]) -> int:
    """The category that answers lead to."""
    left = {k for both in decisions for each in both for k in each}
    while len(left) > 1:
        c = next(c for c, (no, yes) in enumerate(decisions) if {*no, *yes} == left)
        left = set(decisions[c][answers[c]])
    return left.pop()


def coupled(given: Given, decisions_of: Callable[[Tensor], Decisions]) -> Expected:
    """DisARM's estimate in the logit of every decision, in the mean over those that no sample depends on.

    These are listed: of a decision with probability pi, both samples' are yes with the probability max(2 pi - 1, 0),
    one of them with min(pi, 1 - pi) each, and neither otherwise (Dong et al. 2021). A sample knows its decisions on the
    way to its category.
    """
    logits = given.logits
    batch, latents, size = logits.shape
    uniform = given.noise.uniform((batch, latents, size - 1), torch.float64)
    drawn = torch.zeros(2, *logits.shape, dtype=torch.float64)
    surrogate = torch.zeros(batch, dtype=torch.float64)
    for b, n in itertools.product(range(batch), range(latents)):
        weights, decisions = logits[b, n].exp(), decisions_of(logits[b, n].detach())
        odds = [weights[yes].sum().log() - weights[no].sum().log() for no, yes in decisions]
        probabilities = [each.sigmoid().item() for each in odds]
        answers = zip(uniform[b, n].tolist(), probabilities, strict=True)
        one_other = [(u < p, 1 - u <= p) for u, p in answers]
        found = [followed(decisions, [both[s] for both in one_other]) for s in range(2)]
        for s, k in enumerate(found):
            drawn[s, b, n, k] = 1.0
        for (no, yes), p, logit in zip(decisions, probabilities, odds, strict=True):
            weight = total = 0.0
            law = {(1, 1): max(2 * p - 1, 0), (1, 0): min(p, 1 - p), (0, 1): min(p, 1 - p), (0, 0): max(1 - 2 * p, 0)}
            for pair, probability in law.items():
                if all(k in (no, yes)[answer] or k not in no + yes for answer, k in zip(pair, found, strict=True)):
                    total += probability
                    weight += probability * (pair[0] - pair[1]) * max(p, 1 - p)
            surrogate = surrogate + torch.eye(batch, dtype=torch.float64)[b] * logit * weight / total
    one, other = given.problem.f(drawn[0]), given.problem.f(drawn[1])
    half = ((one - other) / 2).detach()
    return Expected((one + other) / 2, torch.autograd.grad((half * surrogate).sum(), logits)[0])
