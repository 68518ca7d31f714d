"""The README's tables are those of the committed results."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from reports import semi_supervised
from reports.target_propagation.settings import FINALISTS
from reports.target_propagation.tables import setting
from tests.readme import RESULTS, ROOT, TEXT


@pytest.mark.parametrize("name", ["table_5_1", "bounds"])
def test_the_tables_are_those_of_the_committed_results(name: str) -> None:
    assert (RESULTS / f"{name}.md").read_text() in TEXT


def test_target_propagation_is_that_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "target-propagation"
    assert (folder / "results.md").read_text() in TEXT
    # What presets without a search take is what this one found.
    chosen = json.loads((folder / "provenance.json").read_text())["settings"]["chosen"]
    assert chosen == {variant.label: setting(variant, trial) for variant, trial in FINALISTS.items()}


def test_classification_is_that_of_the_committed_results() -> None:
    """And every row with images of unknown class beats the labels alone with every seed."""
    folder = ROOT / "reports" / "results" / "semi-supervised"
    assert (folder / "results.md").read_text() in TEXT
    accuracy = semi_supervised.REPORT.metrics[0]
    values = {row: accuracy.of(pd.read_csv(folder / "results.csv"), row) for row in semi_supervised.ROWS}
    alone = values.pop(semi_supervised.ALONE)
    assert all(own[seed] > alone[seed] for own in values.values() for seed in alone)


def test_speed_by_classes_is_that_of_the_committed_results() -> None:
    assert (ROOT / "reports" / "results" / "speed-by-classes" / "speeds.md").read_text() in TEXT


@pytest.mark.parametrize(
    "table",
    [
        "jang/results",
        "reinmax/results",
        "critics/coverage",
        "gauss-newton/results",
        "sequences/expressions",
        "sequences/molecules",
        "adversarial-vae/results",
    ],
)
def test_tables_of_reports_stand_in_the_readme(table: str) -> None:
    assert (ROOT / "reports" / "results" / f"{table}.md").read_text() in TEXT


def test_the_ratios_are_those_of_the_committed_results() -> None:
    folder = ROOT / "reports" / "results" / "throughput"
    table = (folder / "ratios.md").read_text()
    assert table in TEXT
    ratios = pd.read_csv(folder / "results.csv").query("metric == 'step_over_floor'").set_index("row")["value"]
    heads = [head.strip() for head in table.splitlines()[0].split("|")[2:-1]]
    compared = 0
    for line in table.splitlines()[2:-1]:
        name, *cells = (cell.strip().strip("`") for cell in line.split("|")[1:-1])
        for head, cell in zip(heads, cells, strict=True):
            assert cell == f"{ratios[f'{name}, {head}']:.2f}"
            compared += 1
    assert compared == 20


def test_the_study_is_that_of_the_committed_results() -> None:
    """Its table, and in it the means over the fresh seeds of the winners."""
    folder = ROOT / "reports" / "results" / "studies"
    made = (folder / "winners.md").read_text()
    assert made in TEXT
    results = pd.read_csv(folder / "results.csv", dtype={"trial": str})
    for study, trials in results[results["state"] == "complete"].groupby("row"):
        winner = trials.groupby("trial")["value"].mean().idxmax()
        again = results[(results["row"] == study) & (results["trial"] == winner) & (results["state"] == "again")]
        for metric in ("elbo", "log_likelihood"):
            values = again[(again["split"] == "test") & (again["metric"] == metric)]["value"]
            assert len(values) == 5
            (line,) = (line for line in made.splitlines() if line.startswith(f"| {str(study).partition('/')[2]} "))
            assert f" {values.mean():.2f} ± ".replace("-", "−") in line  # noqa: RUF001


def test_what_the_storage_costs_is_what_was_measured() -> None:
    results = pd.read_csv(ROOT / "reports" / "results" / "storage-overhead" / "results.csv")
    values = results.set_index(["row", "metric"])["value"]
    one, four = values["1 workers"], values["4 workers"]
    assert f"{one['seconds']:.2f} s of one worker's time and {four['seconds']:.2f} s with four" in TEXT.replace(
        "\n", " "
    )
    assert f"{one['trials_per_second']:.1f} and {four['trials_per_second']:.1f} trials a second" in TEXT
    assert f"{one['share']:.2%} and {four['share']:.2%} of" in TEXT.replace("\n", " ")
    assert four["share"] < 0.01
