"""The documentation's sentences on critics, held to the committed results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from discrete_vae.evaluation import statistics
from discrete_vae.runs import Run
from reports.critics.settings import PENALTY, PRESETS
from reports.kit.kept import KEPT, ROWS
from reports.kit.results import Metric
from tests.readme import SAID, apart, kept, results_of, seeds_of, told

MADE = ["modes", "near", "close"]
"""What is measured of generators' points."""


def test_sentences_on_critics() -> None:
    results = results_of("critics")

    values, p_values = {}, {}
    for data in ("8 Gaussians", "25 Gaussians"):
        for kind, split, metrics in (("critic alone", "centres", ["peaks", "dip"]), ("generator", "test", MADE)):
            rows = [f"{kind}, {data}, {constraint}" for constraint in ("gradient penalty", "weight clipping")]
            for metric in metrics:
                values[data, metric] = apart(results, *rows, split, metric)
                both = (Metric(split, metric).of(results, row) for row in rows)
                p_values[data, metric] = statistics.paired_p(*both)
    corrected = dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))
    assert len(values) == 10
    close, near = ("8 Gaussians", "close"), ("8 Gaussians", "near")
    told_close = f"({told(values[close], 2)} more, paired p = {p_values[close]:.1g}"
    assert f"{told_close}, but {corrected[close]:.2f} after Holm's" in SAID
    assert f"({told(values[near], 2)}, p = {p_values[near]:.1g})" in SAID
    (norm,) = seeds_of(results, "deep critic, clipping at 0.1", "validation", "gradient_norm_1").values()
    norms = results[results["row"] == "deep critic, gradient penalty"]["value"]
    assert f"stays between {norms.min():.1f} and {norms.max():.1f} through 12" in SAID
    assert f"it grows to {norm / 1e5:.1f} · 10⁵" in SAID
    peaks = seeds_of(results, "critic alone, 25 Gaussians, gradient penalty", "centres", "peaks")
    clipped = seeds_of(results, "critic alone, 25 Gaussians, weight clipping", "centres", "peaks")
    assert set(clipped.values()) == {1}
    assert f"({', '.join(f'{peaks[seed]:.0f}' for seed in (0, 1))} and {peaks[2]:.0f}; the clipped one at 1" in SAID
    dip = ("25 Gaussians", "dip")
    assert [key for key, p in corrected.items() if p < 0.05] == [dip]
    assert (
        f"({told(values[dip], 2)}, the only difference here that Holm's correction leaves, p = {corrected[dip]:.2g})"
        in SAID
    )


def test_what_is_said_of_25_gaussians_with_the_papers_widths() -> None:
    ((config, modes),), ((_, near),), ((_, close),) = (kept("critics", "test", metric) for metric in MADE)
    assert modes == 25
    assert config["data"]["dataset"] == "25-gaussians"
    assert (
        f"At the end {near:.0%} of the generated points, as many as the test has, are near and {close:.0%} within three"
        in SAID
    )
    run = PRESETS["paper"].rows()["generator", "25 Gaussians", PENALTY][0]
    assert run.to_dict() == config
    penalty, updates = run.criticism.gradient_penalty, Run(Path(), run).total_steps
    assert (
        f"batches of {run.batch_size}, a penalty weight of {penalty:g} and {updates:,} updates of the generator" in SAID
    )

    rows = pd.read_csv(KEPT / "critics" / ROWS)
    curves = rows[rows["split"] == "validation"].pivot_table("value", "epoch", "metric")
    lost = curves.index[curves["modes"] < 25].max()
    assert f"From epoch {lost + 1:.0f} of {run.epochs} on the generator reaches all centres." in SAID
    shares = [f"{curves['near'][epoch]:.0%} after {epoch}" for epoch in (10, 50, 200)]
    assert f"{shares[0]} epochs, {shares[1]}, {shares[2]}." in SAID
