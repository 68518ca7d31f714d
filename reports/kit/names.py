"""Names as text: those that a user chose, of studies and values of their parameters, and a network's."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from discrete_vae.tasks import Architecture

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
    """The shown form of each name, with a number behind forms that two would share."""
    made: dict[str, str] = {}
    for name, label in names:
        count, own = 2, label
        while own in made.values():
            own, count = f"{label} ({count})", count + 1
        made[name] = own
    return made


def network(shape: Architecture, pixels: int = 784) -> str:
    """``784-500-(30×10)-500-784``."""  # noqa: RUF002
    code = f"({shape.latents}×{shape.categories})"  # noqa: RUF001
    return "-".join(map(str, (pixels, *shape.hidden, code, *reversed(shape.hidden), pixels)))
