"""Formulas as MathML, which browsers show by themselves: the site needs no script and no network for them."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from discrete_vae.errors import InputError
from reports.kit.formulas import mathml

LOGGER = logging.getLogger(__name__)


def inline(translator: Any, node: nodes.math) -> None:
    """A formula in a sentence."""
    translator.body.append(_converted(node, display=False))
    raise nodes.SkipNode


def block(translator: Any, node: nodes.math_block) -> None:
    """A formula in a line of its own, with its number where it has one."""
    identified = [each for each in node["ids"] if each not in node.parent["ids"]]  # its wrapper may have the same
    translator.body.append(translator.starttag({"ids": identified}, "div", CLASS="math"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(_converted(node, display=True) + "</div>\n")
    raise nodes.SkipNode


def _converted(node: nodes.math | nodes.math_block, display: bool) -> str:
    """Its MathML; a warning, by which a strict build fails, for what the converter does not know."""
    try:
        return mathml(node.astext(), display)
    except InputError as error:
        LOGGER.warning("%s", error, location=node)
        return ""


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
