"""The report on random architectures: its draws are the study's, and its counts those of the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage

from discrete_vae.data import DataConfig
from discrete_vae.errors import InputError
from discrete_vae.evaluation import classifier
from discrete_vae.runs import Run
from discrete_vae.training import loop as training
from discrete_vae.tuning import open_study
from discrete_vae.tuning.drawing import drawn
from discrete_vae.tuning.sampling import tpe
from reports import architectures
from reports.architectures import parts
from reports.architectures.settings import CRITICS, PRESETS, QUICK, Preset, base, study
from reports.critics.settings import CLIPPING, PENALTY
from reports.kit import latex
from reports.kit.context import ReportContext
from studies import studies

FEW = DataConfig("binarised-mnist-1000")
TINY = Preset(3, 1, QUICK, {name: replace(base(critic), data=FEW, batch_size=20) for name, critic in CRITICS.items()})


def test_both_constraints_get_the_same_architectures() -> None:
    plan = PRESETS["paper"].plan()
    trials = sorted({trial for _, trial in plan})
    assert 40 < len(trials) == len(plan) / 2 < 60, "an architecture that is drawn again is no other"
    assert len(set(plan.values())) == len(plan)
    for trial in trials:
        assert plan[PENALTY, trial].architecture == plan[CLIPPING, trial].architecture
        assert plan[PENALTY, trial].criticism == CRITICS[PENALTY]
        assert plan[CLIPPING, trial].criticism == CRITICS[CLIPPING]
    shapes = {config.architecture for config in plan.values()}
    assert len(shapes) > 40
    assert {shape.backbone for shape in shapes} == {"mlp", "conv"}
    assert {shape.normalisation for shape in shapes} == {"none", "layer"}


def test_the_study_tries_what_the_report_draws() -> None:
    """Each search has the values of the other, whichever of them is asked first and however far."""
    own = studies()["architectures"]
    own.check()
    first, second = own.names()
    found = open_study(own, second, InMemoryStorage())
    asked = [found.ask(dict(own.names()[second].space)).params for _ in range(4)]
    assert asked == drawn(own, first)[:4]
    assert [dict(each) for each in asked] != [asked[0]] * 4


def test_searches_that_are_not_paired_differ_and_tpe_is_refused() -> None:
    own = study(PRESETS["paper"])
    first, second = own.names()
    apart = replace(own, paired=False)
    assert drawn(apart, first) != drawn(apart, second)
    assert "paired" not in apart.definition(apart.names()[first])
    with pytest.raises(InputError, match="has a TPESampler, whose trials are not known before; give a RandomSampler"):
        drawn(replace(own, sampler=tpe), first)
    assert isinstance(own.sampler(0), RandomSampler)


def test_counts_by_hand() -> None:
    found = pd.DataFrame({PENALTY: [9.0, 5, 2, 5, 5, 5], CLIPPING: [8.0, 1, 6, 0, 1, 1]})
    assert parts.counts(found, 5.0) == (1, 4, 1, 0)
    assert parts.counts(found, 8.0) == (0, 0, 1, 5)
    assert parts.p_of(found, 5.0) == pytest.approx(2 * (1 + 5) / 2**5)
    assert parts.p_of(found, 8.0) == 1
    assert parts.successes(found).rows[0][0] == "2.0"


def test_the_report_is_made_and_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", 2)
    monkeypatch.setattr(classifier, "updates_of", lambda images: 2)
    monkeypatch.setattr(latex, "engine", lambda: None)

    def call(out: Path) -> dict[str, bytes]:
        architectures.REPORT.make(TINY, ReportContext("architectures", "tiny", out, tmp_path / "runs", jobs=1))
        return {path.name: path.read_bytes() for path in out.iterdir()}

    made = call(tmp_path / "out")
    names = {"successes.md", "choices.md", "results.csv", "report.html", "architectures_scores.pdf"}
    assert names <= made.keys()
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    scored = results[(results["metric"] == "inception_score") & (results["split"] == "test")]
    assert sorted(zip(scored["row"], scored["trial"], strict=True)) == sorted(
        (name, trial) for name, trial in TINY.plan()
    )
    monkeypatch.setattr(training, "_train_population", lambda *args: pytest.fail("trained again"))
    assert call(tmp_path / "again") == made
