"""The Markdown of a report's text: CommonMark with formulas between dollars, places for tables, and figures."""

from __future__ import annotations

import re
from collections.abc import Collection

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin

from discrete_vae.errors import InputError

_TABLE = re.compile(r"\[table: *([^\[\]]+?) *\]")
_WIDTH = re.compile(r"\{width=([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LABEL = re.compile(r"#[A-Za-z0-9_:-]+")


def parser() -> MarkdownIt:
    """CommonMark without raw HTML, with two further tokens, each in place of a paragraph.

    ``block``: ``[table: NAME]`` alone in a paragraph; ``content`` is the name.
    ``figure``: ``![caption](name)`` alone in a paragraph, maybe with ``{width=0.8}`` behind it; ``children`` are the
    caption, ``content`` is the name, ``meta["width"]`` the fraction of the text's width or None.
    The end of a link to a figure or a table, ``#fig:NAME``, has its label as ``meta["label"]``.
    """
    found = MarkdownIt("commonmark", {"html": False})
    dollarmath_plugin(found, allow_labels=False, allow_space=False, allow_blank_lines=False)
    found.core.ruler.push("blocks", _blocks)
    found.core.ruler.push("labels", _labels)
    return found


def named(values: Collection[str], name: str, what: str) -> None:
    """Check that there is a table or a figure of this name; raises ``InputError``."""
    if name not in values:
        there = ", ".join(sorted(values)) or "none"
        raise InputError(f"the text places the {what} {name}, which this report does not have; it has: {there}")


def _blocks(state: StateCore) -> None:
    """Put a block or a figure in place of each paragraph that is one."""
    tokens, made, i = state.tokens, list[Token](), 0
    while i < len(tokens):
        alone = _alone(tokens[i + 1]) if tokens[i].type == "paragraph_open" else None
        made.append(alone or tokens[i])
        i += 3 if alone else 1
    for token in made:
        if token.type == "inline" and any(each.type == "image" for each in token.children or []):
            raise InputError(f"a figure stands alone in its paragraph; put empty lines around it: {token.content}")
    state.tokens = made


def _labels(state: StateCore) -> None:
    label = ""
    for token in [child for each in state.tokens for child in each.children or []]:
        if token.type == "link_open":
            address = str(token.attrs["href"])
            label = address[1:] if address.startswith("#") else ""
            if label and not _LABEL.fullmatch(address):
                raise InputError(f"{address} is no label; write #fig:NAME or #tab:NAME")
        elif token.type == "link_close":
            token.meta["label"] = label


def _alone(inline: Token) -> Token | None:
    if found := _TABLE.fullmatch(inline.content):
        return Token("block", "", 0, content=found[1])
    image, *rest = inline.children or [inline]
    if image.type != "image" or len(rest) > 1:
        return None
    width = _WIDTH.fullmatch(rest[0].content) if rest else None
    if rest and not width:
        return None
    name = str(image.attrs["src"])
    if not _NAME.fullmatch(name):
        raise InputError(
            f"the figure {name} has no name; write letters, digits, - and _, without an ending or a folder"
        )
    return Token("figure", "", 0, children=image.children, content=name, meta={"width": width and _fraction(width[1])})


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise InputError(f"the width of a figure is a part of the text's, above 0 and at most 1, not {text}")
    return value
