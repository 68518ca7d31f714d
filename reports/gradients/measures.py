"""Bias, variance and direction of every strategy's gradient along training, against the exact one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from reports.gradients_tables import closest, gradients_table
from torch import Tensor

from discrete_vae import schedules
from discrete_vae.config import Config
from discrete_vae.evaluation.gradients import GradientError, exact_gradient, gradient_error
from discrete_vae.evaluation.population import Population
from discrete_vae.files import write_atomically
from discrete_vae.latents.categorical import Categorical
from discrete_vae.latents.noise import Noise, seeded
from discrete_vae.progress import terminal_progress
from discrete_vae.runs import Run, environment, parameters
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES, Objective, Strategy, TargetStrategy
from discrete_vae.tasks import Architecture
from discrete_vae.training.optimiser import descent
from reports import gradients_figures
from reports.kit.context import Report, ReportContext, kept
from reports.kit.latex import Latex, render
from reports.kit.provenance import ENVIRONMENT

TEMPERATURES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
"""What is tried of every strategy that has a temperature."""
ROWS_AT_ONCE = 5000
"""Images times draws that go through the network together."""
STEP_IMAGES, REPEATS = 100, 15
"""The batch whose step is timed, and how often."""


@dataclass(frozen=True)
class Row:
    """A strategy with its options; of several with the same label, the first is the table's."""

    label: str
    strategy: str
    options: Any

    @property
    def temperature(self) -> float | None:
        """A constant one, if it has one."""
        schedule = getattr(self.options, "temperature", None)
        return schedule.initial if isinstance(schedule, Schedule) and schedule.decay == 1 else None


def rows() -> list[Row]:
    """Every categorical strategy at its defaults and, if it has a temperature, at others; target propagation in three.

    Enumeration is the exact gradient itself, and a bound of several samples has another gradient; the
    model has more categories than estimators for binary variables take. At its defaults the
    decoupled straight-through estimator is the plain one.
    """
    feedback = {"geometry": "second-order", "warmup": 500}
    variants: dict[str, tuple[str, Mapping[str, Any]]] = {
        name: (name, {})
        for name, strategy in STRATEGIES.items()
        if strategy.latent_family is Categorical
        and not strategy.loss_includes_kl
        and strategy.categories is None
        and name not in ("enumeration", "marginalisation", "target-propagation")
    }
    variants |= {
        "decoupled-straight-through": ("decoupled-straight-through", {"forward_temperature": Schedule(1.5)}),
        "rebar, coupled": ("rebar", {"coupled": True}),
        "target-propagation, thesis": ("target-propagation", {}),
        "target-propagation, L-DRL": ("target-propagation", {"inverse": "l-drl", **feedback}),
        "target-propagation, mirror": ("target-propagation", {"inverse": "mirror", **feedback}),
    }
    found = []
    for label, (name, options) in variants.items():
        made = STRATEGIES[name].Options(**options)
        found.append(Row(label, name, made))
        if found[-1].temperature is not None and made != STRATEGIES["target-propagation"].Options():
            others = (value for value in TEMPERATURES if value != found[-1].temperature)
            found += [Row(label, name, dataclasses.replace(made, temperature=Schedule(value))) for value in others]
    return found


@dataclass(frozen=True)
class Preset:
    """How long the model is trained whose gradients are measured, and how closely they are."""

    epochs: tuple[int, ...]
    images: int
    draws: int
    fit: int
    """Steps in which a strategy's own parameters are fitted to each of these models."""
    rows: Sequence[Row] = field(default_factory=rows)
    base: Config = field(
        default_factory=lambda: Config(
            "reinmax", architecture=Architecture(4, 8, (200,)), learning_rate=Schedule(1e-3), batch_size=100
        )
    )
    """What trains the model; few enough states to sum over them all."""

    @property
    def summary(self) -> str:
        """What it computes, in a line."""
        told = ", ".join(map(str, (0, *self.epochs)))
        return f"models after {told} epochs, {self.images} images, {self.draws:,} draws of {len(self.rows)} settings"


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
        """For a trained model, or for the one that training begins with."""
        dataset = bench.dataset(preset.base.data)
        if run is None:
            population = Population.build([preset.base], bench.device)
        else:
            population = Population.load([run], bench.device)
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
        epochs = run.config.epochs if run else 0
        return cls(population, images, logits, torch.cat(parts, 1), epochs, max(preset.epochs), training)

    def objective(self, images: Tensor) -> Objective:
        """The reconstruction alone, whose gradient is estimated: the KL's is known."""
        return dataclasses.replace(self.population.model.objective(images), kl_term=None)

    def fitted(self, row: Row, steps: int) -> Strategy:
        """The row's strategy; what it learns by itself, and what it keeps a mean of, is fitted to this model."""
        model = self.population.model
        own = Config(row.strategy, row.options)
        device = self.images.device
        strategy = own.strategy_class.build(row.options, model.networks(0, lambda stream: [seeded(0, stream)]))
        strategy.to(device)
        steps_per_epoch = 500
        for name in strategy.scheduled():
            schedule = getattr(row.options, name)
            total = self.length * steps_per_epoch
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

    def error(self, strategy: Strategy, draws: int) -> tuple[GradientError, float]:
        """Of the strategy's gradient; the bias without what is due to the draws, and the cosine of one draw."""
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
        return dataclasses.replace(error, bias=own), float(cosine)

    def step(self, strategy: Strategy) -> float:
        """Seconds of the strategy's estimate and its gradient on one batch."""
        images = self.training[:, :STEP_IMAGES]
        noise = Noise([seeded(0, "time", device=images.device)], images.device)
        logits = self.population.model.encode(images).detach().requires_grad_()
        objective = self.objective(images)
        began = time.perf_counter()
        estimate = strategy.estimate(logits, objective, noise)
        torch.autograd.grad(
            (estimate.loss.sum() + estimate.strategy_loss.sum()),
            [logits, *strategy.parameters()],
            materialize_grads=True,
        )
        if images.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began


REFERENCE = Row("gumbel-softmax", "gumbel-softmax", STRATEGIES["gumbel-softmax"].Options())
"""Whose step the others' are measured in."""


def measure(problem: Problem, row: Row, preset: Preset) -> dict[str, float]:
    """Metrics of a row on one model."""
    strategy = problem.fitted(row, preset.fit)
    error, cosine = problem.error(strategy, preset.draws)
    reference = problem.fitted(REFERENCE, 0)
    seconds = [(problem.step(reference), problem.step(strategy)) for _ in range(REPEATS)]
    ratio = min(own for _, own in seconds) / min(other for other, _ in seconds)  # what nothing else held up
    return {"bias": error.bias, "variance": error.variance, "cosine": cosine, "step_over_gumbel_softmax": ratio}


def make(preset: Preset, bench: ReportContext) -> None:
    """Train the model, measure what is missing, then write the table, the figure and the document."""
    runs = bench.train([dataclasses.replace(preset.base, epochs=epochs) for epochs in preset.epochs], weights=True)
    stages: list[tuple[int, Run | None]] = [(0, None), *zip(preset.epochs, runs, strict=True)]
    found: list[dict[str, Any]] = []
    environments: list[dict[str, Any]] = []
    with terminal_progress() as progress, progress.counting("gradients", len(stages) * len(preset.rows)) as done:
        for epochs, run in stages:
            problem: Problem | None = None
            for row in preset.rows:
                own = Config(row.strategy, row.options, preset.base.architecture)
                asked = [own.to_dict(), preset.base.to_dict(), epochs, preset.images, preset.draws, preset.fit]
                key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
                stored = bench.runs / "gradients" / f"{row.strategy}-{key}.json"
                if not stored.exists():
                    problem = problem or Problem.of(preset, run, bench)
                    measured = {"metrics": measure(problem, row, preset), "environment": environment(bench.device)}
                    stored.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(stored, json.dumps(measured, indent=2) + "\n")
                measured = kept(stored, "metrics", "environment")
                metrics = measured["metrics"]
                known = {name: measured["environment"].get(name) for name in ENVIRONMENT}
                environments += [known] if known not in environments else []
                found += [
                    {
                        "row": row.label,
                        "strategy": row.strategy,
                        "parameters": parameters(own),
                        "seed": preset.base.seed,
                        "split": "validation",
                        "metric": metric,
                        "value": value,
                        "run": run.config.name if run else None,
                        "epoch": epochs,
                        "temperature": row.temperature,
                    }
                    for metric, value in metrics.items()
                ]
                done(1)
    results = pd.DataFrame(found)
    bench.write_results(results)
    unbiased = {row.strategy for row in preset.rows if STRATEGIES[row.strategy].claim.unbiased}
    gradients_figures.plane(bench.out, results, unbiased, [epochs for epochs, _ in stages], preset.draws)
    bench.write_provenance(runs, images=preset.images, draws=preset.draws, fit=preset.fit, measured_on=environments)
    words(preset, bench, results)


def words(preset: Preset, bench: ReportContext, results: pd.DataFrame) -> None:
    """Write table and document from what was measured."""
    stages = [0, *preset.epochs]
    bench.write("gradients_table.tex", gradients_table(results, preset.rows, stages, preset.draws))
    architecture = preset.base.architecture
    source = render(
        "gradients.tex",
        trained=Latex(f"{architecture.latents} variables of {architecture.categories} categories"),
        images=preset.images,
        draws=f"{preset.draws:,}",
        fit=preset.fit,
        stages=", ".join(map(str, stages)),
        closest=closest(results, preset.rows, stages),
    )
    used = [(row.strategy, row.options) for row in preset.rows]
    bench.write_document(source, ["gradients_table.tex", "gradients_plane.pdf"], used)


PRESETS = {
    "quick": Preset((1, 3), 20, 500, 300),
    "laptop": Preset((1, 20), 20, 1000, 500),
    "full": Preset((1, 20), 50, 5000, 2000),
}
REPORT = Report("gradients", "bias, variance and direction of every strategy's gradient along training", PRESETS, make)
