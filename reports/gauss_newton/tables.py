"""The Gauss-Newton report's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reports.gauss_newton.choice import WORST, Chosen
from reports.gauss_newton.settings import Preset, Row, Trial
from reports.kit.results import Difference, Metric, cells, compared, differences_table, line, paired
from reports.kit.setting import ends
from reports.kit.table import DASH, Cell, Column, Number, Table

NAMES = {"elbo": "ELBO", "log_likelihood": "bound"}
"""Names of the yardsticks."""
TRAIN, ELBO = Metric("train", "elbo", "train", spread=False), Metric("test", "elbo", "test")
BOUND = Metric("test", "log_likelihood", "bound")
SYMBOLS = {"temperature": "τ", "beta": "β"}
OURS = ("Gauss-Newton", "TP, Gauss-Newton", "TP, layer-local")
RIVALS = ("ReinMax", "Gumbel-Softmax", "ST-Gumbel-Softmax", "RLOO (4)", "TP, second-order")
PAIRS = [(one, other) for one in OURS for other in RIVALS]
PAIRS += [(other, OURS[0]) for other in OURS[1:]]
TARGETS = (
    "TP: target propagation, but for the thesis' rule by a mirror of the decoder's weights; layer-local: with "
    "Gauss-Newton targets, and a target for every layer."
)


def named(row: Row, metric: str, epochs: int) -> str:
    """What a row of a length, with the setting that a yardstick chose, is called among the tidy rows."""
    return line(row.label, place(metric, epochs))


def place(metric: str, epochs: int) -> str:
    """A length and a yardstick, as a task of the tidy rows."""
    return f"{epochs} epochs, by {NAMES[metric]}"


def setting(row: Row, trial: Trial) -> str:
    """``0.006, λ 0.03, τ 1.3``: a dagger beside what lies at the end of what is tried, but for no weight decay."""
    rate = f"{trial.rate:g}{_mark(trial.rate, row.rates)}"
    decay = f"λ {trial.decay:g}{_mark(trial.decay, row.decays) if trial.decay else ''}"
    if trial.value is None:
        return f"{rate}, {decay}"
    start, *share = trial.value if isinstance(trial.value, tuple) else (trial.value,)
    starts = [each[0] if isinstance(each, tuple) else each for each in row.values if each is not None]
    falls = f"→{start * share[0]:g}" if share else ""
    return f"{rate}, {decay}, {SYMBOLS[row.knob]} {start:g}{falls}{_mark(start, starts)}"


def _mark(value: float, tried: Sequence[float]) -> str:
    return "†" if min(tried) < max(tried) and value in (min(tried), max(tried)) else ""


def results_table(preset: Preset, results: pd.DataFrame, metric: str) -> Table:
    """Every row with the settings that a yardstick chose, at the lengths that it chose for."""
    rows = [row for row in preset.rows if metric in row.yardsticks]
    columns, body = [Column("", text=True)], {row.label: list[Cell]([row.label]) for row in rows}
    for epochs in dict.fromkeys(epochs for row in rows for chosen, epochs in preset.places(row) if chosen == metric):
        for each in (TRAIN, ELBO, BOUND) if epochs == preset.epochs else (TRAIN, ELBO):
            columns.append(Column(each.head, f"{epochs} epochs"))
            found = cells(results, [named(row, metric, epochs) for row in rows], each)
            for row in rows:
                body[row.label].append(found[named(row, metric, epochs)])
    caption = (
        f"ELBO of training and test images, and importance-weighted bound of the test images with {preset.samples:,} "
        f"samples; settings chosen by the validation {NAMES[metric]}. Hard samples, exact KL, nats an image, "
        f"higher is better; {compared(len(preset.seeds))}. The interval is that of test images. {TARGETS}"
    )
    return Table({"elbo": "results", "log_likelihood": "bound"}[metric], caption, columns, list(body.values()))


def settings_table(preset: Preset, chosen: Mapping[Row, Chosen]) -> Table:
    """The settings that were chosen."""
    columns, body = [Column("", text=True)], {row: list[Cell]([row.label]) for row in chosen}
    for place in dict.fromkeys(place for row in chosen for place in preset.places(row)):
        columns.append(Column(f"{place[1]} epochs", f"by {NAMES[place[0]]}", text=True))
        for row, found in chosen.items():
            body[row].append(setting(row, found.settings[place].trial) if place in found.settings else DASH)
    caption = "Learning rate, weight decay λ and what else the row has, chosen on the validation images; →: falls to."
    caption += ends(cell for row in body.values() for cell in row if isinstance(cell, str))
    return Table("settings", caption, columns, list(body.values()))


def differences(preset: Preset, results: pd.DataFrame) -> list[Table]:
    """The Gauss-Newton rows less their rivals: the test ELBO of the shorter runs, and ELBO and bound of the longest."""
    known = {row.label for row in preset.rows}
    pairs = [pair for pair in PAIRS if known.issuperset(pair)]
    shorter = [Difference(ELBO, f"{epochs} epochs", place("elbo", epochs)) for epochs in preset.budgets[:-1]]
    at = place("elbo", preset.epochs)
    longest = [
        Difference(each, f"{preset.epochs} epochs, {name}", at) for each, name in ((ELBO, "ELBO"), (BOUND, "bound"))
    ]
    caption = f"in nats, settings chosen by the validation ELBO: {paired(len(preset.seeds))}"
    return [
        differences_table("differences", f"Differences of the test ELBO {caption}", results, pairs, shorter),
        differences_table("longest", f"Differences of test ELBO and bound {caption}", results, pairs, longest),
    ]


def gains(preset: Preset, chosen: Mapping[Row, Chosen]) -> dict[str, Number | str]:
    """By row: the largest gain by weight decay in the validation ELBO of the longest runs, all else equal.

    A dash where no two runs differ in that alone.
    """
    found = {}
    for row, own in chosen.items():
        here = {each.trial: each.score("elbo") for each in own.tried if each.run.config.epochs == preset.epochs}
        without = {trial: here.get(trial._replace(decay=0.0), WORST) for trial in here if trial.decay}
        added = [here[trial] - score for trial, score in without.items() if score > WORST]
        found[row.label] = Number(max(added), digits=1, signed=True) if added else DASH
    return found


def most_gained(preset: Preset, chosen: Mapping[Row, Chosen]) -> Number | str:
    """The largest gain by weight decay in a row's best validation ELBO of the shortest runs, except the thesis'."""
    added = []
    for row in (each for each in chosen if each.label in (*OURS, *RIVALS)):
        best = by_decay(chosen[row], preset.trial_epochs)
        without = best.pop(0.0, WORST)
        if without > WORST and best:
            added.append(max(best.values()) - without)
    return Number(max(added), digits=1, signed=True) if added else DASH


def by_decay(found: Chosen, epochs: int) -> dict[float, float]:
    """The best validation ELBO of a row's runs of a length, by weight decay."""
    best: dict[float, float] = {}
    for each in found.tried:
        if each.run.config.epochs == epochs:
            best[each.trial.decay] = max(each.score("elbo"), best.get(each.trial.decay, WORST))
    return best


def decays_table(preset: Preset, chosen: Mapping[Row, Chosen]) -> Table:
    """What weight decay does to every row: the best validation ELBO of each decay, short and long."""
    decays = list(dict.fromkeys(decay for row in preset.rows for decay in row.decays))
    rows = [row for row in chosen if "elbo" in row.yardsticks]
    columns, body = [Column("", text=True)], {row: list[Cell]([row.label]) for row in rows}
    for epochs in (preset.trial_epochs, preset.epochs):
        columns += [Column(f"{decay:g}", f"{epochs} epochs, weight decay") for decay in decays]
        for row in rows:
            best = by_decay(chosen[row], epochs)
            for decay in decays:
                score = best.get(decay, WORST)
                body[row].append(DASH if score == WORST else Number(score, bold=score == max(best.values())))
    caption = (
        "The best validation ELBO of every weight decay, one seed; bold: the row's best. Each is the best of several "
        f"learning rates and temperatures, in which columns differ too; after {preset.epochs} epochs there are those "
        "that the short trials led to."
    )
    return Table("decays", caption, columns, list(body.values()))
