"""What the oracle tests share: a problem, and the comparison of a strategy with its paper's formula, draw by draw.

A *reference* is the paper's formula written down for one member of a population, in float64. It draws the same random
numbers as the strategy, from an equally seeded ``Noise``, and gives what the strategy's estimate has to be.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, NetworkFactory, Objective, Strategy

OUTPUTS, HIDDEN, CONTEXT = 7, 8, 9
SCALES = (0.4, 9.0)
"""Factor on each member's loss: the signal's deviation is below 1 for the first, above 1 for the second."""
PLAIN = [(5, 4, 2), (4, 2, 3)]
POPULATION = (6, 5, 4)
"""B, N and K, which differ from each other."""


def normal(*stream: object, shape: Sequence[int]) -> Tensor:
    return torch.randn(*shape, generator=seeded(0, *stream), dtype=torch.float64)


def perceptron(weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Affine maps, weight and bias in turn, with tanh between them."""
    for depth in range(0, len(weights), 2):
        inputs = (inputs.tanh() if depth else inputs) @ weights[depth] + weights[depth + 1]
    return inputs


class Net(nn.Module):
    """A perceptron with weights of its own, ``[..., in, out]``."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.weights = nn.ParameterList([nn.Parameter(weight.clone()) for weight in weights])

    def forward(self, inputs: Tensor) -> Tensor:
        return perceptron(list(self.weights), inputs)


def net(sizes: Sequence[int], *stream: object) -> list[Tensor]:
    shapes = [shape for i, o in itertools.pairwise(sizes) for shape in ((i, o), (1, o))]
    return [normal(*stream, place, shape=shape) / (shape[0] ** 0.3) for place, shape in enumerate(shapes)]


class Problem:
    """One member's decoder and all that an objective can have; ``f`` is its loss, written without ``Objective``."""

    def __init__(self, member: int, batch: int, sample: tuple[int, int]) -> None:
        size, own = math.prod(sample), (member, batch, sample)
        self.decoder = [weight.requires_grad_() for weight in net([size, HIDDEN, OUTPUTS], *own, "decoder")]
        self.other = net([size, 5, 1], *own, "other")
        self.side = net([size, 1], *own, "side")
        self.tilt = normal(*own, "tilt", shape=sample)
        self.target = normal(*own, "target", shape=(batch, OUTPUTS)).sigmoid()
        self.context = normal(*own, "context", shape=(batch, CONTEXT))
        self.scale = torch.tensor([SCALES[member]], dtype=torch.float64)

    def f(self, sample: Tensor) -> Tensor:
        """Loss of samples ``[..., B, N, K]``, with what is behind: ``[..., B]``."""
        output = perceptron(self.decoder, sample.flatten(-2))
        return self.loss(output) + self.deeper_loss(sample, output)

    def loss(self, output: Tensor) -> Tensor:
        return self.scale * (F.softplus(output) - self.target * output).sum(-1)

    def deeper_loss(self, sample: Tensor, output: Tensor) -> Tensor:
        seen = perceptron(self.side, sample.flatten(-2)).squeeze(-1)
        return self.scale * (seen.sin() + output.square().sum(-1) / 9)

    def mean_field(self, sample: Tensor) -> Tensor:
        """What stands for the objective in expansions; here another function."""
        return self.scale * perceptron(self.other, sample.flatten(-2)).squeeze(-1)

    def kl_term(self, logits: Tensor) -> Tensor:
        return logits.logsumexp(-1).square().sum(-1) + (self.tilt * logits.sin()).sum((-1, -2))

    def sample_kl(self, logits: Tensor, sample: Tensor) -> Tensor:
        """Beta log q(z) less something of z."""
        log_q = (sample * (logits - logits.exp().sum(-1, keepdim=True).log())).sum((-1, -2))
        return 0.3 * log_q - (self.tilt * sample).sum((-1, -2))


class Posed(Problem):
    """The problems of several members as one, or one member's as it stands; counts the states that it decodes."""

    def __init__(self, problems: Sequence[Problem], plain: bool) -> None:
        def joined(name: str) -> Any:
            values = [getattr(problem, name) for problem in problems]
            if isinstance(values[0], list):
                return [own[0] if plain else torch.stack(own) for own in zip(*values, strict=True)]
            return values[0] if plain else torch.stack(values)

        for name in ("other", "side", "target", "context", "scale"):
            setattr(self, name, joined(name))
        self.tilt = joined("tilt") if plain else joined("tilt").unsqueeze(1)
        self.decoder = [weight.detach().requires_grad_() for weight in joined("decoder")]
        self.decoded = 0

    def decode(self, sample: Tensor) -> Tensor:
        self.decoded += sample.shape[:-2].numel()
        return perceptron(self.decoder, sample.flatten(-2))

    def objective(self, broadcasts: bool) -> Objective:
        return Objective(
            decode=self.decode,
            loss=self.loss,
            kl_term=self.kl_term,
            sample_kl=self.sample_kl,
            context=self.context,
            broadcasts=broadcasts,
            deeper_loss=self.deeper_loss,
            mean_field=Objective(decode=lambda sample: sample, loss=self.mean_field),
        )


@dataclass
class Given:
    """What a reference is told."""

    problem: Problem
    logits: Tensor
    noise: Noise
    options: SimpleNamespace
    learned: str
    """The network of its own that the strategy should have."""
    own: dict[str, Tensor]
    """The strategy's parameters, by name; what it learns is a gradient in them."""
    history: list[Any]
    """Whatever the reference put there in earlier steps."""

    def gumbel(self) -> Tensor:
        return self.noise.gumbel(self.logits.shape, torch.float64)

    def exponential(self) -> Tensor:
        """The numbers E behind Gumbel numbers ``-log E``."""
        return (-self.gumbel()).exp()

    def network(self, inputs: Tensor) -> Tensor:
        """What the strategy's network says: ``[B]``."""
        weights = [value for key, value in self.own.items() if key.startswith(f"{self.learned}.")]
        assert weights, f"the strategy has no {self.learned}"
        return perceptron(weights, inputs).squeeze(-1)


@dataclass
class Expected:
    """What an estimate has to be."""

    loss: Tensor
    """Value ``[B]``; also differentiable in the decoder's weights."""
    gradient: Tensor
    """In the logits: ``[B, N, K]``."""
    strategy_loss: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    """Loss of the strategy's parameters."""


Reference = Callable[[Given], Expected]


@dataclass
class Case:
    """A strategy with its options off their defaults; an option that is a tuple has a value for each member."""

    strategy: str
    reference: Reference
    options: dict[str, Any] = field(default_factory=dict)
    network: str = ""
    """The network of its own that it is given: a baseline or a critic."""
    steps: int = 1
    built: bool = True
    """Whether ``build`` makes it so from options, or its constructor alone."""
    broadcasts: bool = False
    parameters: tuple[int, ...] = ()
    """Shape of the last two dimensions of logits and of samples, where these are not N, K: columns of each."""
    categories: int | None = None
    """The number of categories, where it is for no other."""

    def __str__(self) -> str:
        named = [f"{name}={value}" for name, value in self.options.items()]
        return " ".join([self.strategy, *named, self.network, "broadcast" * self.broadcasts]).strip()

    def member(self, member: int) -> dict[str, Any]:
        return {name: value[member] if isinstance(value, tuple) else value for name, value in self.options.items()}


def networks_of(members: int, latents: int, categories: int) -> NetworkFactory:
    """Baselines and critics, a member's own; a strategy that asks for another network fails."""

    def make(name: str, inputs: int) -> nn.Module:
        each = [net([inputs, 6, 1], name, p) for p in range(members)]
        return Net([torch.stack(own) for own in zip(*each, strict=True)])

    def refuse() -> Any:
        pytest.fail("wants no other network")

    return NetworkFactory(
        members, refuse, refuse, lambda: make("baseline", CONTEXT), lambda: make("critic", latents * categories)
    )


def constructed(case: Case, latents: int, categories: int) -> Strategy:
    """By the constructor, for somebody else's code: without a population."""
    networks = networks_of(1, latents, categories)
    given: dict[str, Any] = case.member(0)
    if case.network:
        given[case.network] = Net([weight[0] for weight in getattr(networks, case.network)().weights])
    return STRATEGIES[case.strategy](**given)


def built(case: Case, members: int, latents: int, categories: int) -> Strategy:
    """As a run has it: from options, with schedules followed."""
    kind, networks = STRATEGIES[case.strategy], networks_of(members, latents, categories)
    if not case.built:
        network = {case.network: getattr(networks, case.network)()} if case.network else {}
        return kind(**case.options, **network, members=members)
    scheduled = {name: case.options[name] for name in kind.scheduled() if name in case.options}
    fixed = {name: value for name, value in case.options.items() if name not in scheduled}
    options = kind.Options(**fixed, **{name: Schedule(values[0]) for name, values in scheduled.items()})
    strategy = kind.build(options, networks).double()
    strategy.follow({name: torch.tensor(values, dtype=torch.float64) for name, values in scheduled.items()})
    return strategy


def move(strategy: Strategy) -> None:
    """Take the scalars that a strategy learns away from where they start, each member's its own way."""
    with torch.no_grad():
        for name, parameter in strategy.named_parameters():
            if parameter.dim() <= 1:
                parameter += 0.35 + 0.2 * torch.arange(parameter.numel()).view(parameter.shape) - 0.1 * len(name)


def close(actual: Tensor, expected: Tensor, what: str) -> None:
    """To 1e-9 of the largest element."""
    size = float(expected.detach().abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=1e-9 * size + 1e-13, msg=lambda text: f"{what}: {text}", check_dtype=True
    )


def check(case: Case, shape: tuple[int, int, int], population: bool) -> tuple[Strategy, Posed]:
    """Compare every step of a strategy with its reference: value, gradients in logits, decoder and own parameters."""
    batch, latents, categories = *shape[:2], case.categories or shape[2]
    columns, sample_columns = case.parameters or (categories, categories)
    members = len(SCALES) if population else 1
    sample = (latents, sample_columns)
    first = 0 if population or not case.steps > 1 else 1  # a plain run with moving averages: the larger losses
    problems = [Problem(first + p, batch, sample) for p in range(members)]
    make = built(case, members, latents, categories) if population else constructed(case, latents, categories)
    strategy = make.double()
    start = {name: parameter.detach().clone() for name, parameter in strategy.named_parameters()}
    move(strategy)
    posed = Posed(problems, plain=not population)
    noises = [Noise([seeded(p, "oracle")]) for p in range(members)]
    noise = Noise([seeded(p, "oracle") for p in range(members)])
    histories: list[list[Any]] = [[] for _ in range(members)]
    for step in range(case.steps):
        values = [normal(p, step, "logits", shape=(batch, latents, columns)) for p in range(members)]
        logits = (torch.stack(values) if population else values[0]).requires_grad_()
        posed.decoded = 0
        estimate = strategy.estimate(logits, posed.objective(case.broadcasts), noise)
        parameters = list(strategy.parameters())
        gradient, *decoder = torch.autograd.grad(estimate.loss.sum(), (logits, *posed.decoder))
        learned = torch.autograd.grad(estimate.strategy_loss.sum(), parameters) if parameters else ()
        for p in range(members):

            def own(tensor: Tensor, p: int = p) -> Tensor:
                return tensor[p] if population else tensor

            given = Given(
                problems[p],
                values[p].clone().requires_grad_(),
                noises[p],
                SimpleNamespace(**case.member(p)),
                case.network,
                {name: own(value).detach().requires_grad_() for name, value in strategy.named_parameters()},
                histories[p],
            )
            expected = case.reference(given)
            close(own(estimate.loss), expected.loss, "value")
            close(own(gradient), expected.gradient, "gradient in the logits")
            assert expected.gradient.abs().sum() > 0, "nothing to compare"
            for actual, reference in zip(
                decoder, torch.autograd.grad(expected.loss.sum(), problems[p].decoder), strict=True
            ):
                close(own(actual), reference, "gradient in the decoder")
            close(own(estimate.strategy_loss), expected.strategy_loss, "value of the strategy's own loss")
            if parameters:
                slopes = torch.autograd.grad(expected.strategy_loss, list(given.own.values()))
                for name, actual, reference in zip(given.own, learned, slopes, strict=True):
                    close(own(actual), reference, f"gradient in {name}")
                    assert step < case.steps - 1 or reference.abs().sum() > 0, f"nothing to learn for {name}"
    for name, value in case.options.items():  # where what is learned starts
        if (begun := start.get(name, start.get(f"log_{name}"))) is not None:
            begun = begun if name in start else begun.exp()
            torch.testing.assert_close(begun, torch.full_like(begun, value), rtol=1e-6, atol=0)
    return strategy, posed


def every(cases: Sequence[Case]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise a test by cases, and by shapes: two of single runs, one of a population."""

    def wrap(test: Callable[..., None]) -> Callable[..., None]:
        shapes = [*((shape, False) for shape in PLAIN), (POPULATION, True)]
        names = [*("x".join(map(str, shape)) for shape in PLAIN), "population"]
        test = pytest.mark.parametrize(("shape", "population"), shapes, ids=names)(test)
        return pytest.mark.parametrize("case", cases, ids=str)(test)

    return wrap
