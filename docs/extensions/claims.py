"""What autodoc does not see: a strategy's papers, claim and options, and what is said of a constant where it is set."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from typing import Any

from docstring_parser import parse_from_object
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

from discrete_vae.citations import keys
from discrete_vae.strategies import STRATEGIES, Strategy
from discrete_vae.strategies.base import options_of

LONG = 1500
"""Characters of a signature that nobody reads."""
SIZE = 30, 10
"""Variables and categories that evaluations are counted for: those of the thesis' model."""


def add(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Complete a docstring's lines, in place."""
    if thing is STRATEGIES:
        lines[:] = table_lines()
    elif what == "data":
        module, _, constant = name.rpartition(".")
        lines[:] = constant_lines(module, constant)
    elif thing in STRATEGIES.values():
        lines += ["", *strategy_lines(thing)]


def constant_lines(module: str, name: str) -> list[str]:
    """The docstring of a constant, in the module or in the one of the package that it is imported from."""
    places = [module, *sorted(each for each in sys.modules if each.startswith(f"{module}."))]
    value = getattr(importlib.import_module(module), name)
    for place in places:
        if getattr(sys.modules[place], name, None) is value:
            found = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", name))
            if found:
                return found
    return []


def table_lines() -> list[str]:
    """Every strategy by its name in runs."""
    lines = ["Every strategy, by its name in runs:", "", ".. list-table::", "   :header-rows: 1", ""]
    for row in (
        ("name", "class", "paper", "trains with", "gradient", "decoded samples"),
        *(
            (
                f"``{name}``",
                f":py:class:`~discrete_vae.strategies.{strategy.__name__}`",
                ", ".join(papers(strategy)),
                sample(strategy),
                "unbiased" if strategy.claim.unbiased else "biased",
                counted(strategy),
            )
            for name, strategy in STRATEGIES.items()
        ),
    ):
        lines += [f"   {' ' if i else '*'} - {cell}" for i, cell in enumerate(row)]
    return [*lines, "", f"Decoded samples: of a step and an example, with {SIZE[0]} variables of {SIZE[1]} categories."]


def papers(strategy: type[Strategy]) -> list[str]:
    """Links to them, or what the claim says where there are none."""
    return [f":cite:t:`{key}`" for key in keys(strategy.claim.paper)] or [strategy.claim.paper]


def counted(strategy: type[Strategy]) -> str:
    """Samples that a step decodes for an example of ``SIZE``."""
    count = strategy.claim.decoded(*SIZE)
    return f"{count:,}" if count < 10**9 else f"{count:.0e}"


def sample(strategy: type[Strategy]) -> str:
    """What is decoded while it trains."""
    if not strategy.categorical():
        return "no categories"
    return "a relaxed sample" if strategy.claim.relaxed else "one-hot samples"


def strategy_lines(strategy: type[Strategy]) -> list[str]:
    """A field each for its name in runs, its papers, what it claims and the options that runs have of it."""
    claim = strategy.claim
    count = counted(strategy)
    decoded = "sample" if count == "1" else "samples"
    size = "" if isinstance(claim.evaluations, int) else f" for {SIZE[0]} variables of {SIZE[1]} categories"
    states = "; the decoder learns from all states" if claim.marginal else ""
    return [
        *[f":In runs: ``{name}``" for name, each in STRATEGIES.items() if each is strategy],
        f":Paper: {', '.join(papers(strategy))}",
        f":Claim: gradient {'unbiased' if claim.unbiased else 'biased'}; trains with {sample(strategy)}; "
        f"a step decodes {count} {decoded} an example{size}{states}",
        *option_lines(strategy),
    ]


def option_lines(strategy: type[Strategy]) -> list[str]:
    """A line an option, with its default."""
    said: dict[str, str] = {}
    for kind in reversed(strategy.Options.__mro__[:-1]):  # what a class says of a field goes before what its bases do
        said |= {each.arg_name: each.description for each in parse_from_object(kind).params if each.description}
    made = [
        f"    - ``{name}`` ({field.default}): {' '.join(said.get(name, '').split())}"
        for name, field in options_of(strategy).items()
    ]
    return [":Options:", *made, ""] if made else []


def shorten(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """The signature of a dataclass whose defaults fill a screen: names and short defaults alone."""
    if not dataclasses.is_dataclass(thing) or not signature or (len(signature) < LONG and "<" not in signature):
        return None
    shown = []
    for field in dataclasses.fields(thing):
        default = "..." if field.default is dataclasses.MISSING else repr(field.default)
        none = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        shown.append(field.name if none else f"{field.name}={default if len(default) < 30 else '...'}")
    return f"({', '.join(shown)})", returned


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", add)
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
