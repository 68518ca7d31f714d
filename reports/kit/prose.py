"""A report's text: Markdown that people write, with numbers filled in by name, as LaTeX and as HTML."""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape as escape_html
from types import MappingProxyType
from typing import Any, cast

import jinja2
from jinja2.utils import missing
from markdown_it import MarkdownIt
from markdown_it.token import Token

from discrete_vae.errors import InputError
from reports.kit import formulas
from reports.kit.latex import Latex, environment
from reports.kit.names import visible
from reports.kit.parsing import named, parser
from reports.kit.typesetting import typeset

_NONE: Mapping[str, Any] = MappingProxyType({})
_SPECIAL = re.compile(
    r"""
    (?P<entity> [<>&] | \A\s | \s\Z )
    | [\\`*|\[\]~$]
    | (?<![^\W_])_ | _(?![^\W_])       # one within a word is no emphasis
    | \A[-+=](?![\w.]) | \A[#{]       # a list, a rule, a heading, a figure's width
    | \A[.)](?=\s|\Z)                 # behind a number that begins a list
    | !\Z                              # before a link it would be an image
    """,
    re.VERBOSE,
)
_STATEMENT, _LAST = re.compile("<%.*?%>"), re.compile("(<% *(?:endif|endfor|else)) *%>$")
_NUMBERED = re.compile(r"\A(\d{1,9})([.)])(?=\s|\Z)")


class Prose(str):
    """Text that is Markdown already; every other string is escaped when it is filled in."""


def escape(text: object) -> Prose:
    """Plain text as Markdown of one line that shows the same characters, wherever in a paragraph it stands."""
    if isinstance(text, Prose):
        return text
    escaped = _SPECIAL.sub(lambda found: _entity(found[0]) if found["entity"] else f"\\{found[0]}", visible(str(text)))
    return Prose(_NUMBERED.sub(r"\1\\\2", escaped))


def code(text: object) -> Prose:
    """Text as code, within more backticks than it has in a row."""
    shown = visible(str(text))
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    edge = " " if shown.strip() and {shown[0], shown[-1]} & {"`", " "} else ""
    return Prose(f"{fence}{edge}{shown}{edge}{fence}")


def fill(template: str, **values: object) -> Prose:
    """A text with its ``<< values >>`` filled in, by Jinja; ``code`` is there too, for names of files and options.

    Numbers may stand in formulas, ``$\\tau = << tau >>$``; other text there is escaped as if it stood outside.
    Raises ``InputError`` for a name that is not there, and for a statement that cannot be read.
    """
    given = {"code": code} | values
    try:
        return Prose(_TEMPLATES.from_string("\n".join(map(_with_its_end, template.split("\n")))).render(given))
    except _UnknownError as error:
        there = sorted(given) if error.owner is missing else sorted(_names(error.owner))
        near = difflib.get_close_matches(error.name, there, n=3) or there[:10]
        raise InputError(f"the text names {error.name}, which is not there; near are: {', '.join(near)}") from None
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"line {error.lineno} of the text cannot be filled in: {error.message}") from error
    except InputError:
        raise
    except Exception as error:  # whatever an expression of the text raises
        raise Unfilled(f"the text cannot be filled in ({type(error).__name__}: {error}); correct it") from error


def _with_its_end(line: str) -> str:
    """A line of a template: a statement alone on it takes the line's end with it, one behind text does not."""
    return _LAST.sub(r"\1 +%>", line) if _STATEMENT.sub("", line).strip() else line


class Unfilled(InputError):
    """An expression of a text fails with the values that it was given."""


def latex(text: str, blocks: Mapping[str, str] = _NONE) -> Latex:
    """A whole text as LaTeX; ``[table: NAME]`` alone in a paragraph is ``blocks[NAME]``, LaTeX source.

    ``#`` is a section. ``![caption](name)`` alone in a paragraph is a figure from ``name.pdf``, labelled ``fig:name``.
    ``[Figure](#fig:name)`` gives its number. Raises ``InputError`` for what the text places and is not there.
    """
    return Latex(typeset(_PARSER.parse(text), blocks).rstrip("\n") + "\n")


def tables(text: str) -> list[str]:
    """The names of the tables that a text places."""
    return [token.content for token in _PARSER.parse(text) if token.type == "block"]


def html(text: str, blocks: Mapping[str, str] = _NONE, images: Mapping[str, bytes] = _NONE) -> str:
    """A whole text as HTML; ``[table: NAME]`` is ``blocks[NAME]``, HTML, and a figure's PNG is ``images[name]``.

    ``#`` is ``h2``, since the page's title is ``h1``. Raises ``InputError`` for what the text places and is not there,
    and for a formula that browsers cannot show.
    """
    return str(_PARSER.render(text, {"blocks": blocks, "images": images}))


def inline_latex(text: str) -> Latex:
    """A line as LaTeX without a paragraph, for a table's cell or a caption."""
    return typeset(_PARSER.parseInline(text), {})


def inline_html(text: str) -> str:
    """A line as HTML without a paragraph."""
    return str(_PARSER.renderInline(text))


def own_words(text: str) -> str:
    """A user's sentences in one line, with a full stop before what follows."""
    line = " ".join(text.split())
    return f"{line}." if line[-1:].isalnum() else line


def plain(text: str) -> str:
    """A line without markup, for a figure's labels and the terminal; formulas in Unicode as far as it goes."""
    return _plain(_PARSER.parseInline(text))


def _plain(tokens: Sequence[Token]) -> str:
    return "".join(
        _plain(token.children)
        if token.children
        else formulas.plain(token.content)
        if token.type.startswith("math")
        else " "
        if token.type.endswith("break")
        else token.content
        for token in tokens
    )


def _entity(character: str) -> str:
    return {"<": "&lt;", ">": "&gt;", "&": "&amp;"}.get(character) or f"&#{ord(character)};"


class _UnknownError(Exception):
    """A name that a text has and its values have not."""

    def __init__(self, name: str, owner: object) -> None:
        super().__init__(name)
        self.name, self.owner = name, owner


class _Undefined(jinja2.StrictUndefined):
    """Fails wherever it is used, and says what it would have been part of."""

    def __init__(self, hint: str | None = None, obj: Any = missing, name: str | None = None, exc: Any = None) -> None:
        super().__init__(hint, obj, name, cast(Any, lambda message: _UnknownError(name or message, obj)))


def _names(owner: object) -> Iterable[str]:
    return map(str, owner) if isinstance(owner, Mapping) else (each for each in dir(owner) if each[0] != "_")


def _place(self: object, tokens: Sequence[Token], i: int, options: object, env: Any) -> str:
    blocks, name = env["blocks"], tokens[i].content
    named(blocks, name, "table")
    return f'<div class="table">\n{blocks[name]}\n</div>\n'


def _figure(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    images, name, width = env["images"], tokens[i].content, tokens[i].meta["width"]
    caption = tokens[i].children or []
    named(images, name, "figure")
    data = base64.b64encode(images[name]).decode()
    style = f' style="width: {100 * width:g}%"' if width else ""
    return (
        f'<figure id="fig:{name}">\n'
        f'<img src="data:image/png;base64,{data}" alt="{escape_html(_plain(caption))}"{style}>\n'
        f"<figcaption>{self.renderInline(caption, options, env)}</figcaption>\n</figure>\n"
    )


def _heading(self: Any, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
    """One level below the page's title."""
    level = min(int(tokens[i].tag[1:]) + 1, 6)
    return f"<h{level}>" if tokens[i].nesting > 0 else f"</h{level}>\n"


def _formula(self: object, tokens: Sequence[Token], i: int, options: object, env: object) -> str:
    display = tokens[i].type == "math_block"
    return formulas.mathml(tokens[i].content, display) + ("\n" if display else "")


def _pages() -> MarkdownIt:
    found = parser()
    rules = {
        "block": _place,
        "figure": _figure,
        "heading_open": _heading,
        "heading_close": _heading,
        "math_inline": _formula,
        "math_block": _formula,
    }
    for name, rule in rules.items():
        found.add_render_rule(name, cast(Any, rule))
    return found


_PARSER = _pages()
_TEMPLATES = environment(escape, _Undefined)
