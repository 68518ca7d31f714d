"""What the target-propagation report says of its numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from reports import statistics
from reports.latex import Latex, escape, number
from reports.tables import by_seed
from reports.target_propagation_settings import (
    GUMBEL,
    L_DRL,
    LOCAL,
    MIRROR,
    PROBES,
    PROBES_LOCAL,
    REINMAX,
    THESIS,
    Preset,
    Variant,
)
from reports.target_propagation_tables import shown
from reports.target_propagation_tuning import Tried


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
        f"{search.first}; between the best {search.contenders}, and settings known to suit long runs, the finalists' "
        f"were chosen at full length. $\\beta$ rises within the first epoch. "
        f"Tuning used seed {search.seed}, the table others."
    )


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
    tested = any("paired" in sentence for sentence in sentences)
    return Latex("; ".join(sentences) + "." + " Each $p$ is of its own test." * tested)


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
    """Which of the goals the means over seeds reach, and by how much the others are missed."""

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
    return Latex(f"Of what this set out for, with {escape(best.label)} as the best variant: {'; '.join(sentences)}.")


def yardsticks(results: pd.DataFrame) -> Latex:
    """Whether ELBO and bound agree on Gumbel-Softmax and the mirror; if not, how that goes with their codes' KL."""
    means = {}
    for metric in ("elbo", "log_likelihood", "kl"):
        one, other = (by_seed(results, variant.label, "test", metric) for variant in (MIRROR, GUMBEL))
        seeds = one.keys() & other.keys()
        if not seeds:
            return Latex("The full preset compares them.")
        means[metric] = [sum(each[seed] for seed in seeds) / len(seeds) for each in (one, other)]
    (elbo, gumbel_elbo), (bound, gumbel_bound), (kl, gumbel_kl) = means.values()
    if (elbo > gumbel_elbo) == (bound > gumbel_bound):
        return Latex("The two yardsticks agree on which of Gumbel-Softmax and the mirror is ahead.")
    text = (
        f"The two yardsticks disagree: the bound adds {number(gumbel_bound - gumbel_elbo, 1)} nats to Gumbel-Softmax' "
        f"ELBO and {number(bound - elbo, 1)} to the mirror's. "
    )
    if gumbel_kl < kl:
        text += (
            "Gumbel-Softmax decodes relaxed samples, which tell the decoder more than the hard ones that are scored, "
            f"so its codes stay less certain (a KL of {number(gumbel_kl, 1)} nats, against {number(kl, 1)}) and its "
            "hard reconstructions vary more from sample to sample. The ELBO charges that in full; the bound, "
            "in which the best of many samples count, hardly does."
        )
    return Latex(text)


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
    return Latex(f"Validation ELBO after {epochs} epochs: " + "; ".join(parts) + ".")
