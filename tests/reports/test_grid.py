"""The reports of other papers' tables, on small networks: selection, files, and the printed numbers beside ours."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.data import DataConfig
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from reports import __main__ as command
from reports import jang, reinmax
from reports.grid import Cell, Preset, Row
from reports.kit.search import STEPS
from reports.kit.tables import COLUMNS

SBN = Config(
    architecture=Architecture(3, 3, (), layers=2), task="structured-prediction", optimiser="sgd", batch_size=2000
)
VAE = Config(architecture=Architecture(3, 3, ()), optimiser="sgd", batch_size=2000)
TINY = Preset(
    cells=[Cell("SBN categorical", SBN, {"temperature": Schedule(1.0)}), Cell("VAE categorical", VAE)],
    rows=[
        Row("SF", "score-function"),
        Row("Gumbel-S", "gumbel-softmax", [{"temperature": Schedule(0.5)}, {"temperature": Schedule(0.9)}]),
    ],
    rates=(1e-3, 3e-3),
    trial_epochs=1,
    epochs=2,
    seeds=(0, 1, 2),
    samples=3,
)
FILES = {"results.csv", "tuning.csv", "provenance.json", "references.bib", "jang.md", "jang.tex"} | {
    "jang_table.tex",
    "jang_relations.tex",
}


def call(preset: Preset, out: Path, runs: Path) -> int:
    report = dataclasses.replace(command.REPORTS["jang"], presets={"tiny": preset})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.REPORTS, "jang", report)
        with pytest.raises(SystemExit) as end:
            command.main(["jang", "--preset", "tiny", "--out", str(out), "--runs", str(runs)])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("grid")
    assert call(TINY, folder / "out", folder / "runs") == 0
    return folder / "out", folder / "runs"


def test_every_file_is_written(made: tuple[Path, Path]) -> None:
    names = {path.name for path in made[0].iterdir()}
    assert names - {"jang.pdf"} == FILES
    assert "jang2017" in (made[0] / "references.bib").read_text()


def _setting(text: str) -> str:
    """Parameters but for the length."""
    return json.dumps({name: value for name, value in json.loads(text).items() if name != "epochs"})


def test_the_best_setting_by_validation_is_evaluated(made: tuple[Path, Path]) -> None:
    results, tuning = (pd.read_csv(made[0] / name) for name in ("results.csv", "tuning.csv"))
    assert list(results.columns) == COLUMNS
    assert set(results["row"]) == {
        f"{row}, {cell}" for row in ("SF", "Gumbel-S") for cell in ("SBN categorical", "VAE categorical")
    }
    trials = tuning.groupby("row")["parameters"].apply(lambda texts: [json.loads(text) for text in texts]).to_dict()
    for row, each in trials.items():
        # The temperature is fixed in structured prediction, so there is one setting of it.
        temperatures = {known["options"].get("temperature") for known in each}
        assert (len(temperatures) > 1) == (row == "Gumbel-S, VAE categorical")
        rates = {float(known["learning_rate"]) for known in each}
        assert rates >= {1e-3, 3e-3}
        (best,) = set(results[results["row"] == row]["parameters"])
        chosen, ends = float(json.loads(best)["learning_rate"]), (min(rates), max(rates))
        assert chosen not in ends or len(rates) >= 2 + STEPS, "the grid has grown until the best lies inside"
    for row, group in tuning.groupby("row"):
        assert set(group["seed"]) == {TINY.trial_seed}
        (best,) = set(results[results["row"] == row]["parameters"])
        tried = dict(zip(group["parameters"].map(_setting), group["value"], strict=True))
        assert _setting(best) == max(tried, key=tried.__getitem__)
        assert json.loads(best)["epochs"] == 2
    found = results[(results["split"] == "test") & (results["metric"] == "log_likelihood")]
    assert len(found) == 4 * 3


def test_printed_numbers_stand_beside_ours(made: tuple[Path, Path]) -> None:
    table, text = (made[0] / "jang_table.tex").read_text(), (made[0] / "jang.md").read_text()
    assert "$73.1$" in table
    assert "$101.5$" in table
    assert "(59.0)" in text
    assert "after 2 epochs" in table
    assert "over 3 seeds" in table


def test_second_call_trains_nothing_and_writes_the_same_bytes(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(training, "_train_population", lambda *args: pytest.fail("trained again"))
    assert call(TINY, tmp_path, made[1]) == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (made[0] / name).read_bytes()


def test_failed_runs_are_told(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A seed of one row, and every trial of another: no mean of the seeds that are left passes for that of all."""
    runs = tmp_path / "runs"
    shutil.copytree(made[1], runs)
    results, trials = (pd.read_csv(made[0] / name) for name in ("results.csv", "tuning.csv"))
    one = results[(results["row"] == "Gumbel-S, VAE categorical") & (results["seed"] == 1)]["run"].iloc[0]
    rest = set(trials[trials["row"] == "SF, SBN categorical"]["run"])
    rest |= set(results[results["row"] == "SF, SBN categorical"]["run"])
    for name in {one, *rest}:
        (runs / name / "failure.json").write_text('{"step": 3, "epoch": 1, "message": "not finite"}')
    assert call(TINY, tmp_path / "out", runs) == 0
    table = (tmp_path / "out" / "jang_table.tex").read_text()
    assert "(2/3)" in table
    assert "failed" in table
    after = pd.read_csv(tmp_path / "out" / "results.csv")
    assert not set(after["run"]) & {one, *rest}


@pytest.mark.parametrize("module", [jang, reinmax])
def test_presets_configure_every_strategy(module) -> None:
    for preset in module.PRESETS.values():
        labels = [row.label for row in preset.rows]
        assert len(set(labels)) == len(labels)
        for cell in preset.cells:
            for row in preset.rows:
                tried = cell.configs(row, preset.rates, preset.trial_epochs, preset.trial_seed)
                assert {config.strategy for config in tried} == {row.strategy} <= set(STRATEGIES)
    rows, columns = ({key[i] for key in module.PAPER.published} for i in (0, 1))
    full = module.PRESETS["full"]
    assert rows <= {row.label for row in full.rows}
    assert columns == {cell.label for cell in full.cells}


def test_quick_presets_need_no_download() -> None:
    for module in (jang, reinmax):
        assert {cell.base.data for cell in module.PRESETS["quick"].cells} == {DataConfig()}


def test_the_papers_temperature() -> None:
    schedule = jang.annealed(1e-4, 1000)
    assert schedule.minimum == 0.5
    assert schedule.decay == pytest.approx(0.904837, abs=1e-6)
