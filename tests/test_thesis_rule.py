"""At the thesis' size: its rule collapses under the full KL term, and does not under a small one."""

from __future__ import annotations

from pathlib import Path

import pytest

from discrete_vae.config import Config
from discrete_vae.data import load
from discrete_vae.schedules import Schedule
from discrete_vae.training import train


@pytest.mark.slow
def test_the_thesis_rule_collapses_at_beta_one_only(tmp_path: Path) -> None:
    betas = [Schedule(1.0), Schedule(0.05, warmup=1)]
    runs = train([Config("target-propagation", beta=beta, epochs=2) for beta in betas], tmp_path, load())
    collapsed, alive = (
        run.history().query("epoch == 2 and split == 'validation'").set_index("metric")["value"] for run in runs
    )
    assert collapsed["kl"] < 0.1
    assert collapsed["active_latents"] == 0
    assert alive["kl"] > 10
    assert alive["reconstruction_hard"] > collapsed["reconstruction_hard"] + 20
