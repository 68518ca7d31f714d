"""The Gauss-Newton report on small networks: its search, its files, a second call that trains nothing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.config import Config
from discrete_vae.runs.run import EVALUATION, Run
from discrete_vae.tasks import Architecture
from discrete_vae.training import loop as training
from reports.gauss_newton import REPORT
from reports.gauss_newton.choice import Tried, candidates
from reports.gauss_newton.settings import DECAYS, ON_BOUND, PRESETS, ROWS, Preset, Trial
from reports.gauss_newton.tables import named, setting
from reports.kit import latex
from reports.kit.context import ReportContext
from reports.moves import PRESETS as MOVES
from reports.moves.steps import budgets, measure, stored
from reports.reinmax import BUNDLED, GRAYSCALE
from tests.tiny_images import middle

TINY = Preset(
    2,
    (1, 2),
    4,
    trial_epochs=1,
    trial_seeds=(0,),
    rows=[
        dataclasses.replace(row, rates=(2e-2, 1e-3), decays=(0.0, 0.5), known=())
        for row in (ROWS["Gauss-Newton"], ON_BOUND[0])
    ],
    keep=1,
    validated=3,
    base=Config(architecture=Architecture(3, 4, (8,)), batch_size=500, data=middle(2000, 200).config),
)


def context(out: Path, runs: Path) -> ReportContext:
    small = middle(2000, 200)
    return ReportContext(REPORT.name, "tiny", out, runs, _data={small.config: small})


def make(out: Path, runs: Path) -> None:
    bench = context(out, runs)
    bench.check_out()
    REPORT.make(TINY, bench)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latex, "engine", lambda: None)
        make(folder / "out", folder / "runs")
    return folder / "out"


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.label)
def test_a_search_has_24_trials_in_which_all_meet(row) -> None:
    """Every rate meets every decay once, and every value of the row's own; every value meets every decay."""
    assert len(row.trials) == len(set(row.trials)) == 24
    assert Counter((each.rate, each.decay) for each in row.trials).most_common(1)[0][1] == 1
    for first in ("rate", "decay"):
        met = {(getattr(each, first), each.value) for each in row.trials}
        assert len(met) == len({getattr(each, first) for each in row.trials}) * len(row.values)
    configs = {row.config(trial, 10, 0, Config()) for trial in row.trials}
    assert len(configs) == 24
    assert {config.weight_decay.initial for config in configs} == set(DECAYS)


def test_rows_on_the_bound_differ_in_that_alone() -> None:
    for row in ON_BOUND:
        config = row.config(row.trials[0], 10, 0, Config())
        plain = ROWS[row.label.partition(", bound")[0]].config(row.trials[0], 10, 0, Config())
        assert config == dataclasses.replace(plain, objective="bound", samples=5)


def test_candidates_are_the_best_of_different_decays() -> None:
    scores = {(0.0, 1): -5.0, (0.0, 2): -1.0, (0.1, 1): -3.0, (0.1, 2): -9.0, (0.3, 1): -7.0, (0.3, 2): -2.0}

    @dataclasses.dataclass(frozen=True)
    class Scored(Tried):
        def score(self, metric: str) -> float:
            return scores[self.trial.decay, int(self.trial.rate)]

    tried = [Scored(None, Trial(float(rate), decay, None), None, 1) for decay, rate in scores]  # type: ignore[arg-type]
    scores |= {(1.0, 1): float("-inf"), (1.0, 2): float("-inf")}  # these failed
    tried += [Scored(None, Trial(1.0, 1.0, None), None, 1)]  # type: ignore[arg-type]
    preset = dataclasses.replace(TINY, keep=2)
    assert len(candidates(dataclasses.replace(TINY, keep=4), tried, "elbo")) == 3
    assert candidates(preset, tried, "elbo") == [Trial(2.0, 0.0, None), Trial(2.0, 0.3, None)]


def test_settings_are_the_best_of_what_was_tried(made) -> None:
    tuning, results = (pd.read_csv(made / f"{name}.csv") for name in ("tuning", "results"))
    for row in TINY.rows:
        for metric, epochs in TINY.places(row):
            own = tuning[(tuning["row"] == row.label) & (tuning["metric"] == metric)]
            length = own["parameters"].str.extract(r'"epochs": (\d+)')[0].fillna("50").astype(int)
            best = own[length == epochs].sort_values("value").iloc[-1]["parameters"]
            assert set(results[results["row"] == named(row, metric, epochs)]["parameters"]) == {best}
    assert set(tuning["seed"]) == {0}
    assert set(results["seed"]) == {1, 2}
    assert set(results.query("split == 'test' and metric == 'elbo'")["samples"]) == {3, 4}


def test_every_file_is_written(made) -> None:
    tables = ("results", "bound", "differences", "settings", "decays")
    files = {path.name for path in made.iterdir()}
    assert files >= {f"{name}.{kind}" for name in tables for kind in ("md", "tex")}
    assert files >= {"report.html", "gauss-newton.tex", "learning_curves.png", "provenance.json", "tuning.csv"}
    bound = (made / "bound.md").read_text()
    assert "Gumbel-Softmax, bound (5)" in bound
    assert "Gumbel-Softmax, bound (5)" not in (made / "results.md").read_text()


def test_a_second_call_trains_nothing(made, tmp_path, monkeypatch) -> None:
    """From its own tables alone, without the runs."""
    before = {path.name: path.read_bytes() for path in made.iterdir() if path.suffix in (".md", ".csv", ".tex")}

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("nothing is trained here")

    monkeypatch.setattr(training, "_train_population", refuse)
    assert REPORT.missing(TINY, context(made, tmp_path / "no runs")) == []
    assert len(REPORT.missing(TINY, context(tmp_path, tmp_path / "no runs"))) == len(set(REPORT.plan(TINY)))
    make(made, tmp_path / "no runs")
    assert {name: (made / name).read_bytes() for name in before} == before


def test_settings_say_what_lies_at_an_end() -> None:
    row = ROWS["ReinMax"]
    assert setting(row, Trial(6e-3, 0.03, 1.3)) == "0.006, λ 0.03, τ 1.3"
    assert setting(row, Trial(1.5e-3, 0.3, 1.6)) == "0.0015†, λ 0.3†, τ 1.6†"
    assert setting(ROWS["Gumbel-Softmax"], Trial(6e-3, 0.03, (0.5, 0.5))) == "0.006, λ 0.03, τ 0.5→0.25"
    assert setting(ROWS["Gauss-Newton"], Trial(1.3e-2, 0.0, None)) == "0.013†, λ 0"


def test_presets_say_what_they_cost() -> None:
    assert len(REPORT.plan(PRESETS["full"])) > 350
    assert "epoch" in PRESETS["quick"].summary
    runs = MOVES["laptop"].runs()
    measured = {(size, step.name): step for size, steps in stored().items() for step in steps}
    assert {(task, name): moves for task in GRAYSCALE for name, moves in budgets(GRAYSCALE[task]).items()} == {
        each: step.moves for each, step in measured.items()
    }
    assert runs["8x4", "all"].epochs == round(16 / measured["8x4", "all"].ratio)
    assert runs["8x4", "all"].options.moves == 28
    assert ("10x30", "32") in runs
    assert all(config.epochs for config in runs.values())


def test_the_steps_of_a_size_are_measured_beside_that_without_decoded_moves() -> None:
    found = measure(BUNDLED["8x4"], seconds=0)
    assert [(each["name"], each["moves"]) for each in found["steps"]] == [("none", 0), ("8", 8), ("all", 28)]
    assert found["steps"][0]["ratio"] == 1
    assert all(each["step_ms"] > 0 for each in found["steps"])


def test_a_trial_is_scored_by_as_many_samples_as_the_preset_has(tmp_path) -> None:
    """Also where someone evaluated it with others before."""
    row = ROWS["Gauss-Newton"]
    trial = row.trials[0]
    run = Run(tmp_path / "run", row.config(trial, 1, 0, Config()))
    run.folder.mkdir()
    rows = [("validation", "elbo", 2, -105.0), ("validation", "elbo", 10, -95.0)]
    run.write_evaluation(pd.DataFrame(rows, columns=EVALUATION))
    assert Tried(row, trial, run, 10).score("elbo") == -95.0
