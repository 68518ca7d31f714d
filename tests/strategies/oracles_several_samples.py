"""Formulas of estimators of several samples, drawn with or without replacement; with loops over these.

The symbols are those of ``oracles_one_sample``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tests.strategies.oracles import Expected, Given
from tests.strategies.oracles_exact import states
from tests.strategies.oracles_one_sample import hard, log_q


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
