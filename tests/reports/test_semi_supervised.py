"""The report on semi-supervised classification, on small networks: selection by validation accuracy, files, bytes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae import data
from discrete_vae.data import DataConfig
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture, Supervision
from discrete_vae.training import loop as training
from reports import __main__ as command
from reports.kit.declared import Preset, Task, settings
from reports.kit.tidy import COLUMNS
from reports.semi_supervised import ALONE, BASE, REPORT, ROWS

SMALL = dataclasses.replace(
    BASE, architecture=Architecture(latents=1, hidden=(32,), activation="relu", style=2), batch_size=2000
)
WEIGHTS = [Supervision(alpha=10.0), Supervision(alpha=100.0)]
TRIED = [
    dataclasses.replace(ROWS[name], **changes)
    for name, changes in {
        ALONE: {"lengths": (1, 2)},
        "Marginalisation": {"tried": {"supervision": WEIGHTS}},
        "Gumbel-S": {"tried": {"supervision": WEIGHTS}},
    }.items()
]
TINY = Preset(1, (0, 1, 2), 3, (1e-2,), trial_seeds=(5,), rows=TRIED, splits=("validation", "test"))
FILES = {"results.csv", "tuning.csv", "provenance.json", "references.bib", "semi-supervised.tex", "report.html"} | {
    f"{name}.{kind}"
    for name, kinds in {
        "results": ("tex", "md"),
        "differences": ("tex", "md"),
        "semi_supervised_curves": ("png", "pdf"),
    }.items()
    for kind in kinds
}


@pytest.fixture(scope="module")
def few() -> data.Dataset:
    """With few images to score."""
    whole = data.load()
    train = dataclasses.replace(whole.train, pixels=whole.train.pixels[:4000], labels=whole.train.labels[:4000])
    held_out = [
        dataclasses.replace(split, pixels=split.pixels[:500], labels=split.labels[:500])
        for split in (whole.validation, whole.test)
    ]
    return data.Dataset.of("mnist-few", train, *held_out, shape=(28, 28))


def call(out: Path, runs: Path, images: data.Dataset) -> None:
    preset = dataclasses.replace(TINY, tasks=[Task(base=dataclasses.replace(SMALL, data=images.config))])
    report = dataclasses.replace(REPORT, presets={"tiny": preset})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.REPORTS, "semi-supervised", report)
        patch.setattr(data, "load", lambda *_: images)
        with pytest.raises(SystemExit) as end:
            command.main(["semi-supervised", "--preset", "tiny", "--out", str(out), "--runs", str(runs)])
    assert not end.value.code


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, few: data.Dataset) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("semi")
    call(folder / "out", folder / "runs", few)
    return folder / "out", folder / "runs"


def test_every_file_is_written(made: tuple[Path, Path]) -> None:
    assert {path.name for path in made[0].iterdir()} - {"semi-supervised.pdf"} == FILES
    cited = (made[0] / "references.bib").read_text()
    assert "kingma2014b" in cited
    assert "jang2017" in cited


def test_settings_are_chosen_by_validation_accuracy_alone(made: tuple[Path, Path]) -> None:
    results, tuning = (pd.read_csv(made[0] / name) for name in ("results.csv", "tuning.csv"))
    assert list(results.columns) == COLUMNS
    assert set(tuning["split"]) == {"validation"}
    assert set(tuning["metric"]) == {"accuracy"}
    trials = tuning.groupby("row").size().to_dict()
    alone = trials.pop("Labels alone")
    assert trials == {"Marginalisation": 2, "Gumbel-S": 2}, "one rate is no grid"
    assert alone >= 6
    assert alone % 2 == 0, "two lengths of every rate, and of those that the grid grew by"
    assert set(tuning["seed"]) == {5}, "no seed of the results"
    for row, tried in tuning.groupby("row"):
        best = tried.loc[tried["value"].idxmax()]
        (used,) = set(results[results["row"] == row]["parameters"])
        assert json.loads(used) == json.loads(best["parameters"])
    found = results[(results["split"] == "test") & (results["metric"] == "accuracy")]
    assert found.groupby("row").size().to_dict() == {"Labels alone": 3, "Marginalisation": 3, "Gumbel-S": 3}
    (line,) = (each for each in (made[0] / "results.md").read_text().splitlines() if each.startswith("| Labels alone"))
    assert line.count("–") >= 2, "it explains no pixels, and no ELBO is shown"  # noqa: RUF001


def test_printed_numbers_stand_beside_ours_and_what_was_tried_is_told(made: tuple[Path, Path]) -> None:
    table = (made[0] / "results.md").read_text()
    for told in ("−106.8", "92.4", "α 1", "epochs "):  # noqa: RUF001
        assert told in table
    document = " ".join((made[0] / "semi-supervised.tex").read_text().split())
    assert "with seed 5" in (made[0] / "results.tex").read_text()
    assert "Their length was chosen of 1, 2 epochs" in document


def test_second_call_trains_nothing_and_writes_the_same_bytes(
    made: tuple[Path, Path], few: data.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_train_population", lambda *args: pytest.fail("trained again"))
    call(tmp_path, made[1], few)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


@pytest.mark.parametrize("preset", REPORT.presets.values(), ids=list(REPORT.presets))
def test_presets_configure_every_row(preset: Preset) -> None:
    rows, (task,) = preset.rows or REPORT.rows, preset.tasks or REPORT.tasks
    for row in rows:
        tried = settings(row, task, preset)
        assert {config.strategy for config in tried} == {row.strategy} <= set(STRATEGIES)
        assert len(set(tried)) == len(tried)
        assert {config.supervision.labelled for config in tried} == {100}
    assert {row.label for row in rows} >= {ALONE, "Marginalisation", "Gumbel-S", "ST Gumbel-S"}


def test_the_quick_preset_needs_no_download() -> None:
    assert set(REPORT.data(REPORT.presets["quick"])) == {DataConfig()}


def test_the_papers_length_ends_with_the_validation_accuracy() -> None:
    """Of every row, the labels alone included; the temperature is the paper's, and no two rows are the same."""
    preset = REPORT.presets["paper"]
    (task,) = preset.tasks
    assert task.base.data == DataConfig("mnist", "dynamic")
    found = {row.label: settings(row, task, preset) for row in preset.rows}
    for config in itertools.chain(*found.values()):
        assert (config.score_metric, config.keep, config.patience) == ("accuracy", "best", task.base.patience)
        shape = config.architecture
        assert (shape.backbone, len(shape.channels), shape.hidden) == ("conv", 3, ()), "layers as many as the paper's"
    for label in ("Gumbel-S", "ST Gumbel-S"):
        temperature = found[label][0].options.temperature
        for step in (0, 1_999, 2_000, 9_000, 30_000):
            assert temperature.at(step) == pytest.approx(max(0.5, math.exp(-3e-5 * (step // 2000 * 2000))))
    assert all(config.options.moves == 0 for config in found["Gauss-Newton"]), "all moves are marginalisation"
