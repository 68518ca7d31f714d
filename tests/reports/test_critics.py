"""The critics report on small networks: files, what is measured, and that a second call trains nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from discrete_vae.data.points import EIGHT_GAUSSIANS, TWENTY_FIVE_GAUSSIANS, Mixture
from discrete_vae.evaluation import classifier
from discrete_vae.runs import Run
from discrete_vae.training import loop as training
from reports import critics
from reports.critics.measures import dips, peaks
from reports.critics.settings import PENALTY, PRESETS, Part, Preset
from reports.kit.context import ReportContext
from reports.kit.tidy import COLUMNS

TINY = Preset(
    critics=Part((8,), epochs=1, rate=1e-3, seeds=(0, 1)),
    generators=Part((8,), epochs=1, rate=1e-3, seeds=(0, 1)),
    deep=Part((6,) * 4, epochs=1, rate=1e-3),
    images=Part((8,), epochs=2, rate=1e-3, batch=32, style=3),
    clips=(0.1, 0.01),
    digits="binarised-mnist-1000",
)
FIGURES = {
    f"critics_{name}.{kind}"
    for name in ("surfaces", "points", "layers", "samples", "curves")
    for kind in ("pdf", "png")
}
TABLES = {f"{name}.{kind}" for name in ("coverage", "differences", "distances") for kind in ("md", "tex")}
FILES = TABLES | {"results.csv", "curves.csv", "provenance.json", "references.bib", "critics.tex", "report.html"}


def call(out: Path, runs: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "updates_of", lambda images: 2)
        patch.setattr(Run, "steps_per_epoch", 4)
        critics.REPORT.make(TINY, ReportContext("critics", "tiny", out, runs))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("critics")
    call(folder / "out", folder / "runs")
    return folder / "out", folder / "runs"


def test_every_file_is_written(made: tuple[Path, Path]) -> None:
    assert {path.name for path in made[0].iterdir()} - {"critics.pdf"} == FILES | FIGURES
    papers = (made[0] / "references.bib").read_text()
    assert "gulrajani2017" in papers
    assert "arjovsky2017" in papers


def test_results_are_tidy(made: tuple[Path, Path]) -> None:
    results = pd.read_csv(made[0] / "results.csv")
    assert list(results.columns) == COLUMNS
    counts = results.groupby("metric")["value"].count()
    for metric in ("peaks", "dip", "modes", "near", "close"):
        assert counts[metric] == 2 * 2 * 2, "two data sets, two constraints, two seeds"
    assert counts["gradient_norm_5"] == 3
    images = results[results["row"].str.startswith("images")]
    assert images["row"].nunique() == 3
    assert set(images["split"]) == {"train", "validation", "test"}
    curves = pd.read_csv(made[0] / "curves.csv")
    assert curves.groupby(["row", "split"])["epoch"].apply(list).tolist() == [[1, 2]] * 6


def test_second_call_trains_nothing_and_writes_the_same_bytes(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_train_population", lambda *args: pytest.fail("trained again"))
    call(tmp_path, made[1])
    for name in FILES | FIGURES:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes(), name


@pytest.mark.parametrize("mixture", [EIGHT_GAUSSIANS, TWENTY_FIVE_GAUSSIANS])
def test_measures_of_known_surfaces(mixture: Mixture) -> None:
    """Cones at the centres have every peak and a dip of 1; a plane and a dome have none."""
    centres = torch.tensor(mixture.centres)

    def cones(points: Tensor) -> Tensor:
        return -7 * torch.cdist(points, centres).amin(-1)

    assert peaks(cones, mixture).all()
    torch.testing.assert_close(dips(cones, mixture), torch.ones(len(centres)), atol=1e-3, rtol=0)

    def plane(points: Tensor) -> Tensor:
        return 3 * points[..., 0] - points[..., 1]

    def dome(points: Tensor) -> Tensor:
        return -points.square().sum(-1)

    assert not peaks(plane, mixture).any()
    torch.testing.assert_close(dips(plane, mixture), torch.zeros(len(centres)), atol=1e-5, rtol=0)
    assert peaks(dome, mixture).sum() <= 1, "of 25 the one in the middle"
    assert (dips(dome, mixture) < 0).all()


def test_the_paper_preset_has_the_penalty_of_the_authors_code_on_points_alone() -> None:
    """And what other presets have: deep critics, and images under a penalty of weight 10."""
    paper, laptop = PRESETS["paper"].rows(), PRESETS["laptop"].rows()
    weights = {row: configs[0].criticism.gradient_penalty for row, configs in paper.items() if row[-1] == PENALTY}
    assert weights["generator", "25 Gaussians", PENALTY] == weights["critic alone", "8 Gaussians", PENALTY] == 0.1
    assert ("generator", "Swiss roll", PENALTY) in paper
    for row in (("images", "ST-Gumbel-Softmax", PENALTY), ("deep critic", PENALTY), ("deep critic", "clipping at 0.1")):
        assert paper[row] == laptop[row]
    steps = Run(Path(), paper["generator", "25 Gaussians", PENALTY][0]).total_steps
    assert math.isclose(steps, 20_000, rel_tol=0.01)


def test_the_full_preset_has_the_papers_sizes() -> None:
    full = PRESETS["full"]
    assert full.critics.hidden == (512,) * 3
    assert len(full.deep.hidden) == 12
    penalty = full.constraints[PENALTY]
    assert math.isclose(full.critics.updates, 100_000, rel_tol=0.01)
    assert (penalty.gradient_penalty, penalty.critic_steps) == (10, 5)
