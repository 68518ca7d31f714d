"""The gradients report on a small model: what it measures, its files, and that a second call measures nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.latents.categorical import Categorical
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from reports import __main__ as command
from reports import gradients
from reports.benchmarks.measurements import kept
from reports.gradients.settings import Preset, Row, rows
from reports.kit.context import RESULTS, ReportContext

BASE = Config("reinmax", architecture=Architecture(2, 3, (8,)), learning_rate=Schedule(1e-3), batch_size=1000)


def row(name: str, **options: object) -> Row:
    return Row(name, name, STRATEGIES[name].Options(**options))


TINY = Preset(
    epochs=(1,),
    images=4,
    draws=4000,
    fit=20,
    rows=[
        row("gumbel-softmax"),
        row("gumbel-softmax", temperature=Schedule(2.0)),
        row("rloo"),
        row("nvil", normalise=False),
        row("local-expectation"),
        row("target-propagation", inverse="mirror", geometry="second-order", warmup=50),
        row("reinmax"),
    ],
    base=BASE,
)
FILES = {
    "results.csv",
    "provenance.json",
    "references.bib",
    "gradients.tex",
    "gradients_table.tex",
    "gradients_table.md",
    "report.html",
    "gradients_plane.pdf",
    "gradients_plane.png",
}


def call(out: Path, runs: Path) -> int:
    report = dataclasses.replace(command.REPORTS["gradients"], presets={"tiny": TINY})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.REPORTS, "gradients", report)
        with pytest.raises(SystemExit) as end:
            command.main(["gradients", "--preset", "tiny", "--out", str(out), "--runs", str(runs)])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("gradients")
    assert call(folder / "out", folder / "runs") == 0
    return folder / "out", folder / "runs"


def test_every_file_is_written(made: tuple[Path, Path]) -> None:
    assert {path.name for path in made[0].iterdir()} - {"gradients.pdf"} == FILES


def test_what_is_measured_is_what_is_known(made: tuple[Path, Path]) -> None:
    """Of the draws' own noise, sqrt(variance / draws), a bias of three times as much is allowed."""
    results = pd.read_csv(made[0] / "results.csv")
    assert set(results["epoch"]) == {0, 1}
    wide = results.pivot_table(index=["epoch", "row", "parameters"], columns="metric", values="value")
    for name in ("rloo", "nvil", "local-expectation"):
        found = wide.xs(name, level="row")
        assert (found["bias"] < 3 * (found["variance"] / TINY.draws) ** 0.5 + 1e-3).all()
    flat = wide.groupby(["epoch", "row"])["bias"].agg(["min", "max"])
    for epoch in (0, 1):
        assert flat.loc[(epoch, "gumbel-softmax"), "max"] > flat.loc[(epoch, "reinmax"), "max"]
        mirror, twin = (wide.loc[epoch].xs(name, level="row") for name in ("target-propagation", "reinmax"))
        assert float(mirror["cosine"].iloc[0]) == pytest.approx(float(twin["cosine"].iloc[0]), abs=0.02)
        exact = wide.loc[epoch].xs("local-expectation", level="row")
        assert float(exact["cosine"].iloc[0]) == wide.loc[epoch]["cosine"].max()
    assert (wide["step_over_gumbel_softmax"] > 0).all()


def test_second_call_measures_nothing_and_writes_the_same_bytes(made: tuple[Path, Path], tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gradients, "measure", lambda *args: pytest.fail("measured again"))
    assert call(tmp_path, made[1]) == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


def test_the_committed_folder_is_made_from_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without strategies that came later, which would be measured."""
    monkeypatch.setattr(gradients, "measured", lambda *args: pytest.fail("measured again"))
    source = RESULTS / "gradients"
    there = set(pd.read_csv(source / "results.csv")["row"])
    whole = gradients.PRESETS["laptop"]
    preset = dataclasses.replace(whole, rows=[each for each in whole.rows if each.label in there])
    gradients.make(preset, ReportContext("gradients", "laptop", tmp_path / "out", tmp_path / "runs"))
    for name in FILES - {"gradients_plane.pdf", "gradients_plane.png", "report.html"}:
        assert (tmp_path / "out" / name).read_text() == (source / name).read_text()


@pytest.mark.parametrize("content", ["", "[" * 100_000, "5", "{}", '{"metrics": {}}', "\0"])
def test_a_damaged_measurement_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "measured.json"
    path.write_text(content)
    with pytest.raises(InputError, match="delete it to measure again") as caught:
        kept(path, "metrics", "environment")
    assert str(path) in str(caught.value)


def test_every_strategy_is_in_the_table() -> None:
    named = {each.strategy for each in rows()}
    categorical = {name for name, kind in STRATEGIES.items() if kind.latent_family is Categorical}
    assert categorical - named == {"disarm", "enumeration", "marginalisation", "vimco", "reweighted-wake-sleep"}
