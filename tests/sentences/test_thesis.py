"""The documentation's sentences on the thesis, held to the committed results."""

from __future__ import annotations

from discrete_vae.evaluation import statistics
from reports.kit.results import Metric
from reports.thesis import from_print
from reports.thesis.settings import PRESETS, PRINTED
from tests.readme import SAID, apart, mean, results_of, told


def test_sentences_on_the_thesis() -> None:
    results = results_of("thesis")
    rows = half, tenth, rule, straight, learned = list(PRESETS["full"].table)
    gaps = {row: abs(from_print(results, row, row).value) for row in PRINTED}  # type: ignore[union-attr]
    assert max(gaps[half], gaps[rule]) < 1.1
    assert f"misses the print by {gaps[tenth]:.1f} nats" in SAID
    kinds = {half: "relaxed", tenth: "relaxed", rule: "hard"}
    off = [mean(results, row, "train", f"reconstruction_{kind}") - PRINTED[row]["train"] for row, kind in kinds.items()]
    assert f"the three are {off[0]:.1f} nats above, {-off[1]:.1f} below and {off[2]:.1f} above the print" in SAID
    decayed = [
        Metric("validation", "reconstruction_relaxed").of(results, f"Sensitivity, {half}, 50 epochs: {reading}")[0]
        - PRINTED[half]["validation"]
        for reading in ("tau and lr x 0.97 an epoch", "tau and lr as Jang et al.'s notebook")
    ]
    assert f"ends {-decayed[0]:.1f} nats below the print and {decayed[1]:.1f} above it" in SAID
    assert f"{told(apart(results, rule, half, 'validation', 'reconstruction_hard'))} nats worse than" in SAID
    assert f"is {told(apart(results, half, rule, 'validation', 'elbo'))} nats ahead of the rule" in SAID
    assert f"is {told(apart(results, learned, rule, 'validation', 'elbo'))} nats ahead of the rule" in SAID
    assert f"{told(apart(results, straight, half, 'test', 'elbo'))} nats ahead of Gumbel-Softmax" in SAID
    assert f"{told(apart(results, half, straight, 'test', 'log_likelihood'))} nats ahead of it" in SAID
    assert statistics.winner({row: Metric("test", "elbo").of(results, row) for row in rows}) == straight

    def line(row: str, split: str, metric: str) -> float:
        (value,) = Metric(split, metric).of(results, f"Sensitivity, {rule}, {row}").values()
        return value

    none = "10 epochs: beta = 0, y = pi, f(x')"
    training, validation = (line(none, split, "reconstruction_hard") for split in ("train", "validation"))
    assert f"(training {training:.1f}, validation {validation:.1f})" in SAID
    assert f"add up to {line(none, 'validation', 'code_entropy'):.0f} of 69 nats" in SAID
    long = {"beta from 0 to 0.05 over 2% of the run": "f(x')", "beta = 0.05": "f(x')"}
    ends = [
        line(f"50 epochs: {beta}, y = pi, {shown}", "validation", "reconstruction_hard") for beta, shown in long.items()
    ]
    sample = line("50 epochs: beta = 0.05, y = pi, f(sample of x')", "validation", "reconstruction_hard")
    above, below, sampled = (value - PRINTED[rule]["validation"] for value in (*ends, sample))
    assert f"ends {above:.1f} nat above the print, a constant 0.05 ends {-below:.1f} below it" in SAID
    assert f"ends {sampled:.1f} above it" in SAID
