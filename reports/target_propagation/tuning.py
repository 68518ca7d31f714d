"""How the target-propagation report finds its variants' settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from discrete_vae.runs import Run
from reports.kit.context import ReportContext
from reports.kit.tidy import changes
from reports.target_propagation.settings import Preset, Trial, Variant

WORST = float("-inf")


@dataclass(frozen=True)
class Tried:
    """A trial that was run."""

    variant: Variant
    trial: Trial
    run: Run
    epochs: int
    """After how many it was judged."""

    def last(self, metric: str) -> float:
        """A validation metric after these epochs; minus infinity where it has none."""
        rows = self.run.history()
        rows = rows[(rows["split"] == "validation") & (rows["metric"] == metric) & (rows["epoch"] == self.epochs)]
        return float(rows["value"].iloc[-1]) if len(rows) and self.run.failure is None else WORST

    @property
    def score(self) -> float:
        """The ELBO that it was judged by; infinite for a run that was kept, where tables tell its last ELBO only."""
        found = self.last("elbo")
        return -WORST if found == WORST and self.run.finished else found


Tuned = tuple[Sequence[Tried], Mapping[Variant, Trial], Mapping[str, Tried]]
"""The trials, what is best for each variant, and its best short run by label."""


def tune(preset: Preset, bench: ReportContext) -> Tuned:
    """Run every variant's trials, and give them with what is best for each, and with its best short run by label.

    For a finalist the best is decided at full length, between its best short trials: a short run may prefer others.
    """

    def run(variant: Variant, trials: Sequence[Trial], epochs: int, judged: int) -> list[Tried]:
        """The trials, worst first; all stop after ``judged`` epochs, but for those that were kept before."""
        configs = [variant.config(trial, epochs, preset.trial_seeds[0], preset.base) for trial in trials]
        needed = (epochs,) if judged == epochs else ()
        runs = bench.train(configs, lambda at, metrics: list(metrics) if judged <= at < epochs else (), epochs=needed)
        tried = [Tried(variant, trial, run, judged) for trial, run in zip(trials, runs, strict=True)]
        return sorted(tried, key=lambda each: each.score)

    tuned, chosen, short = [], {}, {}
    for variant in preset.variants:
        first = run(variant, variant.trials, preset.trial_epochs, preset.first)
        best = run(variant, [each.trial for each in first[-preset.keep :]], preset.trial_epochs, preset.trial_epochs)
        short[variant.label] = best[-1]
        tuned += [*first[: -preset.keep], *best]
        if variant in preset.finalists:
            trials = [*(each.trial for each in best[-preset.contenders :]), *variant.known]
            best = run(variant, list(dict.fromkeys(trials)), preset.epochs, preset.epochs)
            tuned += best
            chosen[variant] = best[-1].trial
    return tuned, chosen, short


def tuning(tuned: Sequence[Tried]) -> pd.DataFrame:
    """Every trial: after how many epochs it was judged, and its validation ELBO and KL then."""
    return pd.DataFrame(
        {
            "row": tried.variant.label,
            "strategy": tried.run.config.strategy,
            "parameters": changes(tried.run.config),
            "seed": tried.run.config.seed,
            "split": "validation",
            "metric": metric,
            "value": None if (value := tried.last(metric)) == WORST else value,
            "run": tried.run.config.name,
            "epoch": tried.epochs,
        }
        for tried in tuned
        for metric in ("elbo", "kl")
    )
