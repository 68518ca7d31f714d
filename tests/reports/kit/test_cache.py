"""What committed tables know of runs, and what they do not."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from discrete_vae import parallel
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.training import Prune, never
from reports.kit import context, histories
from reports.kit.cache import Cache, Known, Wants
from reports.kit.context import ReportContext
from reports.kit.provenance import described
from reports.kit.report import Report

CONFIG = Config("reinmax", epochs=3)
RUNS = Path("runs")


def folder(where: Path, *lines: tuple[Any, ...], status: str = "finished", **entry: Any) -> Path:
    """A folder with a run, and lines of split, samples, metric, epoch, value."""
    where.mkdir(parents=True)
    known = {"run": CONFIG.name, "status": status, "training_seconds": 1.5, "configuration": CONFIG.to_dict()}
    environments = [{"device": where.name, "commit": None}]
    told = {"report": "x", "environments": environments, "runs": [known | entry]}
    (where / "provenance.json").write_text(json.dumps(told))
    table = pd.DataFrame(lines, columns=["split", "samples", "metric", "epoch", "value"])
    table.assign(run=CONFIG.name).to_csv(where / "results.csv", index=False)
    return where


def known(where: Path) -> Known:
    """The folder's run."""
    (run,) = Cache([where]).of(CONFIG, RUNS)
    return run


def found(*folders: Path, prune: Prune = never, **wants: Any) -> Run | None:
    return Cache(folders).find([CONFIG], RUNS, prune, Wants(**wants)).get(CONFIG)


def bench(results: Path, monkeypatch: pytest.MonkeyPatch) -> ReportContext:
    """Another machine, which has these committed results alone."""
    monkeypatch.setattr(context, "RESULTS", results)
    monkeypatch.setattr(context, "KEPT", results / "none")
    return ReportContext("x", "quick", results / "none", results / "no runs")


ONE = [("test", 1, name, None, -1.0) for name in ("elbo", "kl", "reconstruction_hard")]
TEN = [("test", 10, name, None, -1.0) for name in ("elbo", "kl", "reconstruction_hard", "log_likelihood")]


def test_a_run_is_known_by_its_evaluations_and_its_history(tmp_path: Path) -> None:
    own = folder(tmp_path / "a", *TEN, ("validation", None, "elbo", 3, -2.0))
    assert found(own, samples={"test": 10}, whole=True, epochs=(3,), metrics=[("validation", "elbo")])
    assert found(own, epochs=(3,))
    assert not found(own, samples={"test": 9})
    assert not found(own, samples={"train": 10})
    assert not found(own, epochs=(2, 3))
    assert not found(own, epochs=(3,), metrics=[("validation", "kl")])
    assert not found(own, epochs=(3,), metrics=[("train", "elbo")])
    assert not found(folder(tmp_path / "c", ("validation", None, "kl", 3, -2.0)), epochs=(3,))
    assert not found(folder(tmp_path / "b", status="3 of 4 epochs"))
    assert not Cache([own]).of(Config("reinmax"), RUNS)


@pytest.mark.parametrize(("lines", "samples"), [(ONE, 1), (TEN, 10)])
def test_an_evaluation_is_whole_or_tells_what_settings_are_chosen_by(
    lines: list[tuple[Any, ...]], samples: int, tmp_path: Path
) -> None:
    """A table of trials may hold no more than these."""
    chosen = {"elbo", "log_likelihood"}
    for i, left_out in enumerate(lines):
        part = folder(tmp_path / str(i), *(each for each in lines if each is not left_out))
        assert not found(part, samples={"test": samples}, whole=True)
        assert (found(part, samples={"test": samples}) is None) == (left_out[2] in chosen)


def test_a_table_is_read_again_when_it_changed_and_what_was_given_may_be_changed(tmp_path: Path) -> None:
    where = folder(tmp_path / "a", *ONE)
    first = known(where)
    first.numbers["value"] = 5.0
    first.sessions()[0].clear()
    frame = first.evaluation()
    frame["value"] = 6.0
    again = known(where)
    assert set(again.evaluation()["value"]) == {-1.0}
    assert again.sessions()[0]["device"] == "a"
    path, before = where / "results.csv", (where / "results.csv").stat()
    with path.open("r+") as file:
        file.write(path.read_text().replace("-1.0", "-2.0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert set(known(where).evaluation()["value"]) == {-2.0}


def test_what_tables_tell_too_little_of_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report says beforehand what it will train."""
    folder(tmp_path / "a", *ONE, ("validation", None, "elbo", 3, -2.0))
    here, other = bench(tmp_path, monkeypatch), Config("reinmax", epochs=4)

    def report(**wants: Any) -> list[Config]:
        own = Report("x", "", {}, lambda preset, bench: None, plan=lambda preset: [CONFIG, *preset])
        return replace(own, parts=lambda preset: {"all": lambda bench: bench.train(own.plan(preset), **wants)}).missing(
            [], here
        )

    assert report() == report(samples={"test": 1}, whole=True, epochs=(3,)) == []
    assert report(samples={"test": 10}) == report(epochs=(2,)) == [CONFIG]
    own = Report("x", "", {}, lambda preset, bench: None, plan=lambda preset: [CONFIG, *preset])
    asked = replace(own, parts=lambda preset: {"all": lambda bench: bench.train([CONFIG], samples={"test": 9})})
    assert asked.missing([other], here) == [CONFIG, other]


@pytest.mark.parametrize(("tables", "whole"), [((1, 2, 3), True), ((3,), False), ((), False)])
def test_curves_are_not_drawn_of_a_part(
    tables: tuple[int, ...], whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last epoch alone, as a table of trials may tell it."""
    folder(tmp_path / "a", *(("validation", None, "elbo", epoch, -epoch) for epoch in tables))
    here = bench(tmp_path, monkeypatch)
    (run,) = here.train([CONFIG])
    monkeypatch.setattr(parallel, "train", lambda *args, **options: pytest.fail("trained"))
    monkeypatch.setattr(ReportContext, "dataset", lambda *args: None)
    with contextlib.nullcontext() if whole else pytest.raises(pytest.fail.Exception, match="trained"):
        assert histories.learning_curves(here, {"row": [run]}, {"elbo": "ELBO"}) == ["learning_curves"]


def test_where_patience_ended_is_known_without_the_history(tmp_path: Path) -> None:
    """Which a table of other metrics does not tell."""
    patient = replace(CONFIG, epochs=30, patience=2)
    told = {"run": patient.name, "configuration": patient.to_dict()}
    where = folder(tmp_path / "a", **told, last_epoch=5)
    lines = [(patient.name, "validation", None, "kl", epoch, 1.0) for epoch in range(1, 6)]
    table = pd.DataFrame(lines, columns=["run", "split", "samples", "metric", "epoch", "value"])
    table.to_csv(where / "results.csv", index=False)
    wants = Wants(epochs=range(1, 31), metrics=[("validation", "kl")])
    run = Cache([where]).find([patient], RUNS, wants=wants)[patient]
    assert (run.last_epoch, run.finished, run.step) == (5, True, 5 * run.steps_per_epoch)
    assert described([run], ())["runs"][0]["last_epoch"] == 5
    assert "last_epoch" not in described([known(folder(tmp_path / "b"))], ())["runs"][0]


@pytest.mark.parametrize("value", ["", "nan"])
def test_an_empty_value_or_a_relaxed_reconstruction_alone_is_no_evaluation(value: str, tmp_path: Path) -> None:
    lines = [("test", 1, "reconstruction_relaxed", None, -1.0), ("test", 1, "elbo", None, value)]
    assert not found(folder(tmp_path / "a", *lines), samples={"test": 1})


def test_a_run_comes_from_the_folder_that_tells_all(tmp_path: Path) -> None:
    """Numbers of two folders are not mixed."""
    one = folder(tmp_path / "one", ("test", 1, "elbo", None, -1.0))
    other = folder(tmp_path / "other", ("test", 1, "elbo", None, -5.0), ("train", 1, "elbo", None, -6.0))
    run = found(one, other, samples={"test": 1, "train": 1})
    assert isinstance(run, Known)
    assert run.source == other
    assert sorted(run.evaluation()["value"]) == [-6.0, -5.0]
    first = found(one, other, samples={"test": 1})
    assert isinstance(first, Known)
    assert first.source == one


def test_the_first_folder_says_what_was_pruned(tmp_path: Path) -> None:
    """Another report may have trained the same run to its end."""
    own = folder(tmp_path / "own", ("validation", None, "elbo", 1, -9.0), status="1 of 3 epochs")
    other = folder(tmp_path / "other", ("validation", 10, "elbo", None, -1.0))

    def after(last: int) -> Prune:
        return lambda epoch, metrics: list(metrics) if last <= epoch < 3 else ()

    pruned = found(own, other, prune=after(1))
    assert pruned is not None
    assert pruned.status == "1 of 3 epochs"
    whole = found(own, other, prune=after(2))  # it went on where that is asked for
    assert whole is not None
    assert whole.status == "finished"


def test_the_source_of_a_run_is_kept(tmp_path: Path) -> None:
    run = known(folder(tmp_path / "out", ("test", 10, "elbo", None, -1.0), source="theirs"))
    (entry,) = described([run], (tmp_path / "out",))["runs"]
    assert entry["source"] == "theirs"
    (entry,) = described([run], (tmp_path / "mine",))["runs"]
    assert entry["source"] == "theirs"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("results.csv", "run,split,metric,value\nx,test,elbo,many\n", "many"),
        ("results.csv", 'run,split,metric,value\n"x,test,elbo,1\n', "results.csv cannot be read"),
        ("results.csv", "", "results.csv cannot be read"),
        ("results.csv", "run,split,metric,value\nx,y\xff", "results.csv cannot be read"),
        (
            "results.csv",
            "run,split,samples,metric,value\nx,test,1,elbo,1\nx,test,1,elbo,2\n",
            "two values of elbo of x",
        ),
        ("results.csv", "run,split,epoch,metric,value\nx,test,1,elbo,1\nx,test,1,elbo,2\n", "two values of elbo of x"),
        ("results.csv", "run,split,metric,value\nx,test,dip,1\nx,test,dip,2\n", "two values of dip of x"),
        (
            "tuning.csv",
            f"run,split,samples,metric,value\n{CONFIG.name},test,10,elbo,-2\n",
            f"two values of elbo of {CONFIG.name}",
        ),
        ("provenance.json", "[]", "it is a list"),
        ("provenance.json", "{", "provenance.json cannot be read"),
        ("provenance.json", '{"runs": null}', "provenance.json cannot be read"),
        ("provenance.json", '{"runs": [{}]}', "provenance.json cannot be read"),
        ("provenance.json", '{"runs": [{"run": "x", "configuration": {"foo": 1}}]}', "provenance.json cannot be read"),
    ],
)
def test_a_damaged_file_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    where = folder(tmp_path / "a", ("test", 10, "elbo", None, -1.0))
    (where / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=message):
        found(where)
