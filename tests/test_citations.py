"""Every strategy can be cited, and the bibliography is one that BibTeX reads."""

import re

import pytest

import discrete_vae
from discrete_vae.citations import entries, keys
from discrete_vae.errors import InputError
from discrete_vae.strategies import STRATEGIES


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "enumeration"])
def test_every_strategy_has_its_paper(strategy: str) -> None:
    text = discrete_vae.citation(strategy)
    papers = keys(STRATEGIES[strategy].claim.paper)
    assert papers
    assert re.findall(r"^@\w+\{(\w+),$", text, flags=re.MULTILINE) == sorted(papers)
    for paper in papers:
        assert f"year = {{{paper[-4:]}}}" in entries()[paper]


def test_what_is_nobodys_has_nothing_to_cite() -> None:
    assert discrete_vae.citation("enumeration") == ""


def test_unknown_strategies_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="reinmax"):
        discrete_vae.citation("reinmaxx")


def test_entries_are_whole() -> None:
    found = entries()
    assert all(key and entry.count("{") == entry.count("}") for key, entry in found.items())
    assert all(re.search(r"^  title = ", entry, flags=re.MULTILINE) for entry in found.values())
