"""What the target-propagation report says of its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd

from discrete_vae.evaluation import statistics
from reports.kit.latex import Latex, escape, number, symbols
from reports.kit.search import edges, seeds_told
from reports.kit.tables import by_seed
from reports.target_propagation_settings import (
    GUMBEL,
    L_DRL,
    LOCAL,
    MIRROR,
    PROBES,
    PROBES_LOCAL,
    REINMAX,
    Preset,
    Variant,
)
from reports.target_propagation_tables import YARDSTICKS, relations, shown
from reports.target_propagation_tuning import Tried


def length(preset: Preset) -> Latex:
    """How long was trained."""
    seeds = f"{len(preset.seeds)} fresh seeds" if preset.search else f"{len(preset.seeds)} seeds"
    return Latex(f"{preset.epochs} epochs, {seeds}.")


def budget(preset: Preset, results: pd.DataFrame, trials: pd.DataFrame | None) -> Latex:
    """How the settings were found, and which of them lie at the end of what was tried."""
    search = preset.search
    if search is None or trials is None:
        return Latex("The settings are set beforehand; nothing is tuned here.")
    first = search.variants[0]
    told = Latex(
        f"Every variant was tuned on the validation ELBO with the same budget: {len(first.trials)} trials of "
        f"{search.epochs} epochs ({len(first.rates)} learning rates, falling to a tenth over the run, times "
        f"{len(first.values)} values of the variant's own hyper-parameter), of which all but {search.keep} stopped "
        f"after {search.first}. A finalist's setting was then chosen at full length, between its best "
        f"{search.contenders} and settings known to suit long runs{known(preset)}. $\\beta$ rises within the first "
        "epoch. "
    )
    ends = edges(trials[trials["row"].isin([variant.label for variant in preset.finalists])], results)
    return Latex(f"{told}{escape(seeds_told(trials, results))} {symbols(ends)}")


def known(preset: Preset) -> str:
    """Which finalists had settings from elsewhere, and how many."""
    counts = [f"{variant.label} {len(variant.known)}" for variant in preset.finalists if variant.known]
    none = [variant.label for variant in preset.finalists if not variant.known]
    if not counts:
        return ""
    return f" ({', '.join(counts)}" + (f"; none for {'; '.join(none)})" if none else ")")


def comparison(results: pd.DataFrame) -> Latex:
    """What the finalists' differences are, in words: who is ahead of whom beyond the seeds' spread."""
    sentences = []
    for metric, yardstick in YARDSTICKS.items():
        found = {pair: each for pair, each in relations(results, metric).items() if each.tested}
        told = []
        for subject, name in SHORT.items():
            sides: dict[str, list[str]] = {}
            for (first, second), each in found.items():
                if first is subject:
                    mean = statistics.interval(list(each.difference.values())).mean
                    sure = "ahead of" if mean > 0 else "behind"
                    side = sure if each.corrected < statistics.LEVEL else "not told apart from"
                    sides.setdefault(side, []).append(f"{second.label} ({number(mean)})")
            if sides:
                parts = [f"{side} {', '.join(rows)}" for side, rows in sides.items()]
                told.append(f"{name} is {'; it is '.join(parts)}")
        if told:
            sentences.append(f"On the {yardstick}, {'. '.join([told[0], *map(_capital, told[1:])])}.")
    if not sentences:
        return Latex("Too few seeds, or a row that the comparison needs did not finish: no difference is tested.")
    return Latex(
        f"{' '.join(sentences)} Ahead and behind: $p < {statistics.LEVEL:g}$ in the paired test over seeds after "
        r"Holm's correction (Table~\ref{tab:target_propagation_relations})."
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


SHORT = {MIRROR: "the mirror", LOCAL: "layer-local training"}


GOALS = (
    (None, GUMBEL, "elbo", 2.0, "2 nats ahead of Gumbel-Softmax on the ELBO"),
    (None, GUMBEL, "log_likelihood", 0.0, "ahead of it on the bound"),
    (LOCAL, GUMBEL, "elbo", -3.0, "layer-local training within 3 nats of it"),
    (None, REINMAX, "elbo", -0.5, "within half a nat of ReinMax"),
    (None, REINMAX, "elbo", 0.0, "ahead of it"),
)
"""What this experiment set out to reach: a variant (None for the best one of target propagation by the validation ELBO)
less another by a test metric, at least so many nats."""


def goals(results: pd.DataFrame) -> Latex:
    """Which of the goals the means over seeds reach, and by how much the others are missed; a mean is no test."""

    def validation(variant: Variant) -> float:
        values = by_seed(results, variant.label, "validation", "elbo")
        return sum(values.values()) / len(values) if values else float("-inf")

    best, sentences = max((MIRROR, LOCAL), key=validation), []
    for first, second, metric, least, text in GOALS:
        one, other = (by_seed(results, variant.label, "test", metric) for variant in (first or best, second))
        if seeds := one.keys() & other.keys():
            excess = sum(one[seed] - other[seed] for seed in seeds) / len(seeds) - least
            sentences.append(f"{text}: {'reached' if excess >= 0 else f'missed by {-excess:.2f}'}")
    if not sentences:
        return Latex("")
    return Latex(
        f"What this experiment set out for, by the means over seeds, with {escape(best.label)} as the best variant by "
        f"the validation ELBO: {'; '.join(sentences)}."
    )


def yardsticks(results: pd.DataFrame) -> Latex:
    """What the bound adds to each row's ELBO, beside the KL: whether the two yardsticks order the rows alike."""
    rows = list(dict.fromkeys(results["row"]))
    metrics = ("elbo", "log_likelihood", "kl")
    means = {
        row: [statistics.interval(list(found.values())).mean for found in each]
        for row in rows
        if all(each := [by_seed(results, row, "test", metric) for metric in metrics])
    }
    if len(means) < 2:
        return Latex("The full preset compares them.")
    orders = [sorted(means, key=lambda row: -means[row][i]) for i in range(2)]
    alike = "The two yardsticks give the means the same order."
    if orders[0] != orders[1]:
        first, second = ("; ".join(each) for each in orders)
        alike = f"The two yardsticks order the means differently. By the ELBO, best first: {first}. By the bound: "
        alike += f"{second}."
    added = "; ".join(
        f"{row} {number(bound - elbo, 1)} (KL {number(kl, 1)})"
        for row, (elbo, bound, kl) in sorted(means.items(), key=lambda item: item[1][0] - item[1][1])
    )
    rule = (
        "In these rows a smaller KL goes with a larger addition"
        if monotone(means)
        else "A smaller KL does not go with a larger addition throughout"
    )
    return Latex(
        f"{symbols(alike)} Nats that the bound adds to the ELBO: {added}. {rule}; no experiment here shows why the "
        "yardsticks differ."
    )


def monotone(means: Mapping[str, Sequence[float]]) -> bool:
    """Whether rows with a smaller KL have a larger difference between bound and ELBO, throughout."""
    ordered = sorted((kl, bound - elbo) for elbo, bound, kl in means.values())
    return all(one[1] >= other[1] for one, other in itertools.pairwise(ordered))


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
            variant: short[variant.label].last("elbo")
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
    return Latex(
        f"Validation ELBO after {epochs} epochs by geometry, the best trial of each, one seed: {'; '.join(sentences)}."
    )


def lost(short: Mapping[str, Tried], preset: Preset) -> Latex:
    """Where nats are lost between the true gradient and learned feedback, by the short runs."""
    if preset.search is None or not short:
        return Latex("The full preset compares all variants.")
    epochs = preset.search.epochs
    names = [
        (REINMAX, "the true gradient (ReinMax)"),
        (MIRROR, "a mirror that takes its layer's steps"),
        (LOCAL, "the same, layer-local"),
        (PROBES, "probes alone"),
        (PROBES_LOCAL, "the same, layer-local"),
        (L_DRL, "L-DRL"),
    ]
    parts = [
        f"{text} {shown(short[variant.label].last('elbo'), 1)}"
        + (f" (cosine {shown(short[variant.label].last('signal_cosine'), 4)})" if variant is not REINMAX else "")
        for variant, text in names
        if variant.label in short
    ]
    return Latex(f"Validation ELBO after {epochs} epochs, the best trial of each, one seed: " + "; ".join(parts) + ".")
