"""The README's numbers stand on the documentation's pages, and lengths of training are those of the runs."""

from __future__ import annotations

import json
import re

import pytest

from tests.readme import ROOT, SAID, TEXT, sentences

TABLES = sentences("\n".join(path.read_text() for path in (ROOT / "reports" / "results").glob("*/*.md")))
NUMBER = re.compile(r"-?\d+\.\d+(?= nats)|-?\d+\.\d+ ± \d+\.\d+")
"""What the README says in nats or with an interval."""


def test_numbers_of_the_readme_stand_on_the_pages_of_results() -> None:
    """These are held to the committed results by the other files of this folder."""
    assert set(NUMBER.findall(sentences(TEXT))) <= set(NUMBER.findall(SAID)) | set(NUMBER.findall(TABLES))


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        ("target-propagation", "the runs of the full one took {:.1f} hours in sum"),
        ("studies", "Its runs took {:.1f} hours in sum"),
    ],
)
def test_how_long_was_trained(report: str, sentence: str) -> None:
    seconds = json.loads((ROOT / "reports" / "results" / report / "provenance.json").read_text())["training_seconds"]
    assert sentence.format(seconds / 3600) in SAID
