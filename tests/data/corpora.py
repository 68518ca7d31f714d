"""Small files in place of those that packages ship."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from discrete_vae.data import known, moses, text
from discrete_vae.data.corpora import CORPORA
from discrete_vae.data.domain import Sizes

HELD_OUT = 10
SMILES = {
    "train.csv": ["CCO", "c1cc[nH]c1", "ClCBr", "C" * 54, *(f"{'C' * n}O" for n in range(3, 29))],
    "test.csv": [f"{'C' * n}N" for n in range(1, 13)],
    "test_scaffolds.csv": [f"{'C' * n}F" for n in range(1, 13)],
}


def written_text(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """A small text as the package has it, which passes for the known one; its verses."""
    draw = random.Random(0)
    words = ["In", "the", "beginning", "was", "light,", "and", "lamps;", "don't", "go."]
    verses = [" ".join(draw.choices(words, k=12)) for _ in range(80)]
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"citation": f"One {place}", "text": verse}) for place, verse in enumerate(verses)]
    (folder / text.FILE).write_text("\n".join(lines) + "\n")
    patch.setattr(text, "SHA256", hashlib.sha256("\n".join(verses).encode()).hexdigest())
    patch.setattr(text, "HELD_OUT", HELD_OUT)
    count = len(text.cut(text.normal(" ".join(verses)), 32))
    patch.setitem(known.KNOWN, "text", known.Known(Sizes(count - 2 * HELD_OUT, HELD_OUT, HELD_OUT)))
    return verses


def written_molecules(folder: Path, patch: pytest.MonkeyPatch, packed: bool = False) -> None:
    """Small files of molecules, which pass for those of MOSES; RDKit may be missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, strings in SMILES.items():
        content = "SMILES,SPLIT\r\n" + "".join(f"{each},x\r\n" for each in strings)
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
        else:
            (folder / name).write_bytes(content.encode())
    digests = {name: hashlib.sha256("\n".join(each).encode()).hexdigest() for name, each in SMILES.items()}
    patch.setattr(moses, "SHA256", digests)
    patch.setattr(moses, "HELD_OUT", HELD_OUT)
    patch.setattr(moses, "_require_rdkit", lambda: None)
    for name in ("moses", "moses-scaffolds"):
        patch.setitem(known.KNOWN, name, known.Known(Sizes(len(SMILES["train.csv"]) - HELD_OUT, HELD_OUT, HELD_OUT)))
        assert replace(CORPORA[name], sizes=known.KNOWN[name].sizes) != CORPORA[name]


def installed(package: str, folder: Path, site: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the files of ``folder``, which lies in ``site``, be those of an installed package."""
    information = site / f"{package}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    listed = [f"{path.relative_to(site)},," for path in sorted(folder.rglob("*")) if path.is_file()]
    (information / "RECORD").write_text("\n".join([*listed, f"{information.name}/METADATA,,"]) + "\n")
    patch.syspath_prepend(str(site))
