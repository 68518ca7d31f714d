"""The reports on generators of strings and on a critic in place of the KL, on small networks: files, second calls."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.errors import InputError
from discrete_vae.runs import Run
from discrete_vae.runs.spreadsheets import to_csv
from discrete_vae.tasks import Architecture
from reports import adversarial_vae, real_sequences, sequences
from reports.kit.context import RESULTS, ReportContext
from reports.kit.declared import Preset, Task
from reports.sequences import parts
from tests.data.corpora import written_text

SMALL = Architecture(hidden=(8,), activation="relu", style=3)


@pytest.fixture(autouse=True)
def _short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "steps_per_epoch", 4)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def twice(report: str, make, preset: object, tmp_path: Path) -> dict[str, bytes]:
    """A report's files; a second call trains nothing and writes the same."""
    bench = ReportContext(report, "quick", tmp_path / "out", tmp_path / "runs")
    make(preset, bench)
    first = contents(bench.out)
    trained = {path: path.stat().st_mtime_ns for path in bench.runs.rglob("checkpoint*")}
    make(preset, bench)
    assert contents(bench.out) == first
    assert {path: path.stat().st_mtime_ns for path in bench.runs.rglob("checkpoint*")} == trained
    return first


def test_sequences(tmp_path: Path) -> None:
    base = dataclasses.replace(sequences.BASE, architecture=SMALL, batch_size=16)
    preset = sequences.preset(1, 3, base, "molecules")
    preset = dataclasses.replace(preset, rows=preset.rows[:2])
    files = twice("sequences", sequences.make, preset, tmp_path)
    expected = {"results.csv", "provenance.json", "references.bib", "sequences.tex", "report.html"}
    expected |= {"molecules.tex", "molecules.md", "examples.tex", "examples.md", "examples.csv", "learning_curves.csv"}
    expected |= {"sequences_curves.pdf", "sequences_curves.png"}
    assert files.keys() - {"sequences.pdf"} == expected
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    rows = {"softmax", "Gumbel-Softmax", *parts.MODELS, parts.REAL}
    assert set(results["row"]) == {f"{row}, molecules" for row in rows}
    shares = results[results["metric"] == "valid"].groupby("row")["value"].mean()
    assert shares["real strings, molecules"] == 1
    assert shares["softmax, molecules"] < 0.05 < shares["4-gram model, molecules"] < 0.5
    distances = results[results["metric"] == "js_4"].groupby("row")["value"].mean()
    assert distances["real strings, molecules"] < distances["4-gram model, molecules"] < 0.02
    assert rb"\input{molecules.tex}" in files["sequences.tex"]
    assert b"gulrajani2017" in files["references.bib"]


def test_committed_strings_are_shown_for_known_runs(tmp_path: Path) -> None:
    """And drawn from the weights where the run is not known."""
    plan = sequences.planned(sequences.PRESETS["laptop"])["softmax, expressions"]
    bench = ReportContext("sequences", "laptop", tmp_path / "out", tmp_path / "runs")
    (known,) = bench.train(plan[:1])
    strings = parts.strings(known, bench)
    assert strings == list(pd.read_csv(RESULTS / "sequences" / parts.EXAMPLES)["string"][: parts.SHOWN])
    assert not bench.runs.exists()


def test_committed_strings_are_those_that_were_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a generator wrote nothing, or what looks like a number or a formula."""
    written = ["", "1", "007", "-C"]
    plan = sequences.planned(sequences.PRESETS["laptop"])["softmax, expressions"]
    bench = ReportContext("sequences", "laptop", tmp_path / "out", tmp_path / "runs")
    (known,) = bench.train(plan[:1])
    monkeypatch.setattr(parts, "RESULTS", tmp_path)
    table = pd.DataFrame({"row": "softmax", "run": known.config.name, "string": written})
    (tmp_path / "sequences").mkdir()
    (tmp_path / "sequences" / parts.EXAMPLES).write_text(to_csv(table))
    assert parts.strings(known, bench) == written


def test_generators_are_held_against_models() -> None:
    """By Welch's test, after Holm's correction among the generators."""
    shares = {"softmax": 0.6, "ReinMax": 0.351, "4-gram model": 0.35}
    results = pd.DataFrame(
        {"row": f"{row}, expressions", "seed": seed, "split": "test", "metric": "valid", "value": share + seed * step}
        for step, (row, share) in enumerate(shares.items(), 1)
        for seed in (0, 0.001, 0.002)
    )
    welch = parts.held_against(results.assign(seed=[0, 1, 2] * 3), ["softmax", "ReinMax"])
    assert welch("softmax", "4-gram model", "expressions", "valid") == "<0.0001"
    assert float(welch("ReinMax", "4-gram model", "expressions", "valid")) > 0.05


def test_a_critic_in_place_of_the_kl(tmp_path: Path) -> None:
    base = dataclasses.replace(adversarial_vae.BASE, architecture=Architecture(4, 3, (8,)), batch_size=16)
    rows = adversarial_vae.rows((1.0, 5.0), adversarial_vae.RELAXED)
    preset = Preset(1, (0, 1), 2, rows=rows, tasks=[Task(base=base)], splits=("validation", "test"))
    report = dataclasses.replace(adversarial_vae.REPORT, presets={"tiny": preset})
    files = twice("adversarial-vae", report.make, preset, tmp_path)
    expected = {"results.csv", "tuning.csv", "provenance.json", "references.bib", "adversarial-vae.tex", "report.html"}
    expected |= {"results.tex", "results.md", "differences.tex", "differences.md"}
    expected |= {"adversarial_vae_samples.pdf", "adversarial_vae_samples.png"}
    assert files.keys() - {"adversarial-vae.pdf"} == expected
    tuning = pd.read_csv(tmp_path / "out" / "tuning.csv").set_index("parameters")["value"]
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results["row"]) == {"Gumbel-Softmax, KL", "Gumbel-Softmax, critic"}
    beta = json.loads(str(tuning.idxmax())).get("beta", "1")
    critic = results[results["row"] == "Gumbel-Softmax, critic"]
    assert {json.loads(each).get("beta", "1") for each in critic["parameters"]} == {beta}
    assert {"elbo", "kl", "log_likelihood", "code_entropy"} <= set(critic["metric"])


def test_real_sequences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data from a folder, convolutions, and as many epochs as the data set has; text has words, and no validity."""
    written_text(tmp_path / "data", monkeypatch)
    small = Architecture(backbone="isotropic", channels=(4,), hidden=(), activation="relu", style=3)
    base = dataclasses.replace(real_sequences.SMALL, architecture=small, batch_size=4)
    preset = real_sequences.preset(2, base, {"text": 2})
    preset = dataclasses.replace(preset, epochs=7, rows=preset.rows[:2])
    bench = ReportContext("real-sequences", "quick", tmp_path / "out", tmp_path / "runs", folder=tmp_path / "data")
    real_sequences.make(preset, bench)
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results["row"]) == {f"{row}, text" for row in ("softmax", "Gumbel-Softmax", *parts.MODELS, parts.REAL)}
    assert {"words", "unique", "novel", "js_4"} <= set(results["metric"])
    assert "valid" not in set(results["metric"])
    history = pd.read_csv(tmp_path / "out" / "learning_curves.csv")
    assert set(history["epoch"]) == {1, 2}
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["settings"]["epochs"] == {"text": 2}
    assert (tmp_path / "out" / "text.md").read_text().startswith("|  | words, % | unique, % | novel, % | JS 1 |")
    # Committed scores of models and real strings stand in for files that are not there.
    monkeypatch.setattr(parts, "RESULTS", tmp_path)
    (tmp_path / "real-sequences").symlink_to(tmp_path / "out")
    again = dataclasses.replace(bench, folder=tmp_path / "nowhere", _data={})
    found = parts.reference("text", (0, 1), again)
    assert found.to_dict("list") == parts.stored("text", (0, 1), bench).to_dict("list")
    with pytest.raises(InputError, match=r"has no kjv\.jsonl"):
        parts.reference("text", (0, 1, 2), again)


def test_the_paper_has_its_number_of_updates() -> None:
    for configs in sequences.planned(real_sequences.PRESETS["paper"]).values():
        assert 200_000 <= configs[0].epochs * (configs[0].data.split_sizes.train // configs[0].step_size) < 203_000
