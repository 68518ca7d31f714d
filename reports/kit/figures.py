"""What all figures share: size, type, colours, and files that are the same every time."""

from __future__ import annotations

import contextlib
import io
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from discrete_vae.files import write_atomically

WIDTH = 6.5
"""Inches: the text width of an A4 page with margins of 2.2 cm."""
COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
"""Okabe and Ito's palette, told apart with any colour vision."""
DASHES = ("-", (0, (5, 1.5)), "-", (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1.5)), "-")

STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "axes.unicode_minus": True,
}


@contextlib.contextmanager
def figure(folder: Path, name: str, height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A figure to draw on; it is written as ``name.pdf`` and ``name.png``, without a date.

    Its titles, labels and legends are text as they stand: a dollar sign begins no formula.
    """
    with mpl.rc_context():
        mpl.rcdefaults()  # not what a user's matplotlibrc says
        mpl.rcParams.update(STYLE)
        drawing = Figure(figsize=(width, height), layout="constrained")
        yield drawing
        for text in drawing.findobj(Text):
            assert isinstance(text, Text)
            if (found := plain(text.get_text())) != text.get_text():
                text.set_text(found)
            if "$" in found:
                text.set_parse_math(False)
        for suffix, metadata in (
            ("pdf", {"CreationDate": None, "Creator": None, "Producer": None}),
            ("png", {"Software": None}),
        ):
            buffer = io.BytesIO()
            drawing.savefig(buffer, format=suffix, metadata=metadata)
            write_atomically(folder / f"{name}.{suffix}", buffer.getvalue())


def plain(text: str) -> str:
    """Text whose characters the figures' font has; others stand as their code point, ``[U+65E5]``."""
    known = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return "".join(
        each
        if each == "\n" or (unicodedata.category(each) != "Cs" and known.get_char_index(ord(each)))
        else f"[U+{ord(each):04X}]"
        for each in text
    )


def legend(axes: Axes, handles: Mapping[str, Artist], **style: Any) -> None:
    """A legend of any names, those included that begin with an underscore, which matplotlib would leave out."""
    made = axes.legend(list(handles.values()), [str(i) for i in range(len(handles))], **style)
    for text, name in zip(made.get_texts(), handles, strict=True):
        text.set_text(name)


def symbols(text: str) -> str:
    """A row's name with the letters that tau, beta and pi stand for."""
    words = {"tau": "τ", "beta": "β", "pi": "π"}
    return " ".join(words.get(word, word) for word in text.split(" "))


def bare(axes: Axes) -> None:
    """Leave no ticks and no frame, as for an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
