"""What stands around the package agrees with it: versions, authors, papers, changelog, stability and issue forms."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import discrete_vae
from discrete_vae.citations import entries
from tests.test_deprecation import MOVED, RENAMED
from tests.test_docs import PUBLIC

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
STABILITY = (ROOT / "docs" / "api" / "stability.md").read_text()
PERSON = {"family-names", "given-names", "name-particle", "name-suffix", "alias", "orcid", "affiliation", "website"}
ENTITY = {"name", "alias", "website", "date-start", "date-end", "location"}
KINDS = {"article", "book", "conference-paper", "dataset", "generic", "preprint", "proceedings", "report", "thesis"}
"""Types of references in the Citation File Format 1.2.0 that a paper may have."""
FIELDS = {"type", "title", "authors", "year", "url", "notes", "collection-title", "thesis-type", "doi"}

UNUSED = "LocoProp: Enhancing BackProp via Local Loss Optimization"
"""Cited for a geometry, which no strategy's claim names: it is not in the bibliography."""


def words(title: str) -> str:
    """A title without braces, case and signs."""
    return " ".join(re.findall(r"\w+", title.replace("{", "").replace("}", "").lower()))


def test_the_version_has_one_place() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", discrete_vae.__version__)
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]
    assert str(CITATION["version"]) == discrete_vae.__version__


def test_the_citation_has_what_the_format_asks_for() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["title"]
    assert CITATION["message"]
    assert CITATION["license"] == PROJECT["license"]
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]
    for reference in CITATION["references"]:
        assert reference["type"] in KINDS
        assert set(reference) <= FIELDS
        assert isinstance(reference["year"], int)
        assert reference["authors"]
        assert all(set(author) <= PERSON or set(author) <= ENTITY for author in reference["authors"])


@pytest.mark.parametrize(
    "reference",
    [each for each in CITATION["references"] if each["title"] != UNUSED],
    ids=lambda reference: reference["title"][:40],
)
def test_a_cited_paper_is_that_of_the_bibliography(reference: dict[str, Any]) -> None:
    """By its arXiv number, or the thesis by its title: the same title, year and number of authors."""
    number = reference.get("url", "").removeprefix("https://arxiv.org/abs/")
    found = [
        entry
        for entry in entries().values()
        if (f"eprint = {{{number}}}" in entry if number else words(reference["title"]) in words(entry))
    ]
    assert len(found) == 1
    assert words(reference["title"]) in words(found[0])
    assert f"year = {{{reference['year']}}}" in found[0]
    (authors,) = re.findall(r"author = \{(.*)\},", found[0])
    assert len(authors.split(" and ")) == len(reference["authors"])


def test_the_changelog_keeps_its_form() -> None:
    sections = re.findall(r"^## \[(.+?)\](?: - (\S+))?$", CHANGELOG, re.MULTILINE)
    assert sections[0] == ("Unreleased", "")
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in sections[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE)) <= kinds
    if len(sections) == 1:  # before the first release
        assert f"The first release will be {discrete_vae.__version__}." in CHANGELOG


def test_the_changelog_names_every_deprecation() -> None:
    for package, old, new in RENAMED:
        assert f"`{package}.{old}`" in CHANGELOG
        assert f"`{package}.{new}`" in CHANGELOG
    for old, new, _ in MOVED:
        assert f"`discrete_vae.{old}`" in CHANGELOG
        assert f"`discrete_vae.{new}`" in CHANGELOG


def test_every_public_module_says_how_stable_it_is() -> None:
    """Once, in the table; what it names can be imported."""
    named = re.findall(r"`([a-z_.]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", STABILITY, re.MULTILINE)))
    assert len(named) == len(set(named))
    assert {name for name in PUBLIC if not any(name.startswith(f"{each}.") for each in named)} <= set(named)
    for name in named:
        importlib.import_module(name if name.startswith("reports") else f"discrete_vae.{name}")


def test_the_form_for_a_wrong_number_asks_for_what_reproduces_it() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "wrong-number.yml").read_text())
    assert {"name", "description", "body"} <= set(form)
    ids = [item["id"] for item in form["body"]]
    assert len(ids) == len(set(ids))
    required = {item["id"] for item in form["body"] if item.get("validations", {}).get("required")}
    assert {"command", "run", "observed", "expected", "version"} == required
    assert all(item["type"] in {"textarea", "input", "checkboxes"} for item in form["body"])
    assert all(item["attributes"]["label"] for item in form["body"])
