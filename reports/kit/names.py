"""Names that a user chose, as text: of studies, and values of their parameters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

LONGEST = 60
"""Characters of a name in a table or a figure."""


def visible(text: str) -> str:
    r"""Text without control characters, directions and lone surrogates: they stand as ``\n``, ``\x00``, ``\u202e``."""
    return "".join(
        _escaped(each) if unicodedata.category(each)[0] == "C" or each in "\u2028\u2029" else each for each in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shown(text: object, longest: int = LONGEST) -> str:
    """A name or a value as tables and figures have it: visible, in quotes if blank, and its middle cut if too long."""
    found = visible(str(text))
    found = found if found.strip() else repr(found)
    tail = longest // 4
    return found if len(found) <= longest else f"{found[: longest - tail - 1]}…{found[-tail:]}"


def distinct(names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What each name is shown as, with a number behind what two would share."""
    made: dict[str, str] = {}
    for name, label in names:
        count, own = 2, label
        while own in made.values():
            own, count = f"{label} ({count})", count + 1
        made[name] = own
    return made
