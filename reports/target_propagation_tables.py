"""The target-propagation report's table, and the finalists' for the README."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.kit.latex import Latex, number, symbols
from reports.kit.tables import MISSING, Panel, Row, by_seed, mean_ci, p_text, table
from reports.target_propagation_settings import (
    GUMBEL,
    LOCAL,
    MIRROR,
    REINMAX,
    SHOWN,
    STRAIGHT_THROUGH,
    THESIS,
    Preset,
    Search,
    Trial,
    Value,
    Variant,
)
from reports.target_propagation_tuning import Tried


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


def main_table(
    results: pd.DataFrame, settings: Mapping[str, Latex], short: Mapping[str, Tried], preset: Preset, note: Latex
) -> Latex:
    """The finalists, and below them the best short run of every variant."""
    columns = [("train", "elbo"), ("validation", "elbo"), ("test", "elbo"), ("test", "log_likelihood"), ("test", "kl")]

    def column(split: str, metric: str) -> dict[str, Latex]:
        values = {row: by_seed(results, row, split, metric) for row in settings}
        if metric == "kl":  # neither better nor worse, and no room
            return {
                row: number(statistics.interval(list(found.values())).mean) for row, found in values.items() if found
            }
        best = statistics.winner(values)
        return {row: mean_ci(values[row], row == best) for row in settings}

    made = [column(*each) for each in columns]
    body: list[Row | Latex] = [
        [symbols(row), text, *(each.get(row, MISSING) for each in made)] for row, text in settings.items()
    ]
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
        f"seed; {preset.search.epochs} epochs for the best {preset.search.keep}): validation ELBO and KL in nats, and "
        "of its signal after the last "
        r"epoch the cosine and relative length to minus the true gradient in the sample, the share of images with "
        r"$\mathrm{tr}(J_r J_D) > 0$, the share of targets outside the simplex, and $\|E_z[\hat\pi] - \pi\|$."
        if short and preset.search
        else ""
    )
    caption = Latex(
        rf"Hard samples, exact KL, nats an image, higher is better. Mean $\pm$ 95\% interval over seeds; {bold}. "
        f"The test ELBO and the importance-weighted (IW) bound take {preset.samples:,} samples. TP: target "
        f"propagation.{lower}"
    )
    return table("target_propagation", caption, panels, size="scriptsize", separation="3pt")


PAIRS = tuple((one, other) for one in (MIRROR, LOCAL) for other in (GUMBEL, STRAIGHT_THROUGH, REINMAX, THESIS))
"""Both variants of target propagation by a mirror, each less every tuned rival."""
YARDSTICKS = {"elbo": "test ELBO", "log_likelihood": "test IW bound"}


@dataclass(frozen=True)
class Relation:
    """By how much one row is ahead of another, over the seeds of both, and the test of it."""

    first: statistics.Seeds
    second: statistics.Seeds
    p: float
    """Of the paired t-test by itself; 1 for one seed."""
    corrected: float
    """By Holm's method, together with the other pairs' tests by the same metric."""

    @property
    def difference(self) -> statistics.Seeds:
        """Nats by seed."""
        return {seed: self.first[seed] - self.second[seed] for seed in self.first.keys() & self.second.keys()}

    @property
    def tested(self) -> bool:
        """Whether there are enough seeds."""
        return len(self.difference) >= statistics.MINIMUM_SEEDS


def relations(results: pd.DataFrame, metric: str) -> dict[tuple[Variant, Variant], Relation]:
    """Of the pairs whose rows are there, on the test images."""
    found = {
        pair: tuple(by_seed(results, variant.label, "test", metric) for variant in pair)
        for pair in PAIRS
        if all(by_seed(results, variant.label, "test", metric) for variant in pair)
    }
    p_values = [statistics.paired_p(first, second) for first, second in found.values()]
    return {
        pair: Relation(first, second, p, corrected)
        for (pair, (first, second)), p, corrected in zip(
            found.items(), p_values, statistics.holm(p_values), strict=True
        )
    }


def relations_table(results: pd.DataFrame) -> Latex:
    """Every pair by both yardsticks."""
    found = {metric: relations(results, metric) for metric in YARDSTICKS}
    body: list[Row | Latex] = []
    for pair in PAIRS:
        if pair not in found["elbo"]:
            continue
        first, second = pair
        cells: list[object] = [symbols(f"{first.label} less {second.label}")]
        for metric in YARDSTICKS:
            known = found[metric].get(pair)
            cells.append(mean_ci(known.difference) if known else MISSING)
            cells += [p_text(known.p), p_text(known.corrected)] if known and known.tested else [MISSING, MISSING]
        body.append(cells)
    heads = " & ".join(rf"\multicolumn{{3}}{{c}}{{{name}}}" for name in YARDSTICKS.values())
    panel = Panel(
        Latex("lrrrrrr"),
        [
            Latex(rf" & {heads} \\"),
            Latex(r"\cmidrule(lr){2-4} \cmidrule(l){5-7}"),
            Latex(r"Nats, positive: the first is ahead & difference & $p$ & Holm & difference & $p$ & Holm \\"),
        ],
        body,
    )
    caption = Latex(
        r"Differences on the test images: mean $\pm$ 95\% interval over seeds, paired; $p$ of the paired $t$-test by "
        "itself, and after Holm's correction for all tests in the column. "
        f"Fewer than {statistics.MINIMUM_SEEDS} seeds are not tested."
    )
    return table("target_propagation_relations", caption, [panel], size="scriptsize", separation="3pt")


def variants_panel(short: Mapping[str, Tried], search: Search) -> Panel:
    """The best short run of every variant with its diagnostics."""
    ordered = sorted(short.items(), key=lambda item: item[1].last("elbo"), reverse=True)
    rows: list[Row | Latex] = []
    for label, tried in ordered:
        values = {metric: tried.last(metric) for metric in SHOWN}
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
        columns = [list(by_seed(results, row, *each).values()) for each in heads.values()]
        cells = [statistics.interval(values).text(2) if values else "" for values in columns]
        plain = text.replace(r"$\tau$", "tau").replace(r"$\beta$", "beta")
        lines.append(f"| {row} | {plain} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
