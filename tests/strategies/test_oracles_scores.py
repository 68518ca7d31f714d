"""Score functions and exact estimators against their papers' formulas, draw by draw.

Written with loops over samples, categories and states, and by automatic differentiation of ``log q``. f is the
objective, l the logits, ``p = softmax(l)``, z the sample ``argmax(l + G)``, sg stops the gradient.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.strategies import STRATEGIES, MuProp, Nvil, Objective, ScoreFunction
from tests.strategies.oracles import Case, Expected, Given, Net, Problem, check, close, every, net, normal


def hard(perturbed: Tensor) -> Tensor:
    """One-hot argmax."""
    return (perturbed == perturbed.max(-1, keepdim=True).values).double()


def log_q(logits: Tensor, sample: Tensor) -> Tensor:
    """``log q(z)`` of an image: ``[B]``."""
    return (sample * (logits - logits.exp().sum(-1, keepdim=True).log())).sum((-1, -2))


def moments(decay: float, history: list[Tensor], signal: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance that a signal ``[B]`` is told, and the signal put into the history.

    Those of the steps before, the s-th last with the weight ``(1 - decay) decay^s``; in the first step, those of the
    other images.
    """
    if history:
        weights = [(1 - decay) * decay**age for age in reversed(range(len(history)))]
        mean = sum(w * past.mean() for w, past in zip(weights, history, strict=True)) / sum(weights)
        square = sum(w * (past**2).mean() for w, past in zip(weights, history, strict=True)) / sum(weights)
        means, squares = mean.expand_as(signal), square.expand_as(signal)
    else:
        others = [torch.cat([signal[:b], signal[b + 1 :]]) for b in range(len(signal))]
        means, squares = (
            torch.stack([each.mean() for each in others]),
            torch.stack([(each**2).mean() for each in others]),
        )
    history.append(signal.detach())
    return means, squares - means**2


def score(given: Given, loss: Tensor, sample: Tensor, signal: Tensor, extra: Tensor | float = 0.0) -> Expected:
    """``(signal - net(x) - mean) grad log q + grad extra``, and the network's regression on ``signal - mean``.

    Where the gradient is normalised, that of ``kl_term`` is part of it: all of it is divided by ``max(1, deviation)``.
    """
    options, logits = given.options, given.logits
    predicted = given.network(given.problem.context) if given.learned else torch.zeros_like(signal)
    mean, variance = moments(options.decay, given.history, (signal - predicted).detach())
    strategy_loss = (signal - mean - predicted).square().mean() if given.learned else torch.zeros_like(signal[0])
    centred = (signal - predicted - mean).detach()
    surrogate = centred * log_q(logits, sample) + extra
    if options.normalise:
        scale = 1 / variance.sqrt().clamp_min(1)
        # The task adds the whole of the KL term's gradient, so the estimate has in it what that lacks.
        surrogate = scale * (surrogate + given.problem.kl_term(logits)) - given.problem.kl_term(logits)
    (gradient,) = torch.autograd.grad(surrogate.sum(), logits)
    return Expected(loss, gradient, strategy_loss)


def score_function(given: Given) -> Expected:
    """Williams 1992; with a network Mnih and Gregor 2014."""
    sample = hard(given.logits.detach() + given.gumbel())
    loss = given.problem.f(sample)
    return score(given, loss, sample, loss.detach())


def taylor(given: Given, centre: Tensor, sample: Tensor) -> tuple[Tensor, Tensor]:
    """Mean field at a centre, expanded to the sample ``f(c) + f'(c) (z - c)``; and ``f'(c)``."""
    at = centre.detach().requires_grad_()
    value = given.problem.mean_field(at)
    (slope,) = torch.autograd.grad(value.sum(), at)
    return (value + (slope * (sample - at)).sum((-1, -2))).detach(), slope


def muprop(given: Given) -> Expected:
    """``(f(z) - f(p) - f'(p) (z - p) - b) grad log q + f'(p) dp/dl`` (Gu et al. 2016, eq. 5)."""
    sample = hard(given.logits.detach() + given.gumbel())
    expansion, slope = taylor(given, given.logits.softmax(-1), sample)
    loss = given.problem.f(sample)
    path = (slope * given.logits.softmax(-1)).sum((-1, -2))
    return score(given, loss, sample, loss.detach() - expansion, path)


def darn_baseline(given: Given) -> Expected:
    """``(f(z) - f(z_0) - f'(z_0) (z - z_0) - b) grad log q`` (Jang et al. 2017, section 4)."""
    sample = hard(given.logits.detach() + given.gumbel())
    uniform = torch.full_like(given.logits, 1 / given.logits.shape[-1])
    centre = {"mean": given.logits.softmax(-1), "uniform": uniform}[given.options.centre]
    loss = given.problem.f(sample)
    return score(given, loss, sample, loss.detach() - taylor(given, centre, sample)[0])


def samples(given: Given) -> list[Tensor]:
    return [hard(given.logits.detach() + given.gumbel()) for _ in range(given.options.draws)]


def rloo(given: Given) -> Expected:
    """``1/S sum_s (f(z_s) - 1/(S - 1) sum_{r != s} f(z_r)) grad log q(z_s)`` (Kool et al. 2019)."""
    drawn = samples(given)
    losses = [given.problem.f(sample) for sample in drawn]
    surrogate = torch.zeros_like(losses[0])
    for s, sample in enumerate(drawn):
        baseline = sum(loss for r, loss in enumerate(losses) if r != s) / (len(drawn) - 1)
        surrogate = surrogate + (losses[s] - baseline).detach() * log_q(given.logits, sample) / len(drawn)
    return Expected(sum(losses) / len(losses), torch.autograd.grad(surrogate.sum(), given.logits)[0])


def vimco(given: Given) -> Expected:
    """``sum_s (L - L_-s) grad log q(z_s) + grad L``, ``L = log 1/S sum_s w_s`` (Mnih and Rezende 2016, eq. 5 to 9).

    ``log w_s = -f(z_s) - sample_kl(z_s)``; in ``L_-s`` it is the mean of the other ``log w``. The loss is -L.
    """
    drawn = samples(given)
    log_w = [-given.problem.f(sample) - given.problem.sample_kl(given.logits, sample) for sample in drawn]

    def bound(values: list[Tensor]) -> Tensor:
        highest = torch.stack(values).max(0).values.detach()
        return highest + (sum((value - highest).exp() for value in values) / len(values)).log()

    whole = bound(log_w)
    surrogate = -whole
    for s, sample in enumerate(drawn):
        others = [value for r, value in enumerate(log_w) if r != s]
        without = bound([*others, sum(others) / len(others)])
        surrogate = surrogate - (whole - without).detach() * log_q(given.logits, sample)
    return Expected(-whole, torch.autograd.grad(surrogate.sum(), given.logits, retain_graph=True)[0])


def in_order(given: Given, count: int) -> list[list[tuple[int, ...]]]:
    """States of each image, drawn one after the other without replacement (Kool et al. 2019, stochastic beams).

    Children of a start of a state have Gumbel numbers of their log q, moved so that their maximum is the start's own:
    ``-log(exp(-T) - exp(-Z) + exp(-G))`` for a number G, their maximum Z and the start's T.
    """
    logits = given.logits.detach()
    batch, latents, size = logits.shape
    gumbel = given.noise.gumbel((batch, latents, count, size), torch.float64).tolist()
    log_p = (logits - logits.exp().sum(-1, keepdim=True).log()).tolist()
    drawn = []
    for b in range(batch):
        beam: list[tuple[float, float, tuple[int, ...]]] = [(0.0, 0.0, ())]
        for n in range(latents):
            children = []
            for place, (top, log_prob, state) in enumerate(beam):
                own = [log_prob + log_p[b][n][k] + gumbel[b][n][place][k] for k in range(size)]
                for k in range(size):
                    moved = -math.log(math.exp(-top) + math.exp(-own[k]) - math.exp(-max(own)))
                    children.append((moved, log_prob + log_p[b][n][k], (*state, k)))
            beam = sorted(children, reverse=True)[:count]
        drawn.append([state for _, _, state in beam])
    return drawn


def corners(given: Given, drawn: list[list[tuple[int, ...]]]) -> list[Tensor]:
    """Chosen states of each image -> the s-th of each, one-hot ``[B, N, K]``."""
    eye = torch.eye(given.logits.shape[-1], dtype=torch.float64)
    return [torch.stack([eye[list(state)] for state in column]) for column in zip(*drawn, strict=True)]


def set_probability(chosen: Sequence[float], gone: Sequence[float] = ()) -> float:
    """``p^{D - gone}(chosen)``: over all orders, each state's share of what is left when it is drawn."""
    total = 0.0
    for order in itertools.permutations(chosen):
        product, left = 1.0, 1.0 - sum(gone)
        for probability in order:
            product, left = product * probability / left, left - probability
        total += product
    return total


def unordered_set(given: Given) -> Expected:
    """``sum_s grad p(s) R(S, s) (f(s) - sum_s' p(s') R^{D - s}(S, s') f(s'))`` (Kool et al. 2020).

    ``R(S, s) = p^{D - s}(S - s) / p(S)``, ``R^{D - s}(S, s')`` the same without s from the start, and 1 for ``s' = s``.
    """
    drawn = corners(given, in_order(given, given.options.draws))
    f = [given.problem.f(sample) for sample in drawn]
    probability = [log_q(given.logits, sample).exp() for sample in drawn]
    values, surrogate = [], torch.zeros((), dtype=torch.float64)
    for b in range(len(given.logits)):
        p = [float(each[b].detach()) for each in probability]
        mean = torch.zeros((), dtype=torch.float64)
        for s in range(len(p)):
            others = [p[t] for t in range(len(p)) if t != s]
            ratio = set_probability(others, [p[s]]) / set_probability(p)
            baseline = torch.zeros((), dtype=torch.float64)
            for t in range(len(p) * given.options.baseline):
                rest = [p[u] for u in range(len(p)) if u not in (s, t)]
                again = set_probability(rest, [p[s], p[t]]) / set_probability(others, [p[s]]) if t != s else 1.0
                baseline = baseline + p[t] * again * f[t][b]
            mean = mean + p[s] * ratio * f[s][b]
            surrogate = surrogate + probability[s][b] * ratio * (f[s][b] - baseline).detach()
        values.append(mean)
    return Expected(torch.stack(values), torch.autograd.grad(surrogate, given.logits)[0])


def sum_and_sample(given: Given) -> Expected:
    """``sum_{s in C} grad q(s) f(s) + (1 - q(C)) grad log q(z) f(z)``, z drawn outside C (Liu et al. 2019).

    C are the likeliest states; z is the first outside of C among states drawn without replacement. The mean of f over C
    is taken off f.
    """
    count, every_state = given.options.states, torch.stack(states(given))
    log_probs = log_q(given.logits.detach(), every_state)  # [K^N, B]
    ranked = [column.argsort(descending=True)[:count].tolist() for column in log_probs.T]
    labels = list(itertools.product(range(given.logits.shape[-1]), repeat=given.logits.shape[1]))
    drawn = in_order(given, count + 1)
    chosen = []
    for row, own in zip(ranked, drawn, strict=True):
        likely = [labels[place] for place in row]
        chosen.append([*likely, next(state for state in own if state not in likely)])
    *summed, last = corners(given, chosen)
    q = [log_q(given.logits, sample).exp() for sample in summed]
    f = [given.problem.f(sample) for sample in summed]
    rest, other = 1 - sum(q).detach(), given.problem.f(last)
    baseline = sum(a * b for a, b in zip(q, f, strict=True)).detach() / sum(q).detach() * given.options.baseline
    surrogate = sum(a * (b.detach() - baseline) for a, b in zip(q, f, strict=True))
    surrogate = surrogate + rest * (other.detach() - baseline) * log_q(given.logits, last)
    value = sum(a.detach() * b for a, b in zip(q, f, strict=True)) + rest * other
    return Expected(value, torch.autograd.grad(surrogate.sum(), given.logits)[0])


def rodeo(given: Given) -> Expected:
    """``1/S sum_s [(f_s - 1/(S-1) sum_{j != s} (f_j + A h_j(z_j))) grad log q(z_s) + A (h'_s grad log q)(z_s)]``.

    Shi et al. 2022. ``A g(z) = 1/N sum_n sum_k p_nk g(z with z_n = k) - g(z)`` for a number or a vector g; ``h_s(y)``
    and ``h'_s(y)`` are the means over ``j != s`` of a network of ``f_j`` and ``f'(z_j) . (y - z_j)``.
    """
    logits, own = given.logits.detach(), {name.partition(".")[2]: value for name, value in given.own.items()}
    batch, latents, size = logits.shape
    probabilities = logits.softmax(-1)
    drawn = samples(given)
    losses = [given.problem.f(sample) for sample in drawn]
    slopes = []
    for sample in drawn:
        at = sample.clone().requires_grad_()
        slopes.append(torch.autograd.grad(given.problem.f(at).sum(), at)[0])

    def network(value: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        inputs = change * own["change"] + value * own["level"] + own["shift"]
        hidden = torch.where(inputs > 0, inputs, 0.3 * inputs)
        return hidden @ own["first"], hidden @ own["second"] + own["offset"][0]

    def control(s: int, b: int, at: Tensor) -> tuple[Tensor, Tensor]:
        """``h_s`` and ``h'_s grad log q`` at a state ``[N, K]`` of an image."""
        others = [j for j in range(len(drawn)) if j != s]
        pairs = [network(losses[j][b].detach(), (slopes[j][b] * (at - drawn[j][b])).sum()) for j in others]
        first, second = (sum(each) / len(others) for each in zip(*pairs, strict=True))
        return first, second * (at - probabilities[b])

    def stein(s: int, b: int, which: int) -> Tensor:
        total = -control(s, b, drawn[s][b])[which]
        for n, k in itertools.product(range(latents), range(size)):
            moved = drawn[s][b].clone()
            moved[n] = torch.eye(size, dtype=torch.float64)[k]
            total = total + probabilities[b, n, k] * control(s, b, moved)[which] / latents
        return total

    rows = []
    for b in range(batch):
        row = torch.zeros_like(logits[b])
        for s, sample in enumerate(drawn):
            others = [losses[j][b].detach() + stein(j, b, 0) for j in range(len(drawn)) if j != s]
            signal = losses[s][b].detach() - sum(others) / len(others)
            row = row + (signal * (sample[b] - probabilities[b]) + stein(s, b, 1)) / len(drawn)
        rows.append(row)
    estimate = torch.stack(rows)
    mean = sum(losses) / len(losses)
    return Expected(mean, estimate.detach(), sum(row.square().sum() for row in rows) / batch)


def reweighted_wake_sleep(given: Given) -> Expected:
    """``-sum_s w~_s grad log q(z_s)``, ``w~_s = w_s / sum_r w_r`` (Bornschein and Bengio 2015, wake-phase q update).

    The value, and the decoder's gradient, are those of ``-log 1/S sum_s w_s``; ``w_s`` is VIMCO's.
    """
    drawn = samples(given)
    log_w = [-given.problem.f(sample) - given.problem.sample_kl(given.logits.detach(), sample) for sample in drawn]
    highest = max(float(value.detach().max()) for value in log_w)
    weights = [(value - highest).exp() for value in log_w]
    loss = -(sum(weights) / len(weights)).log() - highest
    gradient = torch.zeros_like(given.logits)
    for b in range(len(loss)):
        total = sum(weight[b] for weight in weights).detach()
        for weight, sample in zip(weights, drawn, strict=True):
            score = torch.autograd.grad(log_q(given.logits, sample)[b], given.logits)[0]
            gradient = gradient - weight[b].detach() / total * score
    return Expected(loss, gradient)


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


def states(given: Given) -> list[Tensor]:
    latents, size = given.logits.shape[1:]
    eye = torch.eye(size, dtype=torch.float64)
    return [eye[list(state)].expand_as(given.logits) for state in itertools.product(range(size), repeat=latents)]


def enumerated(given: Given) -> tuple[Tensor, Tensor]:
    """The drawn state's loss, and ``sum_z q(z) f(z)``."""
    sample = hard(given.logits.detach() + given.gumbel())
    every_state = torch.stack(states(given))
    return given.problem.f(sample), (log_q(given.logits, every_state).exp() * given.problem.f(every_state)).sum(0)


def enumeration(given: Given) -> Expected:
    """``grad sum_z q(z) f(z)``; the decoder learns from the drawn state."""
    loss, mean = enumerated(given)
    return Expected(loss, torch.autograd.grad(mean.sum(), given.logits)[0])


def marginalisation(given: Given) -> Expected:
    """The same; the decoder learns from all states."""
    loss, mean = enumerated(given)
    (gradient,) = torch.autograd.grad(mean.sum(), given.logits, retain_graph=True)
    return Expected(mean + (loss - mean).detach(), gradient)


def local_expectation(given: Given) -> Expected:
    """``sum_k f(z with z_n = k) grad p_nk`` for every n (Titsias and Lazaro-Gredilla 2015)."""
    logits = given.logits
    sample = hard(logits.detach() + given.gumbel())
    surrogate = torch.zeros((), dtype=torch.float64)
    for n, k in itertools.product(range(logits.shape[1]), range(logits.shape[2])):
        moved = sample.clone()
        moved[:, n], moved[:, n, k] = 0.0, 1.0
        surrogate = surrogate + (given.problem.f(moved).detach() * logits[:, n].softmax(-1)[:, k]).sum()
    return Expected(given.problem.f(sample), torch.autograd.grad(surrogate, logits)[0])


def sparsemax_marginalisation(given: Given) -> Expected:
    """``sum_s p_s f(s)``, p the sparsemax of the 16 highest scores ``sum_n l_n[s_n]`` (Correia et al. 2020).

    ``p_s = max(0, score_s - tau)``, tau found by halving an interval; ``dp_s`` on the support is the score's own
    differential less the support's mean.
    """
    every_state, logits = torch.stack(states(given)), given.logits.detach()
    scores = (every_state * logits).sum((-1, -2))  # [K^N, B]
    losses = given.problem.f(every_state)
    gradient, values = torch.zeros_like(logits), []
    for b in range(len(logits)):
        highest = scores[:, b].argsort(descending=True)[:16]
        low, high = float(scores[:, b].max()) - 1, float(scores[:, b].max())
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if (scores[highest, b] - middle).clamp(min=0).sum() > 1 else (low, middle)
        support = [place for place in highest.tolist() if float(scores[place, b]) > low]
        values.append(sum((scores[place, b] - low) * losses[place, b] for place in support))
        mean = sum(losses[place, b].detach() for place in support) / len(support)
        for place in support:
            gradient[b] += (losses[place, b].detach() - mean) * every_state[place, b]
    return Expected(torch.stack(values), gradient)


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
ELSEWHERE = {"target-propagation", "target-propagation-auto-encoder", "vq-vae", "vq-vae-rotation", "fsq"}


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
