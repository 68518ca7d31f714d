"""How a row's settings are found: short trials, then the best of several weight decays at every longer length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from discrete_vae.runs import Run
from reports.gauss_newton.settings import Preset, Row, Trial
from reports.kit.context import ReportContext

WORST = float("-inf")


@dataclass(frozen=True)
class Tried:
    """A trial that was run."""

    row: Row
    trial: Trial
    run: Run
    samples: int
    """Samples of an image that score it."""

    @cached_property
    def scores(self) -> dict[str, float]:
        """Validation metrics of the trained model, those that are numbers."""
        found = self.run.evaluation().dropna(subset="value")
        own = found[(found["split"] == "validation") & (found["samples"] == self.samples)]
        return dict(zip(own["metric"], own["value"], strict=True))

    def score(self, metric: str) -> float:
        """A validation metric of the trained model; minus infinity for one that failed."""
        return self.scores.get(metric, WORST)


@dataclass(frozen=True)
class Chosen:
    """What was found for a row."""

    tried: Sequence[Tried]
    """All, each once."""
    settings: dict[tuple[str, int], Tried]
    """The best by yardstick and length."""


def choose(preset: Preset, bench: ReportContext, row: Row) -> Chosen:
    """Run a row's trials, then the candidates longer, and find the best of every length."""
    short = run(preset, bench, row, row.trials, preset.trial_epochs)
    every, settings = list(short), dict[tuple[str, int], Tried]()
    for metric, epochs in preset.places(row):
        found = short
        if epochs != preset.trial_epochs:
            trials = dict.fromkeys([*candidates(preset, short, metric), *row.known])
            found = run(preset, bench, row, list(trials), epochs)
            every += found
        settings[metric, epochs] = best(found, metric)
    return Chosen(list({each.run.config: each for each in every}.values()), settings)


def run(preset: Preset, bench: ReportContext, row: Row, trials: Sequence[Trial], epochs: int) -> list[Tried]:
    """The trials at a length."""
    configs = [row.config(trial, epochs, preset.trial_seeds[0], preset.base) for trial in trials]
    runs = bench.train(configs, samples={"validation": preset.validated})
    return [Tried(row, trial, each, preset.validated) for trial, each in zip(trials, runs, strict=True)]


def candidates(preset: Preset, short: Sequence[Tried], metric: str) -> list[Trial]:
    """The best trial of each weight decay, and of these the best: the effect of decay shows only in long runs."""
    decays = dict.fromkeys(each.trial.decay for each in short)
    found = [best([each for each in short if each.trial.decay == decay], metric) for decay in decays]
    well = [each for each in found if each.score(metric) > WORST]
    return [each.trial for each in sorted(well, key=lambda each: -each.score(metric))[: preset.keep]]


def best(tried: Iterable[Tried], metric: str) -> Tried:
    """The one with the highest score, the first of several."""
    return max(tried, key=lambda each: each.score(metric))
