"""Target propagation for a categorical VAE: what the thesis' rule lacks, what mends it, and how far that goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from discrete_vae.runs import Run, parameters
from discrete_vae.training import Prune, never
from reports import statistics, target_propagation_figures
from reports.latex import Latex, number, render, symbols
from reports.report import Bench, Report
from reports.tables import COLUMNS, MISSING, Panel, Row, by_seed, measured, spread, table
from reports.target_propagation_settings import (
    CHOSEN,
    GUMBEL,
    L_DRL,
    LOCAL,
    MIRROR,
    PRESETS,
    PROBES,
    PROBES_LOCAL,
    REINMAX,
    THESIS,
    Preset,
    Search,
    Trial,
    Value,
    Variant,
)

DIAGNOSTICS = (
    "signal_cosine",
    "signal_ratio",
    "pull_cosine",
    "inverse_trace_positive",
    "outside_simplex",
    "mean_correction",
)
SHOWN = ("elbo", "kl", "active_latents", "code_entropy", *DIAGNOSTICS)


def make(preset: Preset, bench: Bench) -> None:
    """Tune, train and evaluate what is missing, then write the table, the figures and the document."""
    chosen = {variant: CHOSEN[variant] for variant in preset.finalists if variant in CHOSEN}
    tuned: list[Tried] = []
    if preset.search:
        tuned, chosen = tune(preset, preset.search, bench)
    rows = {
        variant.label: bench.train(
            [variant.config(chosen[variant], preset.epochs, seed, preset.base) for seed in preset.seeds]
        )
        for variant in preset.finalists
    }
    final = [run for runs in rows.values() for run in runs]
    samples = {"train": 1, "validation": 1, "test": preset.samples}
    for split, count in samples.items():
        bench.evaluate(final, split, count)

    results = pd.concat(
        [measured(bench.report, name, run, samples) for name, runs in rows.items() for run in runs], ignore_index=True
    )
    short = best_short(preset.search, tuned) if preset.search else {}
    curves = pd.concat([history(name, run) for name, runs in rows.items() for run in runs], ignore_index=True)
    signals = (
        pd.concat([history(name, tried.run) for name, tried in short.items()], ignore_index=True) if short else curves
    )
    bench.write_results(results)
    bench.write_results(curves, "learning_curves.csv")
    if tuned:
        bench.write_results(tuning(tuned), "tuning.csv")
        bench.write_results(signals, "signals.csv")

    note = length(preset)
    settings = {variant.label: setting(variant, chosen[variant]) for variant in preset.finalists}
    bench.write("target_propagation_table.tex", main_table(results, settings, short, preset, note))
    bench.write("target_propagation.md", markdown(results, settings))
    target_propagation_figures.learning_curves(bench.out, curves, list(rows))
    target_propagation_figures.signals(bench.out, signals, target_propagation_figures.told(signals))
    bench.write_provenance(
        [*final, *(tried.run for tried in tuned)],
        samples=samples,
        epochs=preset.epochs,
        chosen={label: str(text) for label, text in settings.items()},
    )
    source = render(
        "target_propagation.tex",
        length=note,
        comparison=comparison(results),
        geometry=geometry(short, preset),
        lost=lost(short, preset),
        tuning=budget(preset),
        signal_note=Latex("the best short run of each" if short else "the mean of the runs of the table"),
    )
    parts = ["target_propagation_table.tex", "learning_curves.pdf", "signals.pdf"]
    bench.write_document(source, parts)


@dataclass(frozen=True)
class Tried:
    """A trial that was run."""

    variant: Variant
    trial: Trial
    run: Run

    def last(self, metric: str, epoch: int | None = None) -> float:
        """A validation metric after an epoch, by default the run's last; minus infinity where it has none."""
        rows = self.run.history()
        rows = rows[(rows["split"] == "validation") & (rows["metric"] == metric)]
        rows = rows if epoch is None else rows[rows["epoch"] == epoch]
        return float(rows["value"].iloc[-1]) if len(rows) and self.run.failure is None else float("-inf")


def tune(preset: Preset, search: Search, bench: Bench) -> tuple[list[Tried], dict[Variant, Trial]]:
    """Run every variant's trials, and give them with what is best for each.

    For a finalist that is decided at full length, between its best short trials: a short run may prefer other settings.
    """

    def run(variant: Variant, trials: Sequence[Trial], epochs: int, prune: Prune = never) -> list[Tried]:
        runs = bench.train([variant.config(trial, epochs, search.seed, preset.base) for trial in trials], prune)
        return [Tried(variant, trial, each) for trial, each in zip(trials, runs, strict=True)]

    tuned, chosen = [], {}
    for variant in search.variants:
        short = run(variant, variant.trials, search.epochs, lambda run, epoch, metrics: epoch >= search.first)
        best = sorted(short, key=lambda each: each.last("elbo", search.first))[-search.keep :]
        last = run(variant, [each.trial for each in best], search.epochs)
        last.sort(key=lambda each: each.last("elbo"))
        tuned += short
        if variant in preset.finalists and len(last) > 1:
            last = run(variant, [each.trial for each in last[-search.contenders :]], preset.epochs)
            tuned += last
        chosen[variant] = max(last, key=lambda each: each.last("elbo")).trial
    return tuned, chosen


def best_short(search: Search, tuned: Sequence[Tried]) -> dict[str, Tried]:
    """The best short run of every variant, by label."""
    found: dict[str, Tried] = {}
    short = [tried for tried in tuned if tried.run.config.epochs == search.epochs]
    for tried in sorted(short, key=lambda each: each.last("elbo", search.epochs)):
        found[tried.variant.label] = tried
    return found


def history(row: str, run: Run) -> pd.DataFrame:
    """A run's validation metrics by epoch, tidy."""
    rows = run.history()
    rows = rows[(rows["split"] == "validation") & rows["metric"].isin(SHOWN)]
    known: dict[str, Any] = {
        "row": row,
        "strategy": run.config.strategy,
        "seed": run.config.seed,
        "run": run.config.name,
    }
    return rows.assign(**known).reindex(columns=[*COLUMNS, "epoch"])


def tuning(tuned: Sequence[Tried]) -> pd.DataFrame:
    """Every trial: where it stopped, and its validation ELBO and KL there."""
    rows = []
    for tried in tuned:
        run = tried.run
        epochs = run.history()["epoch"]
        for metric in ("elbo", "kl"):
            value = tried.last(metric)
            rows.append(
                {
                    "row": tried.variant.label,
                    "strategy": run.config.strategy,
                    "parameters": parameters(run.config),
                    "seed": run.config.seed,
                    "split": "validation",
                    "metric": metric,
                    "value": None if value == float("-inf") else value,
                    "run": run.config.name,
                    "epoch": int(epochs.max()) if len(epochs) else 0,
                }
            )
    return pd.DataFrame(rows)


def setting(variant: Variant, trial: Trial) -> Latex:
    """``lr 0.004, tau 0.5``."""
    names = {
        "temperature": r"$\tau$",
        "beta": r"$\beta$",
        "step": r"$\alpha = \beta$",
        "auxiliary_learning_rate": "lr of feedback",
    }
    return Latex(f"lr {trial.learning_rate:g}, {names[variant.knob]} {_value(trial.value)}")


def _value(value: Value) -> str:
    return rf"{value[0]:g} to {value[0] * value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def length(preset: Preset) -> Latex:
    """How long was trained."""
    seeds = f"{len(preset.seeds)} fresh seeds" if preset.search else f"{len(preset.seeds)} seeds"
    return Latex(f"{preset.epochs} epochs, {seeds}.")


def budget(preset: Preset) -> Latex:
    """How the settings were found."""
    search = preset.search
    if search is None:
        return Latex("The settings are set beforehand; nothing is tuned here.")
    first = search.variants[0]
    return Latex(
        f"Every variant was tuned on the validation ELBO with the same budget: {len(first.trials)} trials of "
        f"{search.epochs} epochs ({len(first.rates)} learning rates, falling to a tenth over the run, times "
        f"{len(first.values)} values of the variant's own hyper-parameter), all but {search.keep} stopped after "
        f"{search.first}; between the best {search.contenders}, the finalists' were chosen at full length. $\\beta$ "
        f"rises within the first epoch. Tuning used seed {search.seed}, the table others."
    )


def main_table(
    results: pd.DataFrame, settings: Mapping[str, Latex], short: Mapping[str, Tried], preset: Preset, note: Latex
) -> Latex:
    """The finalists, and below them the best short run of every variant."""
    columns = [("train", "elbo"), ("validation", "elbo"), ("test", "elbo"), ("test", "log_likelihood"), ("test", "kl")]

    def column(split: str, metric: str) -> dict[str, Latex]:
        values = {row: by_seed(results, row, split, metric) for row in settings}
        best = statistics.winner(values) if metric != "kl" else None
        return {row: spread(values[row], row == best) for row in settings}

    made = [column(*each) for each in columns]
    body: list[Row | Latex] = [[symbols(row), text, *(each[row] for each in made)] for row, text in settings.items()]
    panels = [
        Panel(
            Latex("llrrrrr"),
            [
                Latex(r" & & \multicolumn{3}{c}{ELBO} & IW bound & KL \\"),
                Latex(r"\cmidrule(lr){3-5}"),
                Latex(rf"{note} & & train & valid. & test & test & test \\"),
            ],
            body,
        )
    ]
    if short and preset.search:
        panels.append(variants_panel(short, preset.search))
    bold = (
        "bold: best of its column in a paired $t$-test over seeds ($p < 0.05$ after Holm's correction)"
        if len(preset.seeds) >= statistics.MINIMUM_SEEDS
        else f"nothing is bold, for fewer than {statistics.MINIMUM_SEEDS} seeds support no winner"
    )
    lower = (
        f" Below: the best of each variant's {len(preset.search.variants[0].trials)} short runs (one "
        f"seed, {preset.search.epochs} epochs): validation ELBO and KL in nats, and of its signal after the last "
        r"epoch the cosine and relative length to minus the true gradient in the sample, the share of images with "
        r"$\mathrm{tr}(J_r J_D) > 0$, the share of targets outside the simplex, and $\|E_z[\hat\pi] - \pi\|$."
        if short and preset.search
        else ""
    )
    caption = Latex(
        rf"Hard samples, exact KL, nats an image, higher is better. Mean $\pm$ 95\% interval; {bold}. The test ELBO "
        f"and the importance-weighted (IW) bound take {preset.samples:,} samples. TP: target propagation.{lower}"
    )
    return table("target_propagation", caption, panels, size="scriptsize", separation="3.5pt")


def variants_panel(short: Mapping[str, Tried], search: Search) -> Panel:
    """The best short run of every variant with its diagnostics."""
    ordered = sorted(short.items(), key=lambda item: item[1].last("elbo", search.epochs), reverse=True)
    rows: list[Row | Latex] = []
    for label, tried in ordered:
        values = {metric: tried.last(metric, search.epochs) for metric in SHOWN}
        cells = [shown(values["elbo"], 1), shown(values["kl"], 1)]
        cells += [shown(values["signal_cosine"]), shown(values["signal_ratio"])]
        cells += [percent(values["inverse_trace_positive"]), percent(values["outside_simplex"])]
        rows.append([symbols(label), setting(tried.variant, tried.trial), *cells, shown(values["mean_correction"], 3)])
    return Panel(
        Latex("llrrrrrrr"),
        [Latex(rf"{search.epochs} epochs, one seed & & ELBO & KL & cosine & length & trace & outside & correction \\")],
        rows,
    )


def shown(value: float, digits: int = 2) -> Latex:
    """A number, or a dash where the strategy has none."""
    return MISSING if value == float("-inf") else number(value, digits)


def percent(value: float) -> Latex:
    """A share in percent, or a dash."""
    return MISSING if value == float("-inf") else Latex(rf"{100 * value:.0f}\,\%")


def markdown(results: pd.DataFrame, settings: Mapping[str, Latex]) -> str:
    """The finalists for the README."""
    heads = {
        "valid. ELBO": ("validation", "elbo"),
        "test ELBO": ("test", "elbo"),
        "test IW bound": ("test", "log_likelihood"),
        "test KL": ("test", "kl"),
    }
    lines = ["| | settings | " + " | ".join(heads) + " |", "| --- | --- |" + " ---: |" * len(heads)]
    for row, text in settings.items():
        cells = []
        for split, metric in heads.values():
            values = list(by_seed(results, row, split, metric).values())
            if not values:
                cells.append("")
                continue
            found = statistics.interval(values)
            half = f" ± {found.half_width:.2f}" if found.half_width is not None else ""
            cells.append(f"{found.mean:.2f}{half}")
        plain = text.replace(r"$\tau$", "tau").replace(r"$\beta$", "beta")
        lines.append(f"| {row} | {plain} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def difference(results: pd.DataFrame, first: Variant, second: Variant, metric: str) -> str | None:
    """``+2.31 (95% interval 2.10 to 2.52, paired p = 0.0001)``, first less second on the test images."""
    one, other = (by_seed(results, variant.label, "test", metric) for variant in (first, second))
    seeds = sorted(one.keys() & other.keys())
    if not seeds:
        return None
    found = statistics.interval([one[seed] - other[seed] for seed in seeds])
    text = f"{found.mean:+.2f}".replace("-", "$-$")
    if found.half_width is None or len(seeds) < statistics.MINIMUM_SEEDS:
        return rf"{text} nats ({len(seeds)} seed{'s' * (len(seeds) > 1)})"
    p = statistics.paired_p(one, other)
    level = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return rf"{text} $\pm$ {found.half_width:.2f} nats (paired ${level}$)"


def comparison(results: pd.DataFrame) -> Latex:
    """What the finalists' differences are."""
    pairs = [
        (MIRROR, GUMBEL, "Target propagation by a mirror less Gumbel-Softmax"),
        (LOCAL, GUMBEL, "fully layer-local less Gumbel-Softmax"),
        (MIRROR, REINMAX, "mirror less ReinMax"),
        (LOCAL, REINMAX, "layer-local less ReinMax"),
        (MIRROR, THESIS, "mirror less the thesis' rule"),
    ]
    sentences = []
    for first, second, text in pairs:
        elbo, bound = (difference(results, first, second, metric) for metric in ("elbo", "log_likelihood"))
        if elbo and bound:
            sentences.append(f"{text}: test ELBO {elbo}, IW bound {bound}")
    if not sentences:
        return Latex("A row that the comparison needs did not finish.")
    return Latex("; ".join(sentences) + r". Each $p$ is of its own test.")


def geometry(short: Mapping[str, Tried], preset: Preset) -> Latex:
    """What other geometries do for each inverse, by the short runs."""
    if preset.search is None or not short:
        return Latex("")
    epochs, sentences = preset.search.epochs, []
    for inverse, text in (
        ("encoder", "the encoder as inverse"),
        ("network", "a learned network"),
        ("mirror", "a mirror"),
    ):
        found = {
            variant: short[variant.label].last("elbo", epochs)
            for variant in preset.search.variants
            if variant.label in short
            and variant.strategy == "target-propagation"
            and variant.options.get("inverse", "encoder") == inverse
            and not variant.options.get("local")
        }
        if found:
            parts = [
                f"{variant.options.get('geometry', 'euclidean')} {number(value, 1)}" for variant, value in found.items()
            ]
            sentences.append(f"with {text} {', '.join(parts)}")
    return Latex(f"Validation ELBO after {epochs} epochs by geometry: {'; '.join(sentences)}.")


def lost(short: Mapping[str, Tried], preset: Preset) -> Latex:
    """Where nats are lost between the true gradient and learned feedback, by the short runs."""
    if preset.search is None or not short:
        return Latex("The full preset compares all variants.")
    epochs = preset.search.epochs
    names = [
        (REINMAX, "the true gradient (ReinMax)"),
        (MIRROR, "a mirror that takes its layer's steps"),
        (LOCAL, "the same, layer-local"),
        (PROBES, "probes alone, which lag behind"),
        (PROBES_LOCAL, "the same, layer-local"),
        (L_DRL, "L-DRL, which lags and is noisy at its own minimum"),
    ]
    parts = [
        f"{text} {shown(short[variant.label].last('elbo', epochs), 1)}"
        + (
            f" (cosine {shown(short[variant.label].last('signal_cosine', epochs), 4)})"
            if variant is not REINMAX
            else ""
        )
        for variant, text in names
        if variant.label in short
    ]
    return Latex(f"Validation ELBO after {epochs} epochs: " + "; ".join(parts) + ".")


REPORT = Report(
    "target-propagation", "target propagation through categorical latents: what fails, what wins", PRESETS, make
)
