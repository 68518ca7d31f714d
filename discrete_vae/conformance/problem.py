"""The problem that strategies are measured on, small enough for its exact gradient.

There are 2 variables of 3 categories, or 3 of 2, or any other small number, under a smooth nonlinear decoder with a
Bernoulli loss. ``encode`` is linear feedback by the decoder's transposed Jacobian, and the logits are
``encode(observation)``, so that target propagation works here as it does in an auto-encoder.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from discrete_vae.backbones.stack import Stack
from discrete_vae.errors import InputError
from discrete_vae.evaluation.gradients import exact_gradient
from discrete_vae.latents.categorical import Categorical, enumerate_states, log_prob
from discrete_vae.latents.deterministic import Deterministic
from discrete_vae.latents.family import Family
from discrete_vae.latents.gaussian import Gaussian
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.latents.quantised import Quantised
from discrete_vae.latents.sparse import Sparse
from discrete_vae.likelihoods import bernoulli_variance
from discrete_vae.strategies.base import NetworkFactory, Strategy
from discrete_vae.strategies.objective import Model, Objective
from discrete_vae.strategies.targets import TargetStrategy

BATCH, HIDDEN, PIXELS = 2, 8, 5
LATENTS, CATEGORIES = TERNARY = 2, 3
BINARY = 3, 2
SHAPES = {"ternary": TERNARY, "binary": BINARY}
"""Variables and categories of the two problems that the conformance table has, by name."""
NODES = 161
TUPLES = 10**6
"""Tuples of states that an exact bound may sum over."""


class Affine(nn.Module):
    """A layer without bias, whose weight ``[in, out]`` belongs to another module."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight


class Feedback(nn.Module):
    """A linear map from an observation to logits, as an inverse with a parameter."""

    def __init__(self, weight: Tensor, centre: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        self.weight, self.centre, self.shape = nn.Parameter(weight), centre, shape

    def forward(self, observation: Tensor) -> Tensor:
        return torch.unflatten((observation - self.centre) @ self.weight, -1, self.shape)


class Encoder(nn.Module):
    """A multilayer ``network`` from an observation to logits, as a model's own encoder has one."""

    def __init__(self, network: Stack, shape: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, observation: Tensor) -> Tensor:
        return torch.unflatten(self.network(observation), -1, self.shape)


class Counted(Stack):
    """The problem's decoder, which counts what passes through it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__([Affine(problem.inner), Affine(problem.outer)], torch.tanh)
        self.problem, self.cut = [problem], problem.encoder.cut

    def trace(self, inputs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        self.problem[0].calls += math.prod(inputs.shape[:-1]) // self.problem[0].rows
        return super().trace(inputs)


def takes_model_steps(strategy: Strategy) -> bool:
    """Whether the model's optimiser updates the strategy's parameters."""
    return isinstance(strategy, TargetStrategy) and strategy.uses_model_optimiser


class Problem:
    """Decoder, observation and logits for one family of latents; counts the samples that are decoded for an example."""

    def __init__(self, family: Family, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu") -> None:
        def normal(stream: str, *shape: int) -> Tensor:
            return torch.randn(*shape, generator=seeded(0, stream), dtype=torch.float64).to(device, dtype)

        size = math.prod(family.sample_shape)
        self.family, self.size, self.device = family, size, device
        self.calls, self.rows = 0, BATCH
        """Samples decoded for an example so far, and the examples that the last objective was made for."""
        self.inner = normal("inner", size, HIDDEN).requires_grad_()
        self.outer = normal("outer", HIDDEN, PIXELS).requires_grad_()
        self.observation = normal("observation", BATCH, PIXELS).sigmoid()
        categories = family.categories if isinstance(family, Categorical) else CATEGORIES
        centre = torch.full((1, *family.sample_shape), 1 / categories, device=device, dtype=dtype)
        with torch.no_grad():
            hidden = (centre.flatten(-2) @ self.inner).tanh()
            self.jacobian = (self.inner * (1 - hidden.square())) @ self.outer
            self.centre = self.decode(centre).sigmoid()
            self.encode = self.feedback(0.5)
            below, above = normal("encoder", PIXELS, HIDDEN), normal("encoder", HIDDEN, size)
            self.encoder = Stack([Affine(below), Affine(above)], torch.tanh)
            if isinstance(family, Gaussian):
                self.logits = normal("logits", BATCH, *family.parameter_shape) / 2
            else:
                self.logits = self.encode(self.observation)
        self.calls = 0

    def feedback(self, scale: float) -> Feedback:
        """Linear feedback by the decoder's transposed Jacobian, times ``scale``."""
        return Feedback(scale * self.jacobian.T, self.centre, self.family.sample_shape)

    def linear(self, inputs: int) -> nn.Module:
        """A layer to one number, as a baseline or critic."""
        weight = torch.linspace(-1, 1, inputs, dtype=self.inner.dtype, device=self.device)[:, None]
        return Affine(nn.Parameter(weight))

    def cast(self, strategy: Strategy) -> Strategy:
        """The strategy on the problem's device and in its dtype."""
        return strategy.to(self.device, self.inner.dtype)

    def warm(self, strategy: Strategy) -> Strategy:
        """The strategy after one estimate on the problem, as a moving baseline is in training."""
        with torch.no_grad():
            logits = self.logits.expand(1000, *self.logits.shape)
            self.cast(strategy).estimate(logits, self.objective(1000), self.noise(7))
        self.calls = 0
        return strategy

    def decode(self, sample: Tensor) -> Tensor:
        """A sample ``[..., B, N, K]`` -> the logits of the pixels ``[..., B, D]``; counts it."""
        self.calls += math.prod(sample.shape[:-2]) // self.rows
        return self.output(sample)

    def output(self, sample: Tensor) -> Tensor:
        """``decode`` without counting."""
        return (sample.flatten(-2) @ self.inner).tanh() @ self.outer

    def objective(self, *leading: int) -> Objective:
        """The Bernoulli loss of a sample ``[*leading, B, N, K]``, in nats."""
        observation = self.observation.expand(*leading, BATCH, PIXELS)
        self.rows = math.prod(leading) * BATCH
        return Objective(
            decode=self.decode,
            loss=lambda output: (F.softplus(output) - output * observation).sum(-1),
            curvature=lambda output: bernoulli_variance(torch.sigmoid(output)),
            context=observation,
            model=Model(torch.sigmoid, observation, self.encode, Counted(self), self.encoder, canonical=True),
            kl_term=lambda logits: self.family.kl(logits).sum(-1),
            sample_kl=lambda logits, sample: -self.family.log_ratio(logits, sample),
        )

    def noise(self, *seeds: int) -> Noise:
        """Noise of as many members as there are seeds."""
        return Noise([seeded(seed, "noise", device=self.device) for seed in seeds])

    def networks(self) -> NetworkFactory:
        """Factory of a strategy's own networks; they have no dimension of members."""
        count = itertools.count()

        def stack(*sizes: int) -> Stack:
            layers = []
            for inputs, outputs in itertools.pairwise(sizes):
                generator = seeded(0, "network", next(count))
                weight = torch.randn(inputs, outputs, generator=generator, dtype=torch.float64) / math.sqrt(inputs)
                layers.append(Affine(nn.Parameter(weight.to(self.device, self.inner.dtype))))
            return Stack(layers, torch.tanh)

        return NetworkFactory(
            members=None,
            encoder=lambda: Encoder(
                stack(PIXELS, HIDDEN, math.prod(self.family.parameter_shape)), self.family.parameter_shape
            ),
            decoder=lambda: stack(self.size, HIDDEN, PIXELS),
            baseline=lambda: stack(PIXELS, HIDDEN, 1),
            critic=lambda: stack(self.size, HIDDEN, 1),
            family=self.family,
        )

    def build(self, kind: type[Strategy], options: Any = None) -> Strategy:
        """A strategy as a run would build it, with scheduled options at their start; the problem's networks are cut
        where it is ``local``."""
        options = kind.Options() if options is None else options
        strategy = self.cast(kind.build(options, self.networks()))
        for name in kind.scheduled():
            setattr(strategy, name, getattr(options, name).at(0))
        self.encoder.cut = isinstance(strategy, TargetStrategy) and strategy.local
        return strategy

    def learn(self, strategy: Strategy, steps: int, learning_rate: float = 0.01) -> Strategy:
        """The strategy after ``steps`` steps on 100 copies of the examples: moving means are updated, and parameters
        with a loss of their own (not those that the model's optimiser updates) are trained by Adam."""
        parameters = [] if takes_model_steps(strategy) else list(strategy.parameters())
        adam = torch.optim.Adam(parameters or [nn.Parameter(torch.zeros(()))], learning_rate)
        logits, noise = self.logits.expand(100, *self.logits.shape), self.noise(7)
        for _ in range(steps):
            strategy_loss = strategy.estimate(logits, self.objective(100), noise).strategy_loss.mean()
            if parameters and strategy_loss.requires_grad:
                adam.zero_grad()
                torch.autograd.backward(strategy_loss, inputs=parameters)
                adam.step()
        self.calls = 0
        return strategy

    def exact(self, strategy: Strategy) -> Tensor:
        """The exact gradient that a strategy estimates: of the mean objective, the samples' bound, or another KL."""
        if strategy.inclusive:
            return self.exact_inclusive_gradient()
        if not strategy.loss_includes_kl:
            return self.exact_gradient()
        samples = strategy.claim.decoded(*self.family.sample_shape)
        return self.exact_bound_gradient(samples)

    def exact_bound_gradient(self, samples: int) -> Tensor:
        """Gradient of the multi-sample bound, summed over all tuples of states.

        Raises ``InputError`` where there are too many of them.
        """
        latents, categories = self.family.sample_shape
        if categories ** (latents * samples) > TUPLES:
            raise InputError(
                f"{samples} samples of {categories}^{latents} states have too many tuples for the exact bound (at most "
                f"{TUPLES:,}); give fewer variables, categories or draws"
            )
        logits = self.logits.clone().requires_grad_()
        states = enumerate_states(*self.family.sample_shape, torch.float64).to(self.device)
        states = states[:, None].expand(-1, BATCH, -1, -1)
        losses = self.objective()(states) - self.family.log_ratio(logits, states)
        tuples = torch.cartesian_prod(*[torch.arange(len(states))] * samples)
        bounds = math.log(samples) - (-losses[tuples]).logsumexp(1)
        weights = log_prob(logits, states)[tuples].sum(1).exp()
        return torch.autograd.grad((weights * bounds).sum(), logits)[0]

    def expectation(self, logits: Tensor) -> Tensor:
        """Expected objective, summed over all images, by enumeration of a discrete family's states."""
        states = enumerate_states(*self.family.sample_shape, torch.float64)[:, None].expand(-1, BATCH, -1, -1)
        known = self.family.probability if isinstance(self.family, Sparse) else None
        q = log_prob(logits, states).exp() if known is None else known(logits, states)
        return (q * self.objective()(states)).sum()

    def exact_inclusive_gradient(self) -> Tensor:
        """Gradient of KL(p(z | x) || q): minus the mean score of all states under their posterior."""
        logits = self.logits.clone().requires_grad_()
        states = enumerate_states(*self.family.sample_shape, torch.float64).to(self.device)
        states = states[:, None].expand(-1, BATCH, -1, -1)
        posterior = (-self.objective()(states)).softmax(0).detach()  # the prior is uniform
        return torch.autograd.grad(-(posterior * log_prob(logits, states)).sum(), logits)[0]

    def exact_gradient(self) -> Tensor:
        """Exact gradient: by enumeration; for Gaussian latents by the trapezoidal rule, to 1e-12 here.

        For deterministic latents it is autograd's. For quantised ones it is 0 almost everywhere: the gradient in the
        code is given in its place. Raises ``InputError`` for latents of another family.
        """
        if isinstance(self.family, Categorical):
            return exact_gradient(self.logits, self.objective())
        if isinstance(self.family, Deterministic):
            parameters = self.logits.clone().requires_grad_()
            return torch.autograd.grad(self.objective()(self.family.mean(parameters)).sum(), parameters)[0]
        if isinstance(self.family, Sparse):
            parameters = self.logits.clone().requires_grad_()
            return torch.autograd.grad(self.expectation(parameters), parameters)[0]
        if isinstance(self.family, Quantised):
            code = self.family.sample(self.logits, self.noise(0)).detach().squeeze(-4).requires_grad_()
            return torch.autograd.grad(self.objective()(code).sum(), code)[0]
        latents = self.family.latents
        if not isinstance(self.family, Gaussian) or latents > LATENTS:
            kind = f"{latents} latents of {type(self.family).__name__}"
            raise InputError(
                f"the exact gradient for {kind} is not known; take Categorical, Sparse, Deterministic, or 1 or 2 "
                "latents of Gaussian"
            )
        grid = torch.cartesian_prod(*[torch.linspace(-8, 8, NODES, dtype=torch.float64)] * latents).view(-1, latents)
        weight = (-grid.square().sum(-1) / 2).exp()
        logits = self.logits.clone().requires_grad_()
        mean, log_variance = logits.chunk(2, -1)
        losses = self.objective()(mean + (log_variance / 2).exp() * grid[:, None, :, None])
        return torch.autograd.grad((weight[:, None] * losses).sum() / weight.sum(), logits)[0]
