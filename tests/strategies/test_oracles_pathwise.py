"""Pathwise estimators against their papers' formulas, draw by draw.

Each reference lets plain automatic differentiation work on the paper's own surrogate ``s(l)``: the sample D goes
forward and s backward, ``D + s - sg(s)``. l are the logits, ``p = softmax(l)``, sg stops the gradient.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from discrete_vae.strategies import STRATEGIES
from tests.strategies.oracles import Case, Expected, Given, check, every


def hard(perturbed: Tensor) -> Tensor:
    """One-hot argmax."""
    return (perturbed == perturbed.max(-1, keepdim=True).values).double()


def through(given: Given, sample: Tensor, surrogate: Tensor) -> Expected:
    """Forward the sample, backward the surrogate."""
    value = sample + (surrogate - surrogate.detach())
    (gradient,) = torch.autograd.grad(given.problem.f(value).sum(), given.logits)
    return Expected(given.problem.f(sample), gradient)


def at_sample(given: Given, sample: Tensor) -> Tensor:
    """Gradient of the objective at the sample."""
    at = sample.clone().requires_grad_()
    return torch.autograd.grad(given.problem.f(at).sum(), at)[0]


def softmax(given: Given) -> Expected:
    """``z = softmax(l)``."""
    probabilities = given.logits.softmax(-1)
    return through(given, probabilities.detach(), probabilities)


def gumbel_softmax(given: Given) -> Expected:
    """``z = softmax((l + G) / tau)`` (Jang et al. 2017, eq. 2)."""
    relaxed = ((given.logits + given.gumbel()) / given.options.temperature).softmax(-1)
    return through(given, relaxed.detach(), relaxed)


def straight_through_gumbel_softmax(given: Given) -> Expected:
    """Forward ``argmax(l + G)``, backward ``softmax((l + G) / tau)`` (Jang et al. 2017, section 2.2)."""
    perturbed = given.logits + given.gumbel()
    return through(given, hard(perturbed.detach()), (perturbed / given.options.temperature).softmax(-1))


def straight_through(given: Given) -> Expected:
    """Backward ``softmax(l / tau)``, whose slope is 1 / tau (Bengio et al. 2013; Chung et al. 2017)."""
    sample = hard(given.logits.detach() + given.gumbel())
    return through(given, sample, (given.logits / given.options.temperature).softmax(-1))


def decoupled(given: Given) -> Expected:
    """Forward a sample of ``softmax(l / tau_f)``, backward ``softmax(l / tau_b)`` (Shah et al. 2024)."""
    sample = hard(given.logits.detach() / given.options.forward_temperature + given.gumbel())
    return through(given, sample, (given.logits / given.options.temperature).softmax(-1))


def gapped(given: Given) -> Expected:
    """``m_i = max l - l_i`` for the sample i, ``m_j = -relu(l_j - max l + gap)``, ``s = softmax((l + sg m) / tau)``.

    Fan et al. 2022, eq. 8 to 10; a gap of 0 stands for ``-log(1 - p_i) / p_i``.
    """
    logits, sample = given.logits, hard(given.logits.detach() + given.gumbel())
    move = torch.zeros_like(logits)
    for b, n in itertools.product(*map(range, logits.shape[:2])):
        row, taken = logits[b, n].detach(), int(sample[b, n].argmax())
        p = row.softmax(-1)[taken]
        gap = given.options.gap or -(1 - p).log() / p
        for k in range(len(row)):
            move[b, n, k] = row.max() - row[k] if k == taken else -torch.relu(row[k] - row.max() + gap)
    return through(given, sample, ((logits + move.detach()) / given.options.temperature).softmax(-1))


def conditional(given: Given, logits: Tensor, sample: Tensor) -> Tensor:
    """``l`` plus noise given the argmax i: ``log Z - log E_i`` for i, ``-log(E_j exp(-l_j) + E_i / Z)`` for others.

    Paulus et al. 2021, section 3.
    """
    exponential, perturbed = given.exponential(), torch.empty_like(logits)
    for b, n in itertools.product(*map(range, logits.shape[:2])):
        total, i = logits[b, n].exp().sum(), int(sample[b, n].argmax())
        for j in range(logits.shape[-1]):
            other = exponential[b, n, j] * (-logits[b, n, j]).exp() + exponential[b, n, i] / total
            perturbed[b, n, j] = total.log() - exponential[b, n, i].log() if j == i else -other.log()
    return perturbed


def gumbel_rao(given: Given) -> Expected:
    """The mean over draws of ``softmax((l + sg(perturbed - l)) / tau)`` (Paulus et al. 2021)."""
    logits = given.logits
    sample = hard(logits.detach() + given.gumbel())
    relaxed = torch.zeros_like(logits)
    for _ in range(given.options.draws):
        shift = conditional(given, logits.detach(), sample) - logits.detach()
        relaxed = relaxed + ((logits + shift) / given.options.temperature).softmax(-1) / given.options.draws
    return through(given, sample, relaxed)


def reinmax_rao(given: Given) -> Expected:
    """``2 A g - J(p) g / 2`` with Gumbel-Rao's A at the logits ``log((p + D) / 2)`` (Wang and Bui 2026)."""
    logits = given.logits
    sample = hard(logits.detach() + given.gumbel())
    middle = ((logits.detach().softmax(-1) + sample) / 2).log().requires_grad_()
    relaxed = torch.zeros_like(logits)
    for _ in range(given.options.draws):
        shift = conditional(given, middle.detach(), sample) - middle.detach()
        relaxed = relaxed + ((middle + shift) / given.options.temperature).softmax(-1) / given.options.draws
    gradient = at_sample(given, sample)
    (first,) = torch.autograd.grad((gradient * relaxed).sum(), middle)
    (last,) = torch.autograd.grad((gradient * logits.softmax(-1)).sum(), logits)
    return Expected(given.problem.f(sample), 2 * first - last / 2)


def darn(given: Given) -> Expected:
    """Surrogate ``<sg g, D - c> log p_D`` of each variable (Gregor et al. 2014; Shekhovtsov 2023)."""
    logits, sample = given.logits, hard(given.logits.detach() + given.gumbel())
    uniform = torch.full_like(logits, 1 / logits.shape[-1])
    centre = {"mean": logits.detach().softmax(-1), "uniform": uniform}[given.options.centre]
    signal = (at_sample(given, sample) * (sample - centre)).sum(-1)
    chosen = (sample * logits.log_softmax(-1)).sum(-1)
    (gradient,) = torch.autograd.grad((signal.detach() * chosen).sum(), logits)
    return Expected(given.problem.f(sample), gradient)


def zgr(given: Given) -> Expected:
    """Surrogate ``(p + (D - sg p) log p_i) / 2`` (Shekhovtsov 2023)."""
    logits, sample = given.logits, hard(given.logits.detach() + given.gumbel())
    probabilities = logits.softmax(-1)
    chosen = (sample * probabilities).sum(-1, keepdim=True).log()
    return through(given, sample, (probabilities + (sample - probabilities.detach()) * chosen) / 2)


def reinmax(given: Given) -> Expected:
    """Algorithm 2 of Liu et al. 2023: ``q = (p_tau + D) / 2``, ``s = 2 softmax(sg(log q - l) + l) - p / 2``."""
    logits, sample = given.logits, hard(given.logits.detach() + given.gumbel())
    return through(given, sample, heun(logits, sample, given.options.temperature))


def heun(logits: Tensor, sample: Tensor, temperature: float) -> Tensor:
    middle = ((logits / temperature).softmax(-1) + sample) / 2
    again = ((middle.log() - logits).detach() + logits).softmax(-1)
    return 2 * again - logits.softmax(-1) / 2


def reinmax_mean_control(given: Given) -> Expected:
    """``R(g) - eta (R(c) - E[R(c)])``: R is ReinMax' pull, c the gradient at the mean, E over all K samples.

    eta descends ``log mean_b |estimate|^2``.
    """
    logits, tau = given.logits, given.options.temperature
    sample = hard(logits.detach() + given.gumbel())
    mean = logits.detach().softmax(-1).requires_grad_()
    (guess,) = torch.autograd.grad(given.problem.mean_field(mean).sum(), mean)

    def pull(vector: Tensor, taken: Tensor) -> Tensor:
        return torch.autograd.grad((vector * heun(logits, taken, tau)).sum(), logits)[0]

    expectation = torch.zeros_like(logits)
    for k in range(logits.shape[-1]):
        taken = torch.zeros_like(logits)
        taken[..., k] = 1
        expectation += mean.detach()[..., k, None] * pull(guess, taken)
    estimate = pull(at_sample(given, sample), sample) - given.own["weight"] * (pull(guess, sample) - expectation)
    lengths = [row.square().sum() for row in estimate]
    return Expected(given.problem.f(sample), estimate.detach(), (sum(lengths) / len(lengths)).log())


def minimum_variance(given: Given) -> Expected:
    """Surrogate ``sum_k sg(S_jk) l_k`` (Hooper and Shekhovtsov 2026), with ``A v = B`` by least squares.

    ``A_ij = -t p_i p_j / (1 + t (p_i + p_j))``, ``A_ii = (1 + t p_i) sum_j p_j / (1 + t (p_i + p_j)) -
    t p_i^2 / (1 + 2 t p_i)``, ``B_ik = (1 + t p_i) / (1 + 2 t p_i) J_ik`` and ``S_jk = [(1 + t p_j) v_jk - t p_j v_xk +
    t [j = x] J_xk] / (1 + t (p_j + p_x))``.
    """
    logits, t = given.logits, given.options.weight
    sample = hard(logits.detach() + given.gumbel())
    probabilities, size = logits.detach().softmax(-1), logits.shape[-1]
    matrices = torch.zeros(*logits.shape, size, dtype=torch.float64)
    for b, n in itertools.product(*map(range, logits.shape[:2])):
        p, x = probabilities[b, n], int(sample[b, n].argmax())
        jacobian = torch.diag(p) - torch.outer(p, p)
        system, right = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
        for i in range(size):
            for j in range(size):
                system[i, j] = -t * p[i] * p[j] / (1 + t * (p[i] + p[j]))
                right[i, j] = (1 + t * p[i]) / (1 + 2 * t * p[i]) * jacobian[i, j]
            own = sum(p[j] / (1 + t * (p[i] + p[j])) for j in range(size))
            system[i, i] = (1 + t * p[i]) * own - t * p[i] ** 2 / (1 + 2 * t * p[i])
        v = torch.linalg.lstsq(system, right).solution
        for j in range(size):
            row = (1 + t * p[j]) * v[j] - t * p[j] * v[x] + t * (j == x) * jacobian[x]
            matrices[b, n, j] = row / (1 + t * (p[j] + p[x]))
    return through(given, sample, torch.einsum("bnjk,bnk->bnj", matrices, logits))


def gaussian(given: Given) -> Expected:
    """``z = mean + exp(log variance / 2) epsilon`` (Kingma and Welling 2014)."""
    mean, log_variance = given.logits[..., :1], given.logits[..., 1:]
    sample = mean + log_variance.exp().sqrt() * given.noise.normal((1, *mean.shape), torch.float64)[0]
    return through(given, sample.detach(), sample)


def code(function: Callable[[Tensor], Tensor]) -> Callable[[Given], Expected]:
    """Backpropagation through a code without noise."""
    return lambda given: through(given, function(given.logits).detach(), function(given.logits))


TEMPERATURE = {"temperature": (0.75, 1.5)}
CASES = [
    Case("softmax", softmax),
    Case("gumbel-softmax", gumbel_softmax, TEMPERATURE),
    Case("straight-through-gumbel-softmax", straight_through_gumbel_softmax, TEMPERATURE),
    Case("straight-through", straight_through, TEMPERATURE),
    Case("slope-annealed-straight-through", straight_through, TEMPERATURE),
    Case("decoupled-straight-through", decoupled, {**TEMPERATURE, "forward_temperature": (1.625, 0.375)}),
    Case("gapped-straight-through", gapped, {**TEMPERATURE, "gap": 0.4}),
    Case("gapped-straight-through", gapped, {**TEMPERATURE, "gap": 0.0}),
    Case("gumbel-rao", gumbel_rao, {**TEMPERATURE, "draws": 3}),
    Case("darn", darn, {"centre": "mean"}),
    Case("darn", darn, {"centre": "uniform"}),
    Case("zgr", zgr),
    Case("reinmax", reinmax, TEMPERATURE),
    Case("reinmax-mean-control", reinmax_mean_control, TEMPERATURE),
    Case("reinmax-rao", reinmax_rao, {**TEMPERATURE, "draws": 3}),
    Case("minimum-variance", minimum_variance, {"weight": (3.0, 0.25)}),
    Case("minimum-variance", minimum_variance, {"weight": (40.0, 1.0)}),
    Case("gaussian-reparameterisation", gaussian, parameters=(2, 1)),
    Case("auto-encoder", code(torch.sigmoid), parameters=(1, 1)),
    Case("backpropagation", code(lambda numbers: numbers), parameters=(1, 1)),
]


@every(CASES)
def test_gradient_is_the_papers_for_the_same_noise(case, shape, population) -> None:
    """Value, gradient in logits and decoder, and the strategy's own loss, to 1e-9."""
    strategy, posed = check(case, shape, population)
    batch = shape[0] * (2 if population else 1)
    assert posed.decoded == batch, "the sample is decoded, and nothing else"
    assert strategy.claim.evaluations == 1 + (case.strategy == "reinmax-mean-control")
    assert type(strategy) is STRATEGIES[case.strategy]
