"""The claim of Gulrajani et al. (2017), section 3: what critics of eight Gaussians see of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from discrete_vae.data.points import EIGHT_GAUSSIANS
from reports.critics.measures import dips, model, peaks
from reports.critics.settings import CLIPPING, PENALTY, PRESETS
from reports.kit.context import ReportContext


@pytest.mark.slow
def test_a_penalised_critic_sees_all_modes_and_a_clipped_one_does_not(tmp_path: Path) -> None:
    """A peak at every centre, against none, after as many updates of the same network on the same data, seed 0.

    Half-way between centres the penalised surface sags by at least half of what cones would, the clipped one by less
    than a tenth: it is all but flat or a ridge there.
    """
    bench, found = ReportContext("critics", "quick", tmp_path / "out", tmp_path / "runs"), {}
    for name in (PENALTY, CLIPPING):
        (run,) = bench.train(PRESETS["quick"].rows()["critic alone", "8 Gaussians", name], weights=True)
        critic = model(bench, run).value
        found[name] = peaks(critic, EIGHT_GAUSSIANS), dips(critic, EIGHT_GAUSSIANS)
    (all_peaks, deep), (no_peaks, flat) = found[PENALTY], found[CLIPPING]
    assert all_peaks.sum() == 8
    assert deep.min() > 0.5
    assert no_peaks.sum() <= 1
    assert flat.max() < 0.1
