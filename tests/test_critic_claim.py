"""The claim of Gulrajani et al. (2017), section 3: what critics of eight Gaussians see of them."""

from __future__ import annotations

from pathlib import Path

import torch

from discrete_vae.data import DataConfig, load
from discrete_vae.data.points import EIGHT_GAUSSIANS
from discrete_vae.training import train
from reports.critics_measures import dips, model, peaks
from reports.critics_settings import CLIPPING, PENALTY, PRESETS


def test_a_penalised_critic_sees_all_modes_and_a_clipped_one_does_not(tmp_path: Path) -> None:
    """A peak at every centre, against none, after as many updates of the same network on the same data, seed 0.

    Half-way between centres the penalised surface sags by at least half of what cones would, the clipped one by less
    than a tenth: it is all but flat or a ridge there.
    """
    data, device = load(DataConfig("8-gaussians")), torch.device("cpu")
    found = {}
    for name in (PENALTY, CLIPPING):
        (run,) = train(PRESETS["quick"].alone()[name, "8-gaussians"], tmp_path, data)
        critic = model(run, data, device).value
        found[name] = peaks(critic, EIGHT_GAUSSIANS), dips(critic, EIGHT_GAUSSIANS)
    (all_peaks, deep), (no_peaks, flat) = found[PENALTY], found[CLIPPING]
    assert all_peaks.sum() == 8
    assert deep.min() > 0.5
    assert no_peaks.sum() <= 1
    assert flat.max() < 0.1
