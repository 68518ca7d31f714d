"""The report on studies, from trials with known values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.tuning import Study, open_storage, open_study
from discrete_vae.tuning.worker import METRICS, RUNS, VALUES
from reports import studies
from reports.benchmarks import storage_overhead
from reports.kit.context import ReportContext
from reports.studies import figures, groups, tables
from studies.gumbel_softmax import STUDY
from studies.semi_supervised import STUDY as SEMI
from studies.temperature import STUDY as PLANE
from tests.tuning.tiny_worker import tiny


def filled(storage: str, study: Study, values: list[float | None]) -> list[optuna.Study]:
    """Studies whose trials have these values, pruned where None, without any run."""
    made = []
    for name, search in study.names().items():
        found = open_study(study, name, open_storage(storage))
        for value in values:
            trial = found.ask(dict(search.space))
            trial.set_user_attr(VALUES, {"0": (value or 0.0) - 1, "1": (value or 0.0) + 1})
            trial.set_user_attr(METRICS, {"elbo": value or 0.0})
            trial.set_user_attr(RUNS, ["one", "two"])
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            found.tell(trial, value, state=state)
        made.append(found)
    return made


def test_tables_say_what_the_trials_are(tmp_path: Path) -> None:
    url = str(tmp_path / "study.db")
    (found,) = filled(url, STUDY, [-110.0, None, -105.0, -120.0])
    other = dataclasses.replace(PLANE, searches={"gumbel-softmax": PLANE.searches["gumbel-softmax"]})
    (second,) = filled(url, other, [-130.0, -125.0])
    assert groups.budget([found, second]) == 2
    text = tables.comparison([found, second]).markdown()
    assert "| gumbel-softmax | 3 | 1 | 0 | −110.00 | −105.00 |" in text  # noqa: RUF001
    assert "best of 2" in text
    assert "| temperature/gumbel-softmax | 2 | 0 | 0 | −125.00 | −125.00 |" in text  # noqa: RUF001
    best = tables.best([found]).markdown()
    winner = found.get_trials()[2].params
    assert f"{winner['temperature']:.3g} | {winner['temperature']:.3g} to {winner['temperature']:.3g}" in best
    assert list(groups.labels([found, second]).values()) == ["gumbel-softmax", "temperature/gumbel-softmax"]
    assert list(groups.labels([second]).values()) == ["gumbel-softmax"]
    changed = [f"{name}+hidden=8+dataset=images" for name in ("one", "two+epochs=3")]
    own = [optuna.create_study(study_name=name) for name in changed]
    assert list(groups.labels(own).values()) == ["one", "two+epochs=3"]
    assert groups.lengths([found, second]) == "10 epochs and 2 seeds a trial or 8 epochs and 2 seeds a trial"


def test_the_report_trains_nothing_and_shows_every_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReportContext, "train", None)
    url = str(tmp_path / "study.db")
    filled(url, PLANE, [-110.0 - i for i in range(9)])
    out = tmp_path / "out"
    studies.make(studies.Preset(), ReportContext("studies", "stored", out, tmp_path / "runs", storage=url))
    results = pd.read_csv(out / "results.csv")
    assert len(results) == 3 * 9 * 2
    assert set(results["row"]) == set(PLANE.names())
    source = (out / "studies.tex").read_text()
    assert "8 epochs and 2 seeds a trial" in source
    assert "studies_importance.pdf" in source
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    studies.make(studies.Preset(), ReportContext("studies", "stored", out, tmp_path / "runs", storage=str(out)))
    for name, before in written.items():
        assert (out / name).read_bytes() == before, f"{name}, from the folder without the storage"
    assert {"jang2017", "maddison2017"} & {
        line.partition("{")[2].rstrip(",")
        for line in (out / "references.bib").read_text().splitlines()
        if line.startswith("@")
    }
    assert set(json.loads((out / "provenance.json").read_text())["settings"]["studies"]) == set(PLANE.names())


def test_a_metric_other_than_the_elbo_is_named_and_has_axes_of_its_own(tmp_path: Path) -> None:
    url, out = str(tmp_path / "study.db"), tmp_path / "out"
    only = {"gumbel-softmax": SEMI.searches["gumbel-softmax"]}
    (accurate,) = filled(url, dataclasses.replace(SEMI, searches=only), [0.8, None, 0.9, 0.7])
    assert "validation accuracy" in tables.comparison([accurate]).markdown()
    assert "| 0.9000 |" in tables.comparison([accurate]).markdown()
    assert "valid. accuracy" in tables.winners([accurate]).markdown()
    filled(url, STUDY, [-110.0, -105.0])
    studies.make(studies.Preset(), ReportContext("studies", "stored", out, tmp_path / "runs", storage=url))
    source = (out / "studies.tex").read_text()
    assert "validation accuracy or ELBO" in source or "validation ELBO or accuracy" in source
    for name in ("studies_history", "studies_history_accuracy", "studies_plane", "studies_plane_accuracy"):
        assert f"{{{name}.pdf}}" in source
        assert (out / f"{name}.png").exists()
    results = pd.read_csv(out / "results.csv")
    assert results.groupby("row")["metric"].first().to_dict() == {
        "gumbel-softmax": "elbo",
        "semi-supervised/gumbel-softmax": "accuracy",
    }


def test_importance_finds_what_matters() -> None:
    """PED-ANOVA on values that the learning rate alone decides."""
    found = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    space = dict(PLANE.searches["gumbel-softmax"].space)
    assert figures.importance(found) == {}
    for _ in range(60):
        trial = found.ask(space)
        found.tell(trial, -abs(trial.params["learning_rate"] - 0.003))
    shares = figures.importance(found)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["learning_rate"] > 0.8


def test_a_storage_without_studies_is_refused(tmp_path: Path) -> None:
    open_storage(str(tmp_path / "study.db"))
    with pytest.raises(InputError, match="no study with a complete trial"):
        studies.make(studies.Preset(), ReportContext("studies", "stored", tmp_path, storage=str(tmp_path / "study.db")))


def test_instant_trials_take_a_storage_as_real_ones_do(tmp_path: Path) -> None:
    """They report every epoch, are pruned, and are told; nothing is trained."""
    found = open_study(STUDY, "gumbel-softmax", open_storage(str(tmp_path / "study.db")))
    worker = storage_overhead.Worker(tmp_path / "runs", storage_overhead.data.load(), train=storage_overhead.instant)
    worker.work(found, STUDY, STUDY.searches[""], 8)
    trials = found.get_trials()
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        assert len(trial.intermediate_values) == STUDY.epochs or trial.state == TrialState.PRUNED
        assert set(trial.intermediate_values.values()) == {-trial.params["learning_rate"]}
        assert [Run.open(tmp_path / "runs" / name).step for name in trial.user_attrs[RUNS]] == [0, 0]


def test_the_overhead_is_measured_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_overhead, "REST", 0.0)  # nothing is taken for disturbed then
    search = tiny().searches[""]
    base = dataclasses.replace(search.base, strategy="gumbel-softmax", data=DataConfig())  # which every worker loads
    small = dataclasses.replace(search, base=base)
    study = dataclasses.replace(STUDY, searches={"": small}, epochs=1, seeds=(0,))
    preset = storage_overhead.Preset((2,), 6, study)
    bench = ReportContext(
        "storage-overhead", "quick", tmp_path / "out", tmp_path / "runs", storage=str(tmp_path / "study.db")
    )
    storage_overhead.make(preset, bench)
    written = (tmp_path / "out" / "results.csv").read_text()
    results = pd.read_csv(tmp_path / "out" / "results.csv").set_index(["row", "metric"])["value"]
    assert results["2 workers", "trials_per_second"] > 0
    expected = results["2 workers", "seconds"] / results["real trial", "seconds"]
    assert results["2 workers", "share"] == pytest.approx(expected)
    assert "SQLite" in (tmp_path / "out" / "overhead.tex").read_text()
    alike = dataclasses.replace(preset, study=dataclasses.replace(study, pruner=lambda: study.pruner()))
    storage_overhead.make(alike, bench)
    assert (tmp_path / "out" / "results.csv").read_text() == written, "not measured again"
    assert optuna.get_all_study_names(open_storage(str(tmp_path / "study.db"))) == [], "nothing is left behind"
