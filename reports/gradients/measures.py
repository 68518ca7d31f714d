"""A strategy's gradient beside the exact one: its bias, variance and direction on one model, and the time it takes."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae import schedules
from discrete_vae.config import Config
from discrete_vae.evaluation.gradients import exact_gradient, gradient_error
from discrete_vae.evaluation.population import Population
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.runs import Run
from discrete_vae.strategies import STRATEGIES, Objective, Strategy, TargetStrategy
from discrete_vae.training.optimiser import descent
from reports.gradients.settings import Preset, Row
from reports.kit.context import ReportContext

ROWS_AT_ONCE = 5000
"""Images times draws that go through the network together."""
STEP_IMAGES, REPEATS = 100, 15
"""The batch whose step is timed, and how often."""
REFERENCE = Row("gumbel-softmax", "gumbel-softmax", STRATEGIES["gumbel-softmax"].Options())
"""The strategy whose step is the unit of the others' steps."""


@dataclass(frozen=True)
class Problem:
    """A model and images, and their exact gradient in the logits."""

    population: Population
    images: Tensor
    """``[1, B, D]``"""
    logits: Tensor
    exact: Tensor
    """``[1, B, N, K]`` each."""
    epochs: int
    """How long the model was trained: a strategy's schedules stand where they are then."""
    length: int
    """Epochs of the whole training, for schedules over a run."""
    training: Tensor
    """Images ``[1, M, D]`` to fit a strategy's own parameters on."""

    @classmethod
    def of(cls, preset: Preset, run: Run | None, bench: ReportContext) -> Problem:
        """The problem of a trained model, or of the one that training begins with."""
        dataset = bench.dataset(preset.base.data)
        if run is None:
            population = Population.build([preset.base], bench.device)
        else:  # whose weights are not in committed tables
            population = Population.load(bench.train([run.config], weights=True), bench.device)
        generators = [seeded(0, "gradients", device=bench.device)]
        images, training = (
            split.batch(torch.arange(count, device=bench.device)[None], generators)
            for split, count in ((dataset.validation, preset.images), (dataset.train, min(10_000, len(dataset.train))))
        )
        with torch.no_grad():
            logits = population.model.encode(images)
        parts = [
            exact_gradient(logits[:, [i]], population.model.objective(images[:, [i]])) for i in range(preset.images)
        ]
        epochs = run.kept_at(run.total_steps) if run else 0
        return cls(population, images, logits, torch.cat(parts, 1), epochs, max(preset.epochs), training)

    def objective(self, images: Tensor) -> Objective:
        """The reconstruction alone, whose gradient is estimated: the KL's is known."""
        return dataclasses.replace(self.population.model.objective(images), kl_term=None)

    def fitted(self, row: Row, steps: int) -> Strategy:
        """The row's strategy; what it learns by itself, and what it keeps a mean of, is fitted to this model."""
        model, device = self.population.model, self.images.device
        kind = Config(row.strategy, row.options).strategy_class
        strategy = kind.build(row.options, model.networks(0, lambda stream: [seeded(0, stream)]))
        strategy.to(device)
        steps_per_epoch = 500
        for name in strategy.scheduled():
            schedule, total = getattr(row.options, name), self.length * steps_per_epoch
            value = schedules.table([schedule], self.epochs * steps_per_epoch, 1, steps_per_epoch, [total])[0]
            strategy.follow({name: value.to(device)})
        if not set(strategy.state_dict()) - set(strategy.scheduled()):
            return strategy
        noise = Noise([seeded(0, "fit", device=device)], device)
        descend = descent(strategy.parameters(), torch.full((1,), 1e-3, device=device))
        batches = torch.split(self.training, STEP_IMAGES, 1)
        if isinstance(strategy, TargetStrategy) and strategy.warmup:
            with torch.no_grad():
                logits = model.encode(batches[0])
            strategy.prepare(logits, self.objective(batches[0]), noise, descend)
            return strategy
        for step in range(steps):
            images = batches[step % len(batches)]
            with torch.no_grad():
                logits = model.encode(images)
            strategy_loss = strategy.estimate(logits.requires_grad_(), self.objective(images), noise).strategy_loss
            if strategy_loss.requires_grad:
                descend(strategy_loss)
        return strategy

    def error(self, strategy: Strategy, draws: int) -> dict[str, float]:
        """Errors of the strategy's gradient: the bias without the share of the draws, and the cosine of one draw."""
        count = max(1, ROWS_AT_ONCE // self.images.shape[1])
        noise = Noise([seeded(0, "draws", device=self.images.device)], self.images.device)
        found = []
        for start in range(0, draws, count):
            times = min(count, draws - start)
            logits = self.logits.repeat(1, times, 1, 1).requires_grad_()
            objective = self.objective(self.images.repeat(1, times, 1))
            (gradient,) = torch.autograd.grad(strategy.estimate(logits, objective, noise).loss.sum(), logits)
            found.append(gradient.view(times, *self.exact.shape[1:]))
        sampled, exact = torch.cat(found).double(), self.exact[0].double()
        cosine = torch.cosine_similarity(sampled.flatten(1), exact.flatten()[None], 1).mean()
        error = gradient_error(sampled, exact)
        own = max(error.bias**2 - error.variance / draws, 0.0) ** 0.5
        return {"bias": own, "variance": error.variance, "cosine": float(cosine)}

    def step(self, strategy: Strategy) -> float:
        """Seconds of the strategy's estimate and its gradient on one batch."""
        images = self.training[:, :STEP_IMAGES]
        noise = Noise([seeded(0, "time", device=images.device)], images.device)
        logits = self.population.model.encode(images).detach().requires_grad_()
        objective = self.objective(images)
        began = time.perf_counter()
        estimate = strategy.estimate(logits, objective, noise)
        loss = estimate.loss.sum() + estimate.strategy_loss.sum()
        torch.autograd.grad(loss, [logits, *strategy.parameters()], materialize_grads=True)
        if images.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began


def measure(problem: Problem, row: Row, preset: Preset) -> dict[str, float]:
    """Metrics of a row on one model."""
    strategy, reference = problem.fitted(row, preset.fit), problem.fitted(REFERENCE, 0)
    error = problem.error(strategy, preset.draws)
    seconds = [(problem.step(reference), problem.step(strategy)) for _ in range(REPEATS)]
    ratio = min(own for _, own in seconds) / min(other for other, _ in seconds)  # the least disturbed times
    return error | {"step_over_gumbel_softmax": ratio}
