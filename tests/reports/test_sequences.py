"""The reports on generators of strings and on a critic in place of the KL, on small networks: files, second calls."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from discrete_vae.data import DataConfig
from discrete_vae.runs import Run
from discrete_vae.schedules import Schedule
from discrete_vae.tasks import Architecture
from reports import adversarial_vae, sequences, sequences_tables
from reports.kit.context import ReportContext

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
    preset = sequences.Preset(("molecules",), sequences.ROWS[:2], 1, (0, 1, 2), base)
    files = twice("sequences", sequences.make, preset, tmp_path)
    expected = {"results.csv", "provenance.json", "references.bib", "sequences.tex", "sequences.md"}
    expected |= {"sequences_molecules.tex", "sequences_examples.tex", "sequences_curves.pdf", "sequences_curves.png"}
    assert files.keys() - {"sequences.pdf"} == expected
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    rows = {"softmax", "Gumbel-Softmax", *sequences_tables.MODELS, sequences_tables.REAL}
    assert set(results["row"]) == {f"{row}, molecules" for row in rows}
    shares = results[results["metric"] == "valid"].groupby("row")["value"].mean()
    assert shares["real strings, molecules"] == 1
    assert shares["softmax, molecules"] < 0.05 < shares["4-gram model, molecules"] < 0.5
    distances = results[results["metric"] == "js_4"].groupby("row")["value"].mean()
    assert distances["real strings, molecules"] < distances["4-gram model, molecules"] < 0.02
    text = (tmp_path / "out" / "sequences.tex").read_text()
    assert r"\input{sequences_molecules.tex}" in text
    told = " ".join(text.split())
    assert "Below it: softmax and Gumbel-Softmax" in told, "after four steps"
    assert b"gulrajani2017" in files["references.bib"]


def test_what_is_said_follows_the_numbers() -> None:
    def results(*shares: float) -> pd.DataFrame:
        rows = ("softmax", "ReinMax", sequences_tables.MATCHED)
        return pd.DataFrame(
            {
                "row": f"{row}, expressions",
                "seed": seed,
                "split": "test",
                "metric": "valid",
                "value": share + place * seed / 1e3,
            }
            for place, (row, share) in enumerate(zip(rows, shares, strict=True))
            for seed in range(3)
        )

    def told(*shares: float) -> str:
        return sequences_tables.meaning(("expressions",), ("softmax", "ReinMax"), results(*shares))

    first = told(0.6, 0.3, 0.35)
    assert "the 4-gram model has the most, 35.2 per cent; of the generators softmax has the highest mean, 60.0" in first
    assert "Above it: softmax. Below it: ReinMax." in first
    assert "Above it: softmax and ReinMax." in told(0.6, 0.5, 0.35)
    assert "Not told apart from it: ReinMax." in told(0.6, 0.351, 0.35)


def test_generators_are_held_against_the_strongest_model() -> None:
    """Whatever its order; the README's table has it beside the matched one."""
    shares = {"softmax": 0.24, "2-gram model": 0.3, "3-gram model": 0.1, sequences_tables.MATCHED: 0.2}
    results = pd.DataFrame(
        {"row": f"{row}, molecules", "seed": seed, "split": "test", "metric": "valid", "value": share + seed / 1e3}
        for row, share in shares.items()
        for seed in range(3)
    )
    assert sequences_tables.strongest("molecules", results, "valid") == "2-gram model"
    told = sequences_tables.meaning(("molecules",), ("softmax",), results)
    assert "the 2-gram model has the most, 30.1 per cent" in told
    assert "Below it: softmax." in told
    rows = sequences_tables.markdown(("molecules",), ("softmax",), results)
    assert "| 2-gram model |" in rows
    assert "| 3-gram model |" not in rows
    assert f"| {sequences_tables.MATCHED} |" in rows


def test_a_critic_in_place_of_the_kl(tmp_path: Path) -> None:
    base = dataclasses.replace(
        adversarial_vae.BASE, architecture=Architecture(4, 3, (8,)), batch_size=16, data=DataConfig()
    )
    preset = adversarial_vae.Preset({"gumbel-softmax": Schedule(0.5)}, (1.0, 5.0), 1, (0, 1), 2, base)
    files = twice("adversarial-vae", adversarial_vae.make, preset, tmp_path)
    expected = {"results.csv", "tuning.csv", "provenance.json", "references.bib", "adversarial-vae.tex"}
    expected |= {"adversarial_vae_table.tex", "adversarial-vae.md"}
    expected |= {"adversarial_vae_samples.pdf", "adversarial_vae_samples.png"}
    assert files.keys() - {"adversarial-vae.pdf"} == expected
    tuning = pd.read_csv(tmp_path / "out" / "tuning.csv").set_index("row")["value"]
    results = pd.read_csv(tmp_path / "out" / "results.csv")
    assert set(results["row"]) == {"Gumbel-Softmax, KL", "Gumbel-Softmax, critic"}
    chosen = tuning.idxmax().rpartition(" ")[2]
    critic = results[results["row"] == "Gumbel-Softmax, critic"]
    assert critic["parameters"].str.contains(f'"beta": "{float(chosen):g}"').all()
    assert {"elbo", "kl", "log_likelihood", "code_entropy"} <= set(critic["metric"])
