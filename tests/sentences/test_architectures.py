"""The documentation's sentences on random architectures, held to the committed results."""

from __future__ import annotations

import statistics

from discrete_vae.evaluation.statistics import holm
from reports.architectures import parts
from reports.architectures.settings import PRESETS
from reports.critics.settings import CLIPPING, PENALTY
from tests.readme import SAID, results_of


def test_sentences_on_random_architectures() -> None:
    preset, results = PRESETS["laptop"], results_of("architectures")
    shapes = {trial: config.architecture for (name, trial), config in preset.plan().items() if name == PENALTY}
    found = parts.scores(results, sorted(shapes))
    assert f"drew {preset.trials} architectures of generator and critic, {len(found)} of them different" in SAID
    assert f"The test digits have {parts.real(results):.2f}." in SAID
    reached = {name: int((found[name] >= 2).sum()) for name in (PENALTY, CLIPPING)}
    said = f"{reached[PENALTY]} of {len(found)} have a score of at least 2 under the penalty, {reached[CLIPPING]} under"
    assert said in SAID
    clipping, penalty, *_ = parts.counts(found, 2.0)
    p_values = [parts.p_of(found, threshold) for threshold in parts.THRESHOLDS]
    assert parts.THRESHOLDS[0] == 2
    assert f"{penalty} do so under the penalty alone and {clipping} under clipping alone" in SAID
    assert (
        f"(p = {p_values[0]:.2g}, and {holm(p_values)[0]:.2g} after Holm's correction for the five thresholds)" in SAID
    )
    assert f"the penalised score is the higher one in {(found[PENALTY] > found[CLIPPING]).sum()}." in SAID
    assert f"The highest are {found[PENALTY].max():.2f} and {found[CLIPPING].max():.2f}." in SAID
    assert found.to_numpy().max() < 7
    assert found.to_numpy().min() > parts.FAILED, "no run failed"

    def median(depth: int, name: str) -> float:
        return statistics.median(found[name][[trial for trial in found.index if len(shapes[trial].hidden) == depth]])

    depths = {len(shape.hidden) for shape in shapes.values()}
    assert f"a median of {median(8, PENALTY):.2f}, the seven with one {median(1, PENALTY):.2f}." in SAID
    assert max(median(depth, CLIPPING) for depth in depths) < 1.6
