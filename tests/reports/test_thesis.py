"""The whole thesis report on a small network, and what its second call does."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.evaluation import yardstick as evaluation
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from reports import __main__ as command
from reports import thesis
from reports.kit import latex
from reports.kit.tidy import COLUMNS
from reports.thesis.settings import (
    GUMBEL_HALF,
    PRESETS,
    PRINTED,
    QUICK_SENSITIVITY,
    STRAIGHT_THROUGH,
    TARGET_PROPAGATION,
    Preset,
)

FEW = {"architecture": Architecture(4, 3, (16,)), "batch_size": 40, "data": DataConfig("binarised-mnist-1000")}
BASE = Config(**FEW, learning_rate=Schedule(3e-3))
LINES = [dataclasses.replace(line, config=dataclasses.replace(line.config, **FEW)) for line in QUICK_SENSITIVITY[:2]]
TINY = Preset(epochs=1, seeds=(0, 1), samples=2, sensitivity=LINES, base=BASE)
TYPESET = True
FILES = {
    "results.csv",
    "learning_curves.csv",
    "provenance.json",
    "references.bib",
    *(f"{name}.{suffix}" for name in ("table_5_1", "bounds", "sensitivity") for suffix in ("tex", "md")),
    "thesis.tex",
    "report.html",
    *(
        f"{name}.{suffix}"
        for name in ("figure_2_3", "figure_4_6", "figure_5_1", "figure_5_2", "learning_curves")
        for suffix in ("pdf", "png")
    ),
}


def call(out: Path, runs: Path, preset: Preset = TINY) -> int:
    """``python -m reports thesis`` with a preset of its own; the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.REPORTS, "thesis", dataclasses.replace(thesis.REPORT, presets={"tiny": preset}))
        with pytest.raises(SystemExit) as end:
            command.main(["thesis", "--preset", "tiny", "--out", str(out), "--runs", str(runs)])
    assert isinstance(end.value.code, int)
    return end.value.code


def refuse(*arguments: object, **options: object) -> None:
    raise AssertionError("nothing is trained or evaluated here")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first call's ``out`` and ``runs``, and what it ``said``; it finds no LaTeX."""
    folder = tmp_path_factory.mktemp("thesis")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr(latex, "engine", lambda: None)
        assert call(folder / "out", folder / "runs") == 0
    (folder / "said").write_text(said.getvalue())
    return folder


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where anything is trained or evaluated."""
    monkeypatch.setattr(training, "_train_population", refuse)
    monkeypatch.setattr(evaluation, "evaluate_population", refuse)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_writes_everything(made: Path) -> None:
    assert set(contents(made / "out")) == FILES


def test_without_latex_it_says_what_to_install(made: Path) -> None:
    assert "install a LaTeX engine" in (made / "said").read_text()


@pytest.mark.usefixtures("untrained")
def test_a_second_call_trains_nothing_and_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    with_pdf = latex.engine() is not None
    assert call(tmp_path, made / "runs") == 0
    first = contents(tmp_path)
    assert {name: first[name] for name in FILES} == contents(made / "out")
    assert set(first) == FILES | ({"thesis.pdf"} if with_pdf else set())
    if not with_pdf:
        pytest.skip("no LaTeX engine is installed: the PDF of the document was not compared")
    assert call(tmp_path, made / "runs") == 0
    assert contents(tmp_path) == first


def test_results_are_tidy(made: Path) -> None:
    results = pd.read_csv(made / "out" / "results.csv")
    assert list(results.columns) == COLUMNS
    assert (results["report"] == "thesis").all()
    for text in results["parameters"].unique():
        assert isinstance(json.loads(text), dict)
    published = results["run"].isna()
    assert published.sum() == 6
    assert results[published]["seed"].isna().all()
    assert set(results["split"]) == {"train", "validation", "test"}
    assert results["value"].notna().all()
    assert not results.duplicated(["row", "run", "split", "metric"]).any()
    # The test images have the importance-weighted bound, and the relaxed reconstruction is Gumbel-Softmax's alone.
    assert set(results[results["metric"] == "log_likelihood"]["split"]) == {"test"}
    assert set(results[results["metric"] == "reconstruction_relaxed"]["strategy"]) == {"gumbel-softmax"}
    for run in results["run"].dropna().unique():
        assert (made / "runs" / run / "config.json").exists()


def test_results_are_the_runs_own(made: Path) -> None:
    results = pd.read_csv(made / "out" / "results.csv")
    row = results[
        (results["split"] == "test") & (results["metric"] == "elbo") & (results["row"] == STRAIGHT_THROUGH)
    ].iloc[0]
    stored = pd.read_csv(made / "runs" / row["run"] / "evaluation.csv")
    assert row["value"] == stored[(stored["split"] == "test") & (stored["metric"] == "elbo")]["value"].item()


def test_seeds_are_whole_numbers(made: Path) -> None:
    raw = pd.read_csv(io.StringIO((made / "out" / "results.csv").read_text()), dtype=str)
    assert set(raw["seed"].dropna()) == {"0", "1"}


def test_tables_have_the_printed_numbers_and_all_rows(made: Path) -> None:
    text = (made / "out" / "table_5_1.tex").read_text()
    for printed in PRINTED.values():
        assert f" & {printed['validation']:.2f} & " in text
    bounds = (made / "out" / "bounds.tex").read_text()
    for table, widths in ((text, 6), (bounds, 4)):
        lines = [line for line in table.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
        assert len(lines) == 1 + len(TINY.table)
        assert {line.count("&") for line in lines} == {widths}
        assert r"\bfseries" not in table  # two seeds support no winner
    assert "+-" in bounds
    lines = [line for line in text.splitlines() if line.startswith("Target propagation")]
    assert all(line.count("textendash") >= 2 for line in lines)  # no relaxed samples


def test_every_caption_says_how_long_was_trained(made: Path) -> None:
    document = (made / "out" / "thesis.tex").read_text()
    for text in (document, *((made / "out" / f"{name}.tex").read_text() for name in ("table_5_1", "bounds"))):
        captions = [line for line in text.splitlines() if line.startswith(r"\caption")]
        measured = [line for line in captions if "Figure 2.3" not in line and "Figure 4.6" not in line]
        assert measured
        assert all(r"\textbf{Trained for 1 epoch only}" in line for line in measured)
    assert "not comparable" in (made / "out" / "sensitivity.tex").read_text()


def test_sensitivity_holds_each_line_against_its_print(made: Path) -> None:
    results = pd.read_csv(made / "out" / "results.csv")
    text = (made / "out" / "sensitivity.tex").read_text()
    for line in LINES:
        away = thesis.from_print(results, line.printed, line.name)
        assert f" & {away.texts()[0]} " in text
    values = results[results["row"] == LINES[1].name].set_index(["split", "metric"])["value"]
    expected = values["validation", "reconstruction_hard"] - PRINTED[TARGET_PROPAGATION]["validation"]
    assert thesis.from_print(results, TARGET_PROPAGATION, LINES[1].name).value == pytest.approx(expected)


def test_provenance_is_the_runs_and_not_this_call(made: Path) -> None:
    text = (made / "out" / "provenance.json").read_text()
    found = json.loads(text)
    assert found["command"] == "python -m reports thesis --preset tiny"
    assert found["seeds"] == [0, 1]
    assert found["training_seconds"] > 0
    assert len(found["runs"]) == 2 * len(TINY.table) + len(LINES)
    assert {run["run"] for run in found["runs"]} == {path.name for path in (made / "runs").iterdir()}
    assert str(made) not in text
    assert sum(run["training_seconds"] for run in found["runs"]) == pytest.approx(found["training_seconds"], abs=0.2)


@pytest.mark.usefixtures("untrained")
def test_a_run_that_failed_is_left_out_and_named(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latex, "engine", lambda: None)
    shutil.copytree(made / "runs", tmp_path / "runs")
    broken = TINY.table[TARGET_PROPAGATION][0]
    (tmp_path / "runs" / broken.name / "failure.json").write_text('{"step": 3, "epoch": 1, "message": "not finite"}')
    assert call(tmp_path / "out", tmp_path / "runs") == 0
    table = (tmp_path / "out" / "table_5_1.tex").read_text()
    assert f"Left out, for a loss that was not finite: {broken.name} (seed 0)" in table
    assert broken.name not in (tmp_path / "out" / "results.csv").read_text()
    assert "figure_5_1" not in (tmp_path / "out" / "thesis.tex").read_text()


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_configuration_survives_its_own_file(preset: Preset) -> None:
    configs = [config for group in preset.table.values() for config in group]
    for config in [*configs, *(line.config for line in preset.sensitivity)]:
        assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_presets_share_the_thesis_settings() -> None:
    full = PRESETS["full"]
    configs = [config for group in full.table.values() for config in group]
    assert {config.epochs for config in configs} == {50}
    assert {config.batch_size for config in configs} == {100}
    assert {str(config.learning_rate) for config in configs} == {"0.0003"}
    assert {config.architecture for config in configs} == {Architecture()}
    assert len(full.seeds) >= 3
    assert len({config.identity for config in configs}) == len(configs)
    assert GUMBEL_HALF in full.table


@pytest.mark.parametrize("preset", PRESETS)
def test_each_line_has_a_name_of_its_own(preset: str) -> None:
    """Lines of one name would be read as the seeds of one."""
    names = [line.name for line in PRESETS[preset].sensitivity]
    assert len(set(names)) == len(names)
