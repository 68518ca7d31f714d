"""Every strategy can be cited, and the bibliography is one that BibTeX reads."""

import re

import numpy as np
import pytest

import discrete_vae
from discrete_vae.citations import bibliography, entries, keys
from discrete_vae.errors import InputError
from discrete_vae.strategies import STRATEGIES
from reports import (
    adversarial_vae,
    architectures,
    critics,
    digits,
    gauss_newton,
    listops,
    more_data,
    polynomial,
    semi_supervised,
    studies,
)

NOBODYS = ("enumeration", "marginalisation")


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in NOBODYS])
def test_every_strategy_has_its_paper(strategy: str) -> None:
    text = discrete_vae.citation(strategy)
    kind = STRATEGIES[strategy]
    assert keys(kind.claim.paper)
    papers = keys(f"{kind.claim.paper}; {kind.builds_on}")
    assert re.findall(r"^@\w+\{(\w+),$", text, flags=re.MULTILINE) == sorted(papers)
    for paper in papers:
        assert f"year = {{{re.findall(r'[0-9]{4}', paper)[0]}}}" in entries()[paper]


def test_target_propagation_is_its_inverses_authors_too() -> None:
    found = {
        inverse: re.findall(
            r"^@\w+\{(\w+),$", discrete_vae.citation("target-propagation", inverse=inverse), re.MULTILINE
        )
        for inverse in ("encoder", "network", "drl", "l-drl", "mirror", "probes", "random")
    }
    assert found == {
        "encoder": ["nitta2017"],
        "network": ["lee2015", "nitta2017"],
        "drl": ["meulemans2020", "nitta2017"],
        "l-drl": ["ernoult2022", "nitta2017"],
        "mirror": ["akrout2019", "kolen1994", "nitta2017"],
        "probes": ["akrout2019", "nitta2017"],
        "random": ["nitta2017", "shibuya2023"],
    }


CITING = (
    studies.PAPERS,
    *(each.REPORT.papers for each in (semi_supervised, adversarial_vae, more_data)),
    *(each.PAPERS for each in (critics, digits, architectures)),
    gauss_newton.PAPERS,
    listops.PAPERS,
    polynomial.PAPERS,
)
"""What reports cite beside their strategies' papers."""


def test_no_entry_is_unused() -> None:
    inverses = ("network", "drl", "l-drl", "mirror", "random")
    used = [(name, kind.Options()) for name, kind in STRATEGIES.items()]
    used += [("target-propagation", STRATEGIES["target-propagation"].Options(inverse=each)) for each in inverses]
    used += [("target-propagation", STRATEGIES["target-propagation"].Options(geometry="matching"))]
    assert set(re.findall(r"^@\w+\{(\w+),$", bibliography(used, "; ".join(CITING)), re.MULTILINE)) == set(entries())


def test_what_is_nobodys_has_nothing_to_cite() -> None:
    assert all(discrete_vae.citation(name) == "" for name in NOBODYS)


def test_unknown_strategies_are_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="reinmax"):
        discrete_vae.citation("reinmaxx")


def test_a_number_is_a_constant_schedule() -> None:
    assert discrete_vae.citation("reinmax", temperature=np.float32(1)) == discrete_vae.citation("reinmax")


def test_entries_are_whole() -> None:
    found = entries()
    assert all(key and entry.count("{") == entry.count("}") for key, entry in found.items())
    assert all(re.search(r"^  title = ", entry, flags=re.MULTILINE) for entry in found.values())


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("target-propagation", "option of target-propagation 'invers'; did you mean 'inverse'"),
        ("st", "unknown strategy"),
    ],
)
def test_what_is_not_known_is_named(strategy: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        discrete_vae.citation(strategy, invers="mirror")
