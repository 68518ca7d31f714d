"""The target-propagation and auto-encoder reports on small networks: tuning, files, second calls, what they say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from reports import __main__ as command
from reports.kit import latex
from reports.kit.context import ReportContext
from reports.kit.tables import COLUMNS
from reports.target_propagation_settings import (
    CHOSEN,
    GUMBEL,
    MIRROR,
    PRESETS,
    STRAIGHT_THROUGH,
    THESIS,
    VARIANTS,
    Preset,
    Search,
    Trial,
)
from reports.target_propagation_tables import relations
from reports.target_propagation_text import comparison, yardsticks

ROOT = Path(__file__).parents[2]
BASE = Config(architecture=Architecture(4, 3, (16,)), batch_size=2000)
RATES = (4e-3, 8e-3)
QUICK_GUMBEL, QUICK_THESIS = (
    dataclasses.replace(variant, rates=RATES, known=(Trial(1e-3, 0.5),)) for variant in (GUMBEL, THESIS)
)
QUICK_MIRROR = dataclasses.replace(MIRROR, options={**MIRROR.options, "warmup": 5}, values=(1.0, 1.3), rates=RATES)
SEARCH = Search(epochs=3, first=1, keep=3, contenders=2, variants=(QUICK_GUMBEL, QUICK_THESIS, QUICK_MIRROR))
TINY = Preset(epochs=2, seeds=(1, 2, 3), samples=3, finalists=(QUICK_GUMBEL, QUICK_MIRROR), search=SEARCH, base=BASE)
FILES = {
    "results.csv",
    "learning_curves.csv",
    "tuning.csv",
    "signals.csv",
    "provenance.json",
    "references.bib",
    "target_propagation_table.tex",
    "target_propagation_relations.tex",
    "target_propagation.md",
    "target-propagation.tex",
    *(f"{name}.{suffix}" for name in ("learning_curves", "signals") for suffix in ("pdf", "png")),
}


def call(name: str, preset: object, out: Path, runs: Path) -> int:
    """``python -m reports NAME`` with a preset of its own; the exit code."""
    report = dataclasses.replace(command.REPORTS[name], presets={"tiny": preset})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.REPORTS, name, report)
        with pytest.raises(SystemExit) as end:
            command.main([name, "--preset", "tiny", "--out", str(out), "--runs", str(runs)])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("report")
    assert call("target-propagation", TINY, folder / "out", folder / "runs") == 0
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
    for variant in SEARCH.variants:
        mine = elbo[elbo["row"] == variant.label]
        whole = [2] * (2 + len(variant.known)) if variant in TINY.finalists else []
        assert sorted(mine["epoch"]) == [1] * (len(variant.trials) - 3) + whole + [3, 3, 3]
        if variant in TINY.finalists:
            best = mine[mine["epoch"] == 2].sort_values("value").iloc[-1]
            rate = Schedule.parse(json.loads(best["parameters"])["learning_rate"]).initial
            assert f"lr {rate:g}," in provenance["settings"]["chosen"][variant.label]


def test_second_call_trains_nothing_and_writes_the_same_bytes(made, tmp_path, monkeypatch) -> None:
    out, runs = made
    monkeypatch.setattr(training, "_train_population", lambda *arguments: pytest.fail("trained again"))
    assert call("target-propagation", TINY, tmp_path / "out", runs) == 0
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (out / name).read_bytes(), name


def test_a_trial_is_the_same_whatever_its_length_but_for_the_stretch() -> None:
    """The learning rate falls to a tenth over the run, the mirror's with it; step and beta go together."""
    for epochs in (10, 50):
        config = MIRROR.config(Trial(4e-3, 1.3), epochs, 0)
        assert config.learning_rate.initial * config.learning_rate.decay**epochs == pytest.approx(4e-4, rel=1e-3)
        assert config.auxiliary_learning_rate == config.learning_rate
        assert config.options.temperature == Schedule(1.3)
    (stepped,) = (variant for variant in VARIANTS if variant.label == "TP, mirror, log-ratio")
    config = stepped.config(Trial(4e-3, 0.3), 10, 0)
    assert (config.options.step, config.beta) == (Schedule(0.3), Schedule(0.3, warmup=1))


def test_every_variant_has_as_many_trials_and_configures() -> None:
    search = Search()
    assert len({variant.label for variant in search.variants}) == len(search.variants)
    assert {len(variant.trials) for variant in search.variants} == {12}
    for variant in search.variants:
        assert len({variant.config(trial, 10, 0).identity for trial in variant.trials}) == 12


def test_quick_preset_needs_no_search_and_knows_its_settings() -> None:
    assert set(PRESETS["quick"].finalists) == set(CHOSEN)
    assert PRESETS["quick"].search is None


def test_without_a_search_there_is_no_tuning_table(tmp_path) -> None:
    preset = Preset(epochs=1, seeds=(1,), samples=2, finalists=(THESIS,), base=BASE)
    assert call("target-propagation", preset, tmp_path / "out", tmp_path / "runs") == 0
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert not files & {"tuning.csv", "signals.csv"}
    assert "nothing is bold" in (tmp_path / "out" / "target_propagation_table.tex").read_text()


def rows(label: str, metric: str, *values: float) -> list[dict[str, object]]:
    """A row's test values, one a seed."""
    return [
        {"row": label, "split": "test", "metric": metric, "seed": seed, "value": value}
        for seed, value in enumerate(values)
    ]


def test_differences_are_told_with_their_tests() -> None:
    """Only what is below 5% after Holm's correction is an order; by itself -0.5 would be one here."""
    results = pd.DataFrame(
        [
            *rows(MIRROR.label, "elbo", -90.0, -90.1, -89.9, -90.0),
            *rows(GUMBEL.label, "elbo", -92.4, -92.6, -92.5, -92.5),
            *rows(STRAIGHT_THROUGH.label, "elbo", -89.1, -89.9, -89.1, -89.9),
        ]
    )
    found = relations(results, "elbo")
    gumbel, straight = found[MIRROR, GUMBEL], found[MIRROR, STRAIGHT_THROUGH]
    assert (gumbel.corrected, straight.corrected) == pytest.approx((2 * gumbel.p, straight.p))
    told = comparison(results)
    assert f"the mirror is ahead of {GUMBEL.label} ($2.50$)" in told
    assert f"it is not told apart from {STRAIGHT_THROUGH.label} ($-0.50$)" in told
    assert "no difference is tested" in comparison(results[results["seed"] < 2])


def test_the_yardsticks_are_set_side_by_side_without_a_cause() -> None:
    def told(gumbel_bound: float, gumbel_kl: float) -> str:
        numbers = {MIRROR.label: (-90.0, -79.0, 31.0), GUMBEL.label: (-95.0, gumbel_bound, gumbel_kl)}
        found = [
            line
            for label, values in numbers.items()
            for metric, value in zip(("elbo", "log_likelihood", "kl"), values, strict=True)
            for line in rows(label, metric, value, value)
        ]
        return yardsticks(pd.DataFrame(found))

    assert "order the means differently. By the ELBO, best first: TP, mirror, second-order; Gumbel" in told(-77.0, 27.0)
    assert "Gumbel-Softmax $18.0$ (KL $27.0$)" in told(-77.0, 27.0)
    assert "In these rows a smaller KL goes with a larger addition" in told(-77.0, 27.0)
    assert "does not go with a larger addition throughout" in told(-77.0, 35.0)
    assert "the same order" in told(-81.0, 27.0)


def test_bench_prunes_by_epoch(tmp_path) -> None:
    config = dataclasses.replace(BASE, epochs=3)
    (run,) = ReportContext("name", "tiny", tmp_path / "out", tmp_path / "runs").train(
        [config], lambda epoch, metrics: list(metrics) if epoch >= 2 else []
    )
    assert run.step == 2 * run.steps_per_epoch
