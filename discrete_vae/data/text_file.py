"""Own text: a file ``.txt`` in UTF-8, in the symbols of ``text``, cut into strings of 32 symbols.

``image_size`` gives another length, 64 by ``(1, 64)``. Lines make no difference.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from discrete_vae.data.raw import ALL, Part, Raw, Reader
from discrete_vae.data.text import SYMBOLS, Text, cut, normal
from discrete_vae.errors import InputError

SUFFIX, LENGTH = ".txt", 32
COPIES = 12
"""Bytes of memory that reading takes for one of the file."""


def understands(path: Path) -> bool:
    """Whether this is a text file, by its name."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def read(path: Path, reader: Reader) -> Raw:
    """The strings of a text as pixels ``[M, 1, L, 1]``, without classes.

    Raises:
        InputError: a file that cannot be read, or holds no string.
    """
    rows, length = reader.image_size or (1, LENGTH)
    if rows != 1:
        raise InputError(f"image size is {rows} {length}, and {path} is text: give 1 and the symbols of a string")
    try:
        reader.require(COPIES * path.stat().st_size, f"the text of {path}")
        content = normal(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name another file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not in UTF-8 (byte {error.start}): save it in UTF-8") from error
    if not (strings := cut(content, length)):
        raise InputError(f"{path} has {len(content)} symbols of text; give at least {length}, better a million")
    pixels = Text(SYMBOLS, length).encode(strings).numpy().reshape(-1, 1, length, 1)
    return Raw({ALL: Part(pixels, np.full(len(pixels), -1))}, 1, SYMBOLS)
