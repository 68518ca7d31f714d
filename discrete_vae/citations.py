"""The papers to cite for a strategy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from numbers import Real

from discrete_vae.errors import InputError, nearest
from discrete_vae.schedules import Schedule
from discrete_vae.strategies import STRATEGIES
from discrete_vae.strategies.base import options_of

PAPER = re.compile(r"([A-Z][\w-]+)(?: et al\.| and [\w-]+)? (\d{4}[a-z]?)")


def citation(strategy: str, **options: object) -> str:
    """BibTeX of the papers behind a strategy, such as ``citation("reinmax")``; empty for common knowledge.

    ``options`` are the strategy's, where the papers depend on them: ``citation("target-propagation",
    inverse="mirror")``; a number is a constant schedule. Raises ``InputError`` for a name that is none of
    ``STRATEGIES`` or of the options, with the nearest that is.
    """
    if strategy not in STRATEGIES:
        raise nearest(strategy, STRATEGIES, "strategy")
    known = options_of(STRATEGIES[strategy])
    if strange := [name for name in options if name not in known]:
        raise nearest(strange[0], known, f"option of {strategy}")
    for name, value in options.items():
        if isinstance(known[name].default, Schedule) and isinstance(value, Real) and not isinstance(value, bool):
            options[name] = Schedule(value if isinstance(value, int) else float(value))
    return bibliography([(strategy, STRATEGIES[strategy].Options(**options))])


def bibliography(used: Iterable[tuple[str, object]], others: str = "") -> str:
    """BibTeX of all papers of several strategies and their options, and of ``others`` ("Akiba et al. 2019"), in
    alphabetical order, each once.
    """
    known = entries()
    papers = {key for name, options in used for key in keys(STRATEGIES[name].papers(options))} | set(keys(others))
    if missing := sorted(papers - known.keys()):
        raise InputError(f"references.bib has no entry {missing[0]}; add the paper of the strategy's claim to it")
    return "\n".join(known[key] + "\n" for key in sorted(papers))


def keys(paper: str) -> list[str]:
    """``Nitta 2017; Lee et al. 2015`` -> the entries' keys, ``nitta2017`` and ``lee2015``.

    A letter behind the year, ``Kingma et al. 2014b``, tells papers of one first author and year apart.
    """
    return [name.lower() + year for name, year in PAPER.findall(paper)]


def entries() -> dict[str, str]:
    """All entries of ``references.bib`` by key."""
    text = resources.files("discrete_vae").joinpath("references.bib").read_text()
    found = [entry.strip() for entry in text.split("\n\n")]
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in found}
