"""Formulas in LaTeX's notation, for browsers and as plain text."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from latex2mathml.converter import Converter

from discrete_vae.errors import InputError
from reports.kit.characters import SYMBOLS

_LEFT_OVER = re.compile(r"\\[A-Za-z]+|[{}]|&(?!#)")
"""What stands in the text of MathML where the converter did not know a command, a brace or a column."""
_ATTRIBUTES = {"href", "style", "class", "id"}
_PARTS = re.compile(r"\\(?P<command>[A-Za-z]+)(?P<space> ?)|\\(?P<escaped>.)|(?P<other>[-~{}])")
_SILENT = {"left", "right", "mathrm", "mathbf", "mathit", "mathcal", "mathbb", "boldsymbol", "operatorname", "text"}
"""Commands that say only how a formula is set."""
_OTHER = {"-": "\u2212", "~": " ", "{": "", "}": ""}


def mathml(formula: str, display: bool = False) -> str:
    """A formula as a ``math`` element, in a line of its own with ``display``.

    Raises ``InputError`` for what the converter does not know.
    """
    try:
        element = Converter(display="block" if display else "inline").convert_to_element(formula)
    except Exception as error:  # the converter's errors have no class in common
        raise _unknown(formula, str(error) or type(error).__name__) from error
    bare = re.sub(r"\\.", "", formula)
    if bare.count("{") != bare.count("}"):
        raise _unknown(formula, "its braces do not pair")
    for each in element.iter():
        if found := _LEFT_OVER.search(each.text or ""):
            raise _unknown(formula, f"{found[0]} is not supported")
        if _ATTRIBUTES & set(each.attrib):
            raise _unknown(formula, "it sets attributes of HTML")
        each.text = each.text and html.unescape(each.text)  # the converter writes characters as entities
    _space_functions(element)
    return ElementTree.tostring(element, encoding="unicode")


def _space_functions(row: ElementTree.Element) -> None:
    """A thin space between the name of a function and a letter or a number, as LaTeX sets ``\\log p``."""
    for each in row:
        _space_functions(each)
    for i in range(len(row) - 1, 0, -1):
        name = row[i - 1].text or ""
        if row[i - 1].tag == "mi" and len(name) > 1 and row[i].tag in ("mi", "mn", "msub", "msup", "msubsup"):
            row.insert(i, ElementTree.Element("mspace", width="0.167em"))


def plain(formula: str) -> str:
    r"""A formula as a line of Unicode, as far as it goes: ``\tau \leq 1`` is ``τ ≤ 1``, ``x^{2}`` is ``x^2``."""
    return " ".join(_PARTS.sub(_character, formula).split())


def _character(found: re.Match[str]) -> str:
    if command := found["command"]:
        shown = "" if command in _SILENT else SYMBOLS.get(command, command)
        # ``K\times N`` has a space only to end the command.
        tight = not shown.isalpha() and not found.string[: found.start()].endswith(" ")
        return shown + ("" if tight else found["space"])
    if escaped := found["escaped"]:
        return escaped if escaped in "%$_#&{}|" else " "  # the others are spaces
    return _OTHER[found["other"]]


def _unknown(formula: str, why: str) -> InputError:
    text = " ".join(formula.split())
    return InputError(f"the formula ${text}$ cannot be shown in a browser: {why}; write it with other commands")
