"""How the target-propagation report finds its variants' settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from discrete_vae.runs import Run
from reports.kit.context import ReportContext
from reports.kit.tables import changes
from reports.target_propagation_settings import Preset, Search, Trial, Variant


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
        return float(rows["value"].iloc[-1]) if len(rows) and self.run.failure is None else float("-inf")


def tune(
    preset: Preset, search: Search, bench: ReportContext
) -> tuple[list[Tried], dict[Variant, Trial], dict[str, Tried]]:
    """Run every variant's trials, and give them with what is best for each, and with its best short run by label.

    For a finalist the best is decided at full length, between its best short trials: a short run may prefer others.
    """

    def run(variant: Variant, trials: Sequence[Trial], epochs: int, first: int | None = None) -> list[Tried]:
        configs = [variant.config(trial, epochs, search.seed, preset.base) for trial in trials]

        def prune(epoch: int, metrics: Mapping[Run, Mapping[str, float]]) -> Collection[Run]:
            return list(metrics) if first is not None and epoch >= first else ()

        runs = bench.train(configs, prune, epochs=(first or epochs,))
        tried = [Tried(variant, trial, run, first or epochs) for trial, run in zip(trials, runs, strict=True)]
        return sorted(tried, key=lambda each: each.last("elbo"))

    tuned, chosen, short = [], {}, {}
    for variant in search.variants:
        first = run(variant, variant.trials, search.epochs, search.first)
        best = run(variant, [each.trial for each in first[-search.keep :]], search.epochs)
        short[variant.label] = best[-1]
        tuned += [*first[: -search.keep], *best]
        if variant in preset.finalists:
            trials = [*(each.trial for each in best[-search.contenders :]), *variant.known]
            best = run(variant, list(dict.fromkeys(trials)), preset.epochs)
            tuned += best
        chosen[variant] = best[-1].trial
    return tuned, chosen, short


def tuning(tuned: Sequence[Tried]) -> pd.DataFrame:
    """Every trial: after how many epochs it was judged, and its validation ELBO and KL then."""
    rows = []
    for tried in tuned:
        for metric in ("elbo", "kl"):
            value = tried.last(metric)
            rows.append(
                {
                    "row": tried.variant.label,
                    "strategy": tried.run.config.strategy,
                    "parameters": changes(tried.run.config),
                    "seed": tried.run.config.seed,
                    "split": "validation",
                    "metric": metric,
                    "value": None if value == float("-inf") else value,
                    "run": tried.run.config.name,
                    "epoch": tried.epochs,
                }
            )
    return pd.DataFrame(rows)
