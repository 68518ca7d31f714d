"""Drug-like molecules: the strings and the split of MOSES, which filters a part of ZINC.

D. Polykovskiy et al.: Molecular Sets (MOSES): A Benchmarking Platform for Molecular Generation Models. Frontiers in
Pharmacology 2020, arXiv 1811.12823. The package ``molsets`` ships the files; its code is not used.

A molecule is a string of SMILES (Weininger, 1988), in which each of 24 tokens, such as ``Cl`` or ``[nH]``, is one
symbol here. The longest string has 54 symbols, so none is left out. Of the training strings, in a fixed random order,
the last 10,000 are for validation. The test is the first 10,000, in such an order, of the benchmark's ``test``, or of
its ``test_scaffolds``, whose molecular frameworks do not occur in training.

RDKit (rdkit.org) decides whether a string is a molecule, and gives each molecule's canonical form.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module, util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from discrete_vae.data import packaged
from discrete_vae.data.strings import Strings
from discrete_vae.errors import InputError

PACKAGE, COLUMN = "molsets", "SMILES"
SHA256: Mapping[str, str] = {
    "train.csv": "7eaef3b172d05cfc7ecd898c3e991835605b438574df1334f1ddb1c8fc82ffb7",
    "test.csv": "4c40fe6efc63cbe59e94b30d9ca39e77d92a95f449cf13c7f180df21d0b82dac",
    "test_scaffolds.csv": "e783ba459dd99ca8181a08e1b6849355d7de3370c833ab130d6147125dea1a4d",
}
"""Digest of each file's strings, with a line feed between them: other columns and line ends make no difference."""
HELD_OUT = 10_000
"""Strings for validation, and for the test."""
REMEDY = (
    "pip install --no-deps molsets (its data are read, its requirements are not needed), or name the folder of "
    f"{', '.join(SHA256)} (folder)"
)
TOKENS = {"[nH]": "M", "[H]": "H", "Cl": "L", "Br": "R"}
"""Tokens of more than one character, and the symbols that stand for them."""
_TOKENS = str.maketrans({symbol: token for token, symbol in TOKENS.items()})


@dataclass(frozen=True)
class Smiles(Strings):
    """Molecules as strings of SMILES, of which a token is a symbol. RDKit is imported when a string is judged."""

    def meaning(self, string: str) -> str | None:
        """RDKit's canonical SMILES of the molecule; None if the string is no molecule."""
        chemistry, base = _rdkit()
        with base.BlockLogs():  # RDKit logs each string that is no molecule
            molecule = chemistry.MolFromSmiles(smiles(string.rstrip(self.pad)))
            if molecule is None or not molecule.GetNumAtoms():
                return None
            return symbols(chemistry.MolToSmiles(molecule))

    def write(self, strings: Tensor) -> list[str]:
        """Strings ``[M, L]`` as SMILES."""
        return [smiles(string) for string in self.decode(strings)]


MOLECULES = Smiles("Cc()1O2N=n3F-SsoLM#4R5H6_", 54)


def smiles(string: str) -> str:
    """A string of symbols in SMILES."""
    return string.translate(_TOKENS)


def symbols(string: str) -> str:
    """SMILES with one symbol a token."""
    for token, symbol in TOKENS.items():
        string = string.replace(token, symbol)
    return string


def read(folder: Path | None, test: str) -> tuple[Tensor, Tensor, Tensor]:
    """Training, validation and test strings ``[M, L]`` uint8, the test from the file ``test``.

    Raises:
        InputError: a file is missing or not the known one, or RDKit is not installed.
    """
    _require_rdkit()
    train, held_out = (MOLECULES.encode(_strings(folder, name)) for name in ("train.csv", test))
    # RandomState's permutations are the same in every version of NumPy.
    orders = (np.random.RandomState(np.random.MT19937(0)).permutation(len(each)) for each in (train, held_out))
    train, held_out = (each[order] for each, order in zip((train, held_out), orders, strict=True))
    return train[:-HELD_OUT], train[-HELD_OUT:], held_out[:HELD_OUT]


def _strings(folder: Path | None, name: str) -> list[str]:
    """The strings of a file, in its order."""
    path, content = packaged.read(PACKAGE, name, folder, REMEDY)
    try:
        table = pd.read_csv(io.BytesIO(content), usecols=[COLUMN], dtype=str, keep_default_na=False)
    except ValueError as error:
        told = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as a table with a column {COLUMN} ({told}): {REMEDY}") from error
    lines = "\n".join(table[COLUMN])
    digest = hashlib.sha256(lines.encode()).hexdigest()
    if digest != SHA256[name]:
        raise InputError(
            f"{path} is not {name} of MOSES (its {len(table):,} strings have SHA-256 {digest[:16]}..., not "
            f"{SHA256[name][:16]}...): {REMEDY}"
        )
    return symbols(lines).split("\n")


def _require_rdkit() -> None:
    if util.find_spec("rdkit") is None:
        raise InputError("molecules are judged by RDKit, which is not installed: pip install 'discrete-vae[molecules]'")


@cache
def _rdkit() -> tuple[Any, Any]:
    """RDKit's modules of molecules and of its log. Raises ``InputError`` where it is not installed."""
    _require_rdkit()
    return import_module("rdkit.Chem"), import_module("rdkit.rdBase")
