"""The tables of the README and of the documentation are those of the committed results."""

from __future__ import annotations

import json
import re

import pandas as pd

from reports import semi_supervised
from reports.target_propagation.settings import FINALISTS
from reports.target_propagation.tables import setting
from tests.readme import PAGES, ROOT, SAID, TEXT

FOLDER = ROOT / "reports" / "results"


def tables(text: str) -> list[str]:
    """The tables of a text that have numbers with decimals in them."""
    found = re.findall(r"^(?:\|.*\|\n)+", text, re.MULTILINE)
    return [each for each in found if re.search(r"\| \**[\N{MINUS SIGN}+]?\d+\.\d", each)]


COMMITTED = [table for path in sorted(FOLDER.glob("*/*.md")) for table in tables(path.read_text())]


def test_tables_of_numbers_are_those_of_the_committed_results() -> None:
    """In the README as they are; on the pages of results, where they are included when the site is built, none is."""
    assert all(table in COMMITTED for table in tables(TEXT))
    assert not [name for name, text in PAGES.items() if name.startswith(("index", "results/")) and tables(text)]
    assert len(COMMITTED) > 40


def test_every_committed_result_has_its_page() -> None:
    text = "\n".join(PAGES.values())
    assert {path.name for path in FOLDER.iterdir()} == set(re.findall(r"\{include\} .*reports/results/([\w-]+)/", text))


def test_the_finalists_of_target_propagation_are_those_of_the_committed_results() -> None:
    folder = FOLDER / "target-propagation"
    # What presets without a search take is what this one found.
    chosen = json.loads((folder / "provenance.json").read_text())["settings"]["chosen"]
    assert chosen == {variant.label: setting(variant, trial) for variant, trial in FINALISTS.items()}


def test_every_row_with_images_of_unknown_class_beats_the_labels_alone_with_every_seed() -> None:
    folder = FOLDER / "semi-supervised"
    accuracy = semi_supervised.REPORT.metrics[0]
    values = {row: accuracy.of(pd.read_csv(folder / "results.csv"), row) for row in semi_supervised.ROWS}
    alone = values.pop(semi_supervised.ALONE)
    assert all(own[seed] > alone[seed] for own in values.values() for seed in alone)


def test_the_ratios_are_those_of_the_committed_results() -> None:
    folder = FOLDER / "throughput"
    table = (folder / "ratios.md").read_text()
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
    folder = FOLDER / "studies"
    made = (folder / "winners.md").read_text()
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
    results = pd.read_csv(FOLDER / "storage-overhead" / "results.csv")
    values = results.set_index(["row", "metric"])["value"]
    one, four = values["1 workers"], values["4 workers"]
    assert f"{one['seconds']:.2f} s of one worker's time and {four['seconds']:.2f} s with four" in SAID
    assert f"{one['trials_per_second']:.1f} and {four['trials_per_second']:.1f} trials a second" in SAID
    assert f"{one['share']:.2%} and {four['share']:.2%} of" in SAID
    assert four["share"] < 0.01
