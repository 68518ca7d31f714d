"""The tokens of a text as LaTeX source."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from markdown_it.token import Token

from reports.kit.latex import Latex, escape
from reports.kit.parsing import named

_FIXED = {
    "paragraph_open": "",
    "paragraph_close": "\n\n",
    "heading_close": "}\n\n",
    "em_open": r"\emph{",
    "em_close": "}",
    "strong_open": r"\textbf{",
    "strong_close": "}",
    "bullet_list_open": "\\begin{itemize}\n",
    "bullet_list_close": "\\end{itemize}\n\n",
    "ordered_list_close": "\\end{enumerate}\n\n",
    "list_item_open": r"\item ",
    "list_item_close": "",
    "blockquote_open": "\\begin{quote}\n",
    "blockquote_close": "\\end{quote}\n\n",
    "hr": "\\noindent\\rule{\\linewidth}{0.4pt}\n\n",
    "softbreak": "\n",
    "hardbreak": "\\newline\n",
}
_IN_ADDRESSES = re.compile(r"[%#&_~]")
_HEADINGS = {"h1": "section", "h2": "subsection", "h3": "subsubsection"}


def typeset(tokens: Sequence[Token], blocks: Mapping[str, str]) -> Latex:
    """LaTeX source of tokens, with ``blocks`` where the text places them; raises ``InputError`` for an unknown one."""
    return Latex("".join(_one(token, blocks) for token in tokens))


def _one(token: Token, blocks: Mapping[str, str]) -> str:
    if token.type == "inline":
        return typeset(token.children or [], blocks)
    if token.type == "block":
        named(blocks, token.content, "table")
        return f"{blocks[token.content]}\n\n"
    return _FIXED[token.type] if token.type in _FIXED else _SOURCES[token.type](token)


def _link(token: Token) -> str:
    """To an address, or to the label of a figure or a table, whose number then stands behind the link's text."""
    address = str(token.attrs["href"])
    if address.startswith("#"):
        return rf"\hyperref[{address[1:]}]{{"
    encoded = _IN_ADDRESSES.sub(r"\\\g<0>", address.replace("$", "%24"))  # the parser encoded braces and backslashes
    return rf"\href{{{encoded}}}{{"


def _code_block(token: Token) -> str:
    """Lines in typewriter letters: ``verbatim`` would end at its own name, and has no letters beyond ASCII."""
    lines = token.content.rstrip("\n").replace("\t", "    ").replace(" ", "\u00a0").split("\n")
    source = "\\\\\n".join(rf"\mbox{{}}{escape(line)}" for line in lines)
    return f"\\begin{{quote}}\\ttfamily\\small\n{source}\n\\end{{quote}}\n\n"


def _enumerate(token: Token) -> str:
    start = int(token.attrs.get("start", 1))
    shift = "" if start == 1 else rf"\setcounter{{\csname @enumctr\endcsname}}{{{start - 1}}}"
    return f"\\begin{{enumerate}}{shift}\n"


def _figure(token: Token) -> str:
    width = token.meta["width"]
    size = f"[width={width:g}\\linewidth]" if width else ""
    caption = typeset(token.children or [], {})
    return (
        f"\\begin{{figure}}[htbp]\n\\centering\n\\includegraphics{size}{{{token.content}.pdf}}\n"
        + (f"\\caption{{{caption}}}\n" if caption else "")
        + f"\\label{{fig:{token.content}}}\n\\end{{figure}}\n\n"
    )


_SOURCES: Mapping[str, Callable[[Token], str]] = {
    "text": lambda token: escape(token.content),
    "code_inline": lambda token: rf"\texttt{{{escape(token.content)}}}",
    "code_block": _code_block,
    "fence": _code_block,
    "math_inline": lambda token: f"${token.content}$",
    "math_block": lambda token: f"\\[{token.content}\\]\n\n",
    "heading_open": lambda token: rf"\{_HEADINGS.get(token.tag, 'paragraph')}*{{",
    "ordered_list_open": _enumerate,
    "link_open": _link,
    "link_close": lambda token: rf"~\ref*{{{token.meta['label']}}}}}" if token.meta["label"] else "}",
    "figure": _figure,
}
