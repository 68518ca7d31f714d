"""The report on more data: what its presets train, and its files on small images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from discrete_vae.data import DataConfig, has_files
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, settings
from reports.more_data import BASE, NETWORKS, QUICK, REPORT, ROWS, tasks, tried
from tests.tiny_images import middle

PRESETS = REPORT.presets


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_every_row_has_the_same_search_on_every_task(preset: Preset) -> None:
    sizes = set()
    for task in preset.tasks or REPORT.tasks:
        for row in preset.rows:
            configs = settings(row, task, preset)
            sizes.add(len(configs))
            assert {config.strategy for config in configs} == {row.strategy}
            assert {config.options.temperature for config in configs if row.options[0]} <= {
                *(each["temperature"] for each in row.options if "temperature" in each),
                Schedule(1.0),
            }
            for config in configs:
                rate = config.learning_rate
                assert (rate.decay, rate.unit, config.keep) == (0.1, "run", "best")
                assert not row.shared_rate or config.auxiliary_learning_rate == rate
    assert len(sizes) == 1
    assert len(REPORT.plan(preset)) == len(set(REPORT.plan(preset)))


def test_data_and_networks_by_preset() -> None:
    assert not any(map(has_files, REPORT.data(PRESETS["quick"])))
    names = {name: {each.dataset for each in REPORT.data(PRESETS[name])} for name in ("laptop", "paper")}
    assert names["laptop"] == {"mnist", "fashion-mnist", "omniglot-small"}
    assert names["paper"] == {"mnist", "fashion-mnist", "omniglot"}
    for name in names:
        assert {each.binarisation for each in REPORT.data(PRESETS[name])} == {"dynamic"}
        assert [row.label for row in PRESETS[name].rows] == list(ROWS)
    assert {each.base.architecture for each in REPORT.tasks} == set(NETWORKS.values())
    assert NETWORKS["MLP"] == Architecture()
    (few,) = {each.times for each in PRESETS["laptop"].tasks if each.base.data.dataset == "omniglot-small"}
    assert few > 1


def test_the_report_on_small_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = middle(1000, 200)
    networks = {
        "MLP": Architecture(2, 3, (8,)),
        "conv": Architecture(2, 3, (6,), activation="relu", backbone="conv", channels=(2,)),
    }
    monkeypatch.setattr("reports.more_data.NETWORKS", networks)
    rows: list[Row] = tried((4e-3,), (0.0, 0.03), (ROWS["Gumbel-Softmax"], ROWS["TP, Gauss-Newton"]))
    rows[1] = dataclasses.replace(rows[1], options=[{**rows[1].options[0], "warmup": 2}])
    preset = Preset(
        2, (0, 1), 3, trial_epochs=1, growth=0, rows=rows, tasks=tasks("digits", small.config, batch_size=250)
    )
    report = dataclasses.replace(REPORT, presets={"tiny": preset})
    bench = ReportContext(REPORT.name, "tiny", tmp_path / "out", tmp_path / "runs", _data={small.config: small})
    report.make(preset, bench)
    table = (tmp_path / "out" / "results.md").read_text()
    assert table.count("*digits, MLP*") == table.count("*digits, conv*") == 1
    assert "lr 0.004, wd " in table
    assert "best validation epoch" in (tmp_path / "out" / "results.tex").read_text()
    text = " ".join((tmp_path / "out" / "more-data.tex").read_text().split())
    assert "Learning rates tried: 0.004; weight decays (Loshchilov and Hutter 2019): 0, 0.03;" in text


def test_the_base_is_the_thesis_model() -> None:
    assert BASE.data == DataConfig()
    assert all(row in ROWS.values() for row in QUICK)
