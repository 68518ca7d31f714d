"""Rows of a report that several processes share: each takes what no other is at."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from discrete_vae import parallel
from discrete_vae.config import Config
from discrete_vae.errors import InputError
from discrete_vae.evaluation import yardstick
from discrete_vae.runs import Run, find
from discrete_vae.tasks import Architecture
from reports import __main__ as command
from reports.kit import shared
from reports.kit.comparison import Comparison
from reports.kit.context import ReportContext
from reports.kit.declared import Preset, Row, Task
from reports.kit.kept import keep
from reports.kit.results import Metric
from reports.kit.table import DASH
from tests.tiny_images import middle

SMALL = middle(2000, 200)
BASE = Config(architecture=Architecture(3, 3, ()), batch_size=500, data=SMALL.config)
PRESET = Preset(2, (0, 1), 3, (1e-3, 3e-3), trial_epochs=1, growth=0)
OWN = Comparison(
    "tiny",
    "Rows to share",
    [Row("GS", "gumbel-softmax"), Row("ST", "straight-through"), Row("ReinMax", "reinmax")],
    {"quick": PRESET},
    [Task("", BASE)],
    [Metric("test", "log_likelihood")],
)


def context(runs: Path, out: str = "out", **options: Any) -> ReportContext:
    given = {"_data": {SMALL.config: SMALL}} | options
    return ReportContext("tiny", "quick", runs.parent / out, runs, torch.device("cpu"), **given)


def trained(runs: Path) -> set[str]:
    return {run.config.strategy for run in find(runs)}


def test_each_row_is_trained_tried_and_evaluated_and_the_report_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = context(tmp_path / "runs")
    assert list(OWN.parts(PRESET)) == ["GS", "ST", "ReinMax"]
    assert list(shared.train(shared.chosen(OWN.parts(PRESET), ["ST", "GS"], bench), bench)) == [
        ("ST", True),
        ("GS", True),
    ]
    assert trained(tmp_path / "runs") == {"gumbel-softmax", "straight-through"}
    finals = [run for run in find(tmp_path / "runs") if run.config.epochs == 2]
    assert len(finals) == 4
    assert not any(yardstick.stored(run, "test", 3).empty for run in finals)
    assert {config.strategy for config in OWN.missing(PRESET, bench)} == {"reinmax"}
    assert OWN.missing(PRESET, bench, ["GS"]) == []
    assert list(shared.train(OWN.parts(PRESET), bench)) == [("GS", True), ("ST", True), ("ReinMax", True)]

    assert OWN.missing(PRESET, bench) == []
    monkeypatch.setattr(parallel, "evaluate", None)
    OWN.make(PRESET, bench)
    assert (tmp_path / "out" / "results.csv").exists()


def test_a_row_that_another_process_is_at_is_passed_over(tmp_path: Path) -> None:
    """Whether it holds the row or, for another report, one of its runs; it is trained later."""
    bench = context(tmp_path / "runs")
    with shared.hold(bench, "GS"):
        assert list(shared.train(OWN.parts(PRESET), bench)) == [("GS", False), ("ST", True), ("ReinMax", True)]
    assert list(shared.train(OWN.parts(PRESET), bench)) == [("GS", True), ("ST", True), ("ReinMax", True)]
    with shared.hold(bench, "GS"):
        assert next(shared.train(OWN.parts(PRESET), bench)) == ("GS", True), "it has ended, whoever looks at it"
    here = context(tmp_path / "others")
    trial = next(config for config in OWN.plan(PRESET) if config.strategy == "straight-through")
    with Run(here.runs / trial.name, trial).held():
        assert list(shared.train(OWN.parts(PRESET), here)) == [("GS", True), ("ST", False), ("ReinMax", True)]
    assert list(shared.train(OWN.parts(PRESET), here)) == [("GS", True), ("ST", True), ("ReinMax", True)]


def test_what_is_trained_and_not_evaluated_is_not_evaluated_by_a_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may be at it, and it may take hours."""
    bench = context(tmp_path / "runs")
    assert all(whole for _, whole in shared.train(OWN.parts(PRESET), bench))
    for run in find(tmp_path / "runs"):
        (run.folder / "evaluation.csv").unlink(missing_ok=True)
    monkeypatch.setattr(parallel, "evaluate", None)
    assert OWN.missing(PRESET, bench) == []
    monkeypatch.undo()
    OWN.make(PRESET, bench)
    assert "log_likelihood" in (tmp_path / "out" / "results.csv").read_text()


def test_a_table_of_what_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are not whole are left out, on some of the tasks dashes, and nothing is trained or evaluated."""
    tasks = [Task("one", BASE), Task("two", dataclasses.replace(BASE, batch_size=1000))]
    own = dataclasses.replace(
        OWN, tasks=tasks, text="ST has << mean('ST, one', 'test', 'log_likelihood') >>.\n\n[table: results]\n"
    )
    bench = context(tmp_path / "runs")
    known = dataclasses.replace(bench, known_only=True)
    with pytest.raises(InputError, match=r"no row of tiny --preset quick is known in .*python -m reports train tiny"):
        own.make(PRESET, known)
    assert all(
        whole for _, whole in shared.train(shared.chosen(own.parts(PRESET), ["GS, one", "ReinMax, two"], bench), bench)
    )
    for run in find(tmp_path / "runs"):  # trained, and not evaluated
        if run.config.strategy == "reinmax" and run.config.epochs == 2:
            (run.folder / "evaluation.csv").unlink()
    parts = shared.train(shared.chosen(own.parts(PRESET), ["ST, two"], bench), bench)
    assert list(parts) == [("ST, two", True)]
    monkeypatch.setattr(parallel, "evaluate", None)
    before = {run.folder.name for run in find(tmp_path / "runs")}
    own.make(PRESET, known)
    assert {run.folder.name for run in find(tmp_path / "runs")} == before
    gs, st = own.tables(tmp_path / "out", "quick")["results"].rows
    assert (gs[0], *gs[3:], *st[:3]) == ("GS", DASH, DASH, "ST", DASH, DASH)
    assert DASH not in (gs[1], st[3])
    caption = (tmp_path / "out" / "results.tex").read_text()
    assert "2 of 6 rows and tasks are trained; the others are left out or dashes." in caption
    assert "ST has \\textendash{}." in (tmp_path / "out" / "tiny.tex").read_text()
    told = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert told["command"] == "python -m reports tiny --preset quick --known"
    monkeypatch.undo()
    own.make(PRESET, bench)
    assert "rows and tasks are trained" not in (tmp_path / "out" / "results.tex").read_text()
    assert "known_only" not in json.loads((tmp_path / "out" / "provenance.json").read_text())


def test_kept_tables_in_place_of_runs(tmp_path: Path) -> None:
    """What another machine kept is known where its tables are named as the folder of the runs."""
    assert all(done for _, done in shared.train(OWN.parts(PRESET), context(tmp_path / "there")))
    keep(tmp_path / "there", tmp_path / "kept")
    known = dataclasses.replace(context(tmp_path / "kept"), known_only=True)
    assert OWN.missing(PRESET, known) == []
    OWN.make(PRESET, known)
    assert "not trained" not in (tmp_path / "out" / "results.tex").read_text()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    own = dataclasses.replace(OWN, presets={"quick": dataclasses.replace(PRESET, epochs=1)})
    monkeypatch.setitem(command.REPORTS, "tiny", own)
    monkeypatch.setattr(ReportContext, "dataset", lambda self, config: SMALL)

    def call(*tokens: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            command.main([*tokens, "--runs", str(tmp_path / "runs")])
        shown = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, shown.out or shown.err

    with pytest.raises(SystemExit):
        command.main(["rows", "tiny"])
    assert capsys.readouterr().out == "GS\nST\nReinMax\n"
    assert call("train", "tiny", "--row", "GS", "--row", "ST") == (0, "GS: ended\nST: ended\n")
    assert trained(tmp_path / "runs") == {"gumbel-softmax", "straight-through"}
    asked = list[object]()
    with shared.hold(context(tmp_path / "runs"), "ReinMax"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "announce", lambda report, bench, rows: asked.append(rows))
        code, told = call("train", "tiny")
        assert call("train", "tiny", "--row", "ReinMax")[0] == 1
    assert asked == [["GS", "ST"]], "of rows that others are at no minutes are told"
    assert code == 1
    assert told.endswith(
        "GS: ended\nST: ended\nReinMax: another process is at it\n"
        "1 of 3 rows not ended: other processes are at it. Call again later\n"
    )

    def passed_over(parts: object, bench: object) -> list[tuple[str, bool]]:
        own.make(own.presets["quick"], context(tmp_path / "runs"))  # another process ends it
        return [("GS", True), ("ReinMax", False)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "train", passed_over)
        code, told = call("train", "tiny", "--row", "GS", "--row", "ReinMax")
    assert code == 0
    assert told.endswith("GS: ended\nReinMax: another process is at it\nReinMax: ended meanwhile\n")
    assert call("train", "tiny")[1].endswith("GS: ended\nST: ended\nReinMax: ended\n")
    run = next(run for run in find(tmp_path / "runs") if run.config.strategy == "gumbel-softmax")
    with run.held():  # such as by another report: its lock is in nobody's way
        assert call("train", "tiny", "--row", "ST", "--row", "GS")[1].endswith("trained\nST: ended\nGS: ended\n")
    assert call("train", "tiny") == (
        0,
        "all runs are known already; none is trained\n" + "".join(f"{row}: ended\n" for row in ("GS", "ST", "ReinMax")),
    )
    assert call("train", "tiny", "--row", "ReinMx") == (
        2,
        "error: unknown row 'ReinMx'; did you mean 'ReinMax'? "
        "python -m reports rows tiny --preset quick shows them all\n",
    )
    assert call("train", "tiny", "--row")[0] == 2
    code, told = call("train", "polynomial")
    assert code == 2
    assert (
        "trains in a way of its own, and not by rows; make it: python -m reports polynomial --preset quick --out FOLDER"
        in told
    )
    out = ("--out", str(tmp_path / "out"))
    assert call("tiny", "--known", *out)[0] == 0
    assert "ReinMax" in (tmp_path / "out" / "results.md").read_text()
    code, told = call("critics", "--known", *out)
    assert (code, "known has no effect with critics, which is no comparison" in told) == (2, True)
    code, told = call("tiny", "--known", "--retrain", *out)
    assert (code, "known and retrain contradict each other" in told) == (2, True)
