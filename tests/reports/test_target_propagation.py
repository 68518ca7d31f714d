"""The target-propagation report on small networks: tuning, files, second calls, a row that is added."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from reports.kit import latex
from reports.kit.context import ReportContext
from reports.kit.tidy import COLUMNS
from reports.target_propagation import REPORT, plan
from reports.target_propagation.settings import (
    FINALISTS,
    GUMBEL,
    MIRROR,
    PRESETS,
    TARGETS,
    THESIS,
    VARIANTS,
    Preset,
    Trial,
    Variant,
)
from reports.target_propagation.tables import relations_table
from tests.tiny_images import middle

ROOT = Path(__file__).parents[2]
TYPESET = True
SMALL = middle(2000, 200)
BASE = Config(architecture=Architecture(4, 3, (16,)), batch_size=500, data=SMALL.config)
RATES = (4e-3, 8e-3)
QUICK_GUMBEL, QUICK_THESIS = (
    dataclasses.replace(variant, rates=RATES, known=(Trial(1e-3, 0.5),)) for variant in (GUMBEL, THESIS)
)
QUICK_MIRROR = dataclasses.replace(MIRROR, options={**MIRROR.options, "warmup": 5}, values=(1.0, 1.3), rates=RATES)
TINY = Preset(
    epochs=2,
    seeds=(1, 2, 3),
    samples=3,
    trial_epochs=3,
    first=1,
    trial_seeds=(0,),
    finalists=dict.fromkeys((QUICK_GUMBEL, QUICK_MIRROR), Trial(4e-3, 1.0)),
    variants=(QUICK_GUMBEL, QUICK_THESIS, QUICK_MIRROR),
    base=BASE,
)
FILES = {
    "results.csv",
    "learning_curves.csv",
    "tuning.csv",
    "signals.csv",
    "provenance.json",
    "references.bib",
    *(f"{name}.{suffix}" for name in ("results", "differences", "variants") for suffix in ("tex", "md")),
    "target-propagation.tex",
    "report.html",
    *(f"{name}.{suffix}" for name in ("learning_curves", "signals") for suffix in ("pdf", "png")),
}


def make(preset: Preset, out: Path, runs: Path) -> None:
    """The report with a preset of its own."""
    bench = ReportContext(REPORT.name, "tiny", out, runs, _data={SMALL.config: SMALL})
    bench.check_out()
    REPORT.make(preset, bench)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("report")
    make(TINY, folder / "out", folder / "runs")
    return folder / "out", folder / "runs"


def test_every_file_is_written(made) -> None:
    files = {path.name for path in made[0].iterdir()}
    assert files - {"target-propagation.pdf"} == FILES
    assert ("target-propagation.pdf" in files) == (latex.engine() is not None)


def test_results_are_tidy_and_whole(made) -> None:
    results = pd.read_csv(made[0] / "results.csv")
    assert list(results.columns) == COLUMNS
    found = results[(results["split"] == "test") & (results["metric"] == "log_likelihood")]
    assert found.groupby("row")["seed"].apply(set).to_dict() == {v.label: {1, 2, 3} for v in TINY.finalists}
    signals = pd.read_csv(made[0] / "signals.csv")
    assert {"signal_cosine", "outside_simplex"} <= set(signals.loc[signals["row"] == MIRROR.label, "metric"])
    assert set(signals.loc[signals["row"] == GUMBEL.label, "metric"]) <= {
        "elbo",
        "kl",
        "active_latents",
        "code_entropy",
    }


def test_worse_trials_stop_early_and_the_best_is_chosen(made) -> None:
    tuning = pd.read_csv(made[0] / "tuning.csv")
    elbo = tuning[tuning["metric"] == "elbo"]
    provenance = json.loads((made[0] / "provenance.json").read_text())
    for variant in TINY.variants:
        mine = elbo[elbo["row"] == variant.label]
        whole = [2] * (2 + len(variant.known)) if variant in TINY.finalists else []
        assert sorted(mine["epoch"]) == [1] * (len(variant.trials) - 3) + whole + [3, 3, 3]
        if variant in TINY.finalists:
            best = mine[mine["epoch"] == 2].sort_values("value").iloc[-1]
            rate = Schedule.parse(json.loads(best["parameters"])["learning_rate"]).initial
            told = provenance["settings"]["chosen"][variant.label]
            assert told.startswith((f"{rate:g},", f"{rate:g}†,"))


def test_second_call_trains_nothing_and_writes_the_same_bytes(made, tmp_path, monkeypatch) -> None:
    out, runs = made
    monkeypatch.setattr(training, "_train_population", lambda *arguments: pytest.fail("trained again"))
    make(TINY, tmp_path / "out", runs)
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes(), name


def test_a_trial_is_the_same_whatever_its_length_but_for_the_stretch() -> None:
    """The learning rate falls to a tenth over the run, the mirror's with it; step and beta go together."""
    for epochs in (10, 50):
        config = MIRROR.config(Trial(4e-3, 1.3), epochs, 0, BASE)
        assert config.learning_rate.initial * config.learning_rate.decay**epochs == pytest.approx(4e-4, rel=1e-3)
        assert config.auxiliary_learning_rate == config.learning_rate
        assert config.options.temperature == Schedule(1.3)
    config = TARGETS["TP, mirror, log-ratio"].config(Trial(4e-3, 0.3), 10, 0, BASE)
    assert (config.options.step, config.beta) == (Schedule(0.3), Schedule(0.3, warmup=1))


def test_every_variant_has_as_many_trials_and_configures() -> None:
    assert len({variant.label for variant in VARIANTS}) == len(VARIANTS)
    assert {len(variant.trials) for variant in VARIANTS} == {12}
    for variant in VARIANTS:
        assert len({variant.config(trial, 10, 0, BASE).identity for trial in variant.trials}) == 12


def test_the_committed_runs_are_those_of_the_full_preset(tmp_path) -> None:
    bench = ReportContext("target-propagation", "full", tmp_path / "out", tmp_path / "runs")
    assert set(FINALISTS) <= set(VARIANTS)
    assert all(bench.cache.of(config, bench.runs) for config in plan(PRESETS["full"]))


def test_without_a_search_there_is_no_tuning_table(tmp_path) -> None:
    preset = Preset(epochs=1, seeds=(1,), samples=2, finalists={THESIS: Trial(3e-4, 0.05)}, base=BASE)
    make(preset, tmp_path / "out", tmp_path / "runs")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert not files & {"tuning.csv", "signals.csv", "variants.tex"}
    assert "bfseries" not in (tmp_path / "out" / "results.tex").read_text()
    assert "†" not in (tmp_path / "out" / "results.md").read_text()


def test_a_row_that_is_added_is_trained_alone(made, tmp_path) -> None:
    """With the tables of the others and without their runs, only the new row's trials and seeds are trained."""
    added = Variant("ST", "straight-through", rates=RATES[:1])
    more = dataclasses.replace(
        TINY, finalists=TINY.finalists | {added: Trial(4e-3, 1.0)}, variants=(*TINY.variants, added)
    )
    out, runs = tmp_path / "out", tmp_path / "runs"
    shutil.copytree(made[0], out)
    make(more, out, runs)
    assert {path.name.rpartition("-")[0] for path in runs.iterdir() if path.is_dir()} == {"straight-through"}
    for name in ("results.csv", "tuning.csv", "learning_curves.csv", "results.md"):
        texts = ((folder / name).read_text().partition("\n\n")[0] for folder in (made[0], out))  # no caption
        before, after = (text.splitlines() for text in texts)
        assert after[: len(before)] == before
        assert all(added.label in line for line in after[len(before) :])
        assert len(after) > len(before)


def test_differences_are_told_with_their_tests() -> None:
    values = {MIRROR: (-90.0, -90.1, -89.9, -90.0), GUMBEL: (-92.4, -92.6, -92.5, -92.5)}
    results = pd.DataFrame(
        {"row": variant.label, "split": "test", "metric": "elbo", "seed": seed, "value": value}
        for variant, row in values.items()
        for seed, value in enumerate(row)
    )
    ((name, difference, p, corrected, *_),) = relations_table(results, 4).rows
    assert name == "TP, mirror, second-order less Gumbel-Softmax"
    assert difference.plain() == "+2.50 ± 0.13"
    assert p == corrected
    assert float(p.strip("<")) < 0.001


def test_bench_prunes_by_epoch(tmp_path) -> None:
    config = dataclasses.replace(BASE, epochs=3)
    (run,) = ReportContext("name", "tiny", tmp_path / "out", tmp_path / "runs", _data={SMALL.config: SMALL}).train(
        [config], lambda epoch, metrics: list(metrics) if epoch >= 2 else []
    )
    assert run.step == 2 * run.steps_per_epoch
