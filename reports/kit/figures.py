"""What all figures share: size, type, colours, and files that are the same every time."""

from __future__ import annotations

import contextlib
import io
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from discrete_vae.files import write_atomically

WIDTH = 6.5
"""Inches: the text width of an A4 page with margins of 2.2 cm."""
COLOURS = ("#0072B2", "#E69F00", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9")
"""Okabe and Ito's palette, told apart with any colour vision."""
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (3, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))

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


def styles(rows: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Colour and dashes of each row, by the strategies of the rows.

    A strategy's colour follows from its name, or is the next one if another strategy of the figure has it. So as few as
    possible share a colour, and strategies that are added elsewhere change no figure. Further rows of one strategy have
    its colour, and dashes of their own; where all are of one strategy, colours too.
    """
    strategies = list(dict.fromkeys(rows.values()))
    places: dict[str, int] = {}
    for i, strategy in enumerate(strategies):
        count, first = len(COLOURS), zlib.crc32(strategy.encode())
        free = [place for place in range(count) if list(places.values()).count(place) == i // count]
        places[strategy] = min(free, key=lambda place: (place - first) % count)
    found: dict[str, dict[str, Any]] = {}
    seen: Counter[str] = Counter()
    for row, strategy in rows.items():
        colour = COLOURS[(places[strategy] + seen[strategy] * (len(strategies) == 1)) % len(COLOURS)]
        possible = [{"color": colour, "linestyle": dash} for dash in DASHES]
        found[row] = next((each for each in possible if each not in found.values()), possible[0])
        seen[strategy] += 1
    return found


def curves(axes: Axes, history: pd.DataFrame, rows: Mapping[str, str]) -> dict[str, Artist]:
    """Lines of the mean over seeds by epoch, in bands from the lowest to the highest seed, and the lines by row.

    ``history`` has columns row, seed, epoch and value; ``rows`` says of which strategy each is (``styles``). After ten
    epochs or more the axis begins at the lowest mean after a tenth of them: the first epochs would flatten the rest.
    """
    drawn: dict[str, Artist] = {}
    lows, last = [], int(history["epoch"].max()) if len(history) else 0
    for row, style in styles(rows).items():
        found = history[history["row"] == row].groupby("epoch")["value"].agg(["mean", "min", "max"])
        if len(found):
            axes.fill_between(found.index, found["min"], found["max"], color=style["color"], alpha=0.15, linewidth=0)
            (drawn[row],) = axes.plot(found.index, found["mean"], **style)
            lows.append(found["mean"][found.index >= last / 10].min())
    if lows and last >= 10:
        top = axes.get_ylim()[1]
        axes.set_ylim(min(lows) - 0.05 * (top - min(lows)), top)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return drawn


def legend_below(drawing: FigureBase, handles: Mapping[str, Artist], columns: int = 3) -> None:
    """A legend below all axes, where it covers no data, in so many columns or as many as have room."""
    longest = max(map(len, handles), default=0)
    inches = 0.45 + 0.065 * longest  # of a column: its line, and its letters of 8 points
    columns = max(1, min(columns, int(_inches(drawing) / inches)))
    made = drawing.legend(
        list(handles.values()), [str(i) for i in range(len(handles))], loc="outside lower center", ncols=columns
    )
    for text, name in zip(made.get_texts(), handles, strict=True):
        text.set_text(symbols(name))


def _inches(drawing: FigureBase) -> float:
    """How wide the figure is that a part of one belongs to."""
    root = drawing.get_figure(root=True)
    assert isinstance(root, Figure)
    return float(root.get_figwidth())


def symbols(text: str) -> str:
    """A row's name with the letters that tau, beta and pi stand for, and a sign where x multiplies a number."""
    return _WORDS.sub(lambda found: _SYMBOLS[found[0]], text)


_SYMBOLS = {"tau": "τ", "beta": "β", "pi": "π", "x": "×"}  # noqa: RUF001
_WORDS = re.compile(r"(?<![\w-])(?:tau|beta|pi|x(?= \d))(?![\w-])")


def bare(axes: Axes) -> None:
    """Leave no ticks and no frame, as for an image."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
