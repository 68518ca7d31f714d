"""Strings by hand, strings by derivation from the grammars, and strings that are drawn."""

import itertools
import time
from collections.abc import Iterator

import pytest
import torch

from discrete_vae.data.expressions import EXPRESSIONS
from discrete_vae.data.language import Language
from discrete_vae.data.molecules import MOLECULES
from discrete_vae.errors import InputError

LANGUAGES = {"expressions": EXPRESSIONS, "molecules": MOLECULES}


@pytest.mark.parametrize(
    "string",
    [
        "x",  # a variable
        "y__",  # padding at the end is no part of it
        "x+y",
        "x+y*x",
        "(x+y)*x",
        "x*(x*y)",  # brackets may be needless as long as there is an operator within
        "(x+y)",  # around all of it
        "((x+y)*x)+y",
        "(x+y)+(x*y)*y",
        "(((x+y)*x)+y)*x",  # three deep
        "x+x+x+x+x+x+x+x",  # 15 symbols
    ],
)
def test_expressions(string: str) -> None:
    assert EXPRESSIONS.valid(string)


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("", "empty"),
        ("____", "empty but for padding"),
        ("_x", "a symbol after padding"),
        ("x_+y", "a symbol after padding"),
        ("+", "no operands"),
        ("x+", "the second operand is missing"),
        ("+x", "the first operand is missing: signs are not known"),
        ("x+*y", "two operators"),
        ("xy", "no operator"),
        ("x(x+y)", "no operator before the bracket"),
        ("(x+y)x", "no operator after the bracket"),
        ("(x+y)(x+y)", "no operator between brackets"),
        ("()", "nothing in the brackets"),
        ("(x)", "no operator in the brackets"),
        ("((x+y))", "no operator in the outer brackets"),
        ("(x+y", "not closed"),
        ("((x+y)*x", "the outer one is not closed"),
        ("x+y)", "not opened"),
        (")x+y(", "closed before it is opened"),
        ("(x+)*y", "an operator before the closing bracket"),
        ("(*x+y)", "an operator after the opening bracket"),
        ("x+z", "another symbol"),
        ("x+x+x+x+x+x+x+x+x", "17 symbols"),
    ],
)
def test_no_expressions(string: str, reason: str) -> None:
    assert not EXPRESSIONS.valid(string), reason


@pytest.mark.parametrize(
    "string",
    [
        "C",  # methane: four hydrogens are not written
        "F",  # hydrogen fluoride
        "FF",  # fluorine
        "O=C=O",  # carbon dioxide: C 2 + 2
        "C#C",  # acetylene: each C 3, and a hydrogen
        "CCO___",  # ethanol, padded
        "C(F)(F)(F)F",  # C 4
        "FC(F)(F)F",
        "CC(=O)O",  # acetic acid: C 1 + 2 + 1
        "C(C)",  # a branch may be last
        "C(C(C)C)C",  # a branch on a branch
        "C1CC1",  # cyclopropane: the smallest ring
        "O1CC1",  # O 1 and the ring's bond
        "C1=CC1",  # a double bond within the ring
        "C(C1)C1",  # a ring through a branch, C-C-C
        "C1(F)C(F)C1",  # a branch after the ring's mark
        "C1CC1C#C",  # a chain from a ring: C 1 + 1 + 1
        "C1CCCCCCCCCCCCC1",  # 16 symbols
    ],
)
def test_molecules(string: str) -> None:
    assert MOLECULES.valid(string)


@pytest.mark.parametrize(
    ("string", "reason"),
    [
        ("", "empty"),
        ("C_C", "a symbol after padding"),
        ("CFC", "F has 2 bonds of 1"),
        ("F=C", "F has a double bond"),
        ("COO=C", "O has 1 + 2 of 2"),
        ("O#C", "O has a triple bond"),
        ("C(C)(C)(C)(C)C", "C has 5 of 4"),
        ("C=C(C)(C)C", "C has 2 + 3 of 4"),
        ("C#C=C", "C has 3 + 2 of 4"),
        ("O=C1OOC1=O=C", "O has 2 + 2 of 2"),
        ("CF1CC1", "F has a bond and the ring's"),
        ("C=O1CC1", "O has 2, 1 and the ring's"),
        ("=C", "a bond without a first atom"),
        ("C=", "a bond without a second atom"),
        ("C==C", "two marks of one bond"),
        ("C=)C", "a bond that leads to a bracket"),
        ("C=(C)C", "a bond before its branch"),
        ("(C)C", "a branch of no atom"),
        ("C()C", "an empty branch"),
        ("C((C))C", "a branch of a branch without an atom between"),
        ("C(C", "not closed"),
        ("CC)C", "not opened"),
        ("C(C))C", "closed twice"),
        ("1CC1", "a ring from no atom"),
        ("C1CC", "a ring that is not closed"),
        ("C11", "a ring of one atom"),
        ("C1C1", "a ring of two atoms: a second bond between them"),
        ("C1(CC)C1", "a ring of two atoms: the branch is not in it"),
        ("C1(C1)C", "a ring of two atoms, one on a branch"),
        ("C1CC1CC1", "a mark that is there three times"),
        ("C1CC1C1CC1", "two rings"),
        ("C1CC=1", "a mark of a bond before the ring's"),
        ("C(C)1CC1", "the ring's mark after a branch"),
        ("CNC", "another symbol"),
        ("CCCCCCCCCCCCCCCCC", "17 symbols"),
    ],
)
def test_no_molecules(string: str, reason: str) -> None:
    assert not MOLECULES.valid(string), reason


def expressions(size: int) -> Iterator[str]:
    """All expressions of so many symbols, by derivation."""
    yield from operands(size)
    yield from operations(size)


def operations(size: int) -> Iterator[str]:
    for first in range(1, size - 1):
        for parts in itertools.product(operands(first), "+*", expressions(size - 1 - first)):
            yield "".join(parts)


def operands(size: int) -> Iterator[str]:
    if size == 1:
        yield from "xy"
    if size > 2:
        yield from (f"({operation})" for operation in operations(size - 2))


BONDS = (("", 1), ("=", 2), ("#", 3))


def chains(size: int, used: int) -> Iterator[tuple[str, int, list[int], list[tuple[int, int]]]]:
    """All chains of so many symbols whose first atom has spent ``used`` of its valence.

    Of each the string, its number of atoms, the atoms that are marked, and the pairs of atoms that are bonded.
    """
    for (element, valence), ring in itertools.product((("C", 4), ("O", 2), ("F", 1)), (0, 1)):
        for tail, atoms, marked, bonds in tails(size - 1 - ring, valence - used - ring):
            yield element + "1" * ring + tail, atoms + 1, [0] * ring + marked, bonds


def tails(size: int, free: int) -> Iterator[tuple[str, int, list[int], list[tuple[int, int]]]]:
    """All that may follow atom 0 of valence ``free`` in so many symbols; atoms count from 1, 0 is that one."""
    if free < 0 or size < 0:
        return
    if size == 0:
        yield "", 0, [], []
    for mark, order in BONDS:
        if order > free:
            continue
        for chain, atoms, marked, bonds in chains(size - len(mark), order) if size > len(mark) else ():
            yield mark + chain, atoms, [a + 1 for a in marked], [(0, 1), *((a + 1, b + 1) for a, b in bonds)]
        for inner in range(1, size - 1 - len(mark)):
            for chain, atoms, marked, bonds in chains(inner, order):
                first = [(0, 1), *((a + 1, b + 1) for a, b in bonds)]
                for tail, more, further, others in tails(size - 2 - len(mark) - inner, free - order):
                    yield (
                        f"({mark}{chain}){tail}",
                        atoms + more,
                        [a + 1 for a in marked] + [a + atoms if a else 0 for a in further],
                        first + [(a + atoms if a else 0, b + atoms) for a, b in others],
                    )


def molecules(size: int) -> Iterator[str]:
    """All molecules of so many symbols, by derivation."""
    for string, _, marked, bonds in chains(size, 0):
        if not marked or (len(marked) == 2 and marked[0] != marked[1] and tuple(sorted(marked)) not in bonds):
            yield string


@pytest.mark.parametrize(("language", "derive", "longest"), [(EXPRESSIONS, expressions, 7), (MOLECULES, molecules, 6)])
def test_what_derives_is_what_validates(language: Language, derive, longest: int) -> None:  # type: ignore[no-untyped-def]
    for size in range(1, longest + 1):
        derived = set(derive(size))
        every = map("".join, itertools.product(language.symbols[:-1], repeat=size))
        assert derived == {string for string in every if language.valid(string)}
        assert derived or language is EXPRESSIONS  # which are all of odd length


@pytest.mark.parametrize("name", LANGUAGES)
def test_drawn_strings_are_valid_and_varied(name: str) -> None:
    language = LANGUAGES[name]
    strings = language.draw(5_000, torch.Generator().manual_seed(0))
    assert len(strings) == 5_000
    assert all(language.valid(string) for string in strings)
    assert len(set(strings)) > 2_500
    assert max(map(len, strings)) >= language.length - 1
    assert set("".join(strings)) == set(language.symbols[:-1])
    assert sum("(" in string for string in strings) > 2_500
    assert language.validity(language.encode(strings)).all()
    assert strings == language.draw(5_000, torch.Generator().manual_seed(0))
    assert strings != language.draw(5_000, torch.Generator().manual_seed(1))


def test_encode_and_decode() -> None:
    indices = EXPRESSIONS.encode(["x", "(x+y)", "x_y"])
    assert indices.dtype == torch.uint8
    assert indices.tolist() == [[0] + [6] * 15, [4, 0, 2, 1, 5] + [6] * 11, [0, 6, 1] + [6] * 13]
    assert EXPRESSIONS.decode(indices) == ["x", "(x+y)", "x_y"]
    assert EXPRESSIONS.validity(indices.long()).tolist() == [True, True, False]
    assert EXPRESSIONS.encode([]).shape == (0, 16)
    assert EXPRESSIONS.decode(indices[:0]) == []
    assert EXPRESSIONS.validity(indices[:0]).shape == (0,)


@pytest.mark.parametrize("name", LANGUAGES)
def test_validity_is_that_of_the_strings(name: str) -> None:
    language = LANGUAGES[name]
    generator = torch.Generator().manual_seed(0)
    indices = language.encode(language.draw(500, generator))
    # One symbol of each becomes another, of some one that leaves it valid.
    place = torch.randint(language.length, (500, 1), generator=generator)
    symbol = torch.randint(len(language.symbols), (500, 1), generator=generator)
    changed = indices.scatter(1, place, symbol.to(torch.uint8))
    verdicts = language.validity(changed).tolist()
    assert verdicts == [language.valid(string) for string in language.decode(changed)]
    assert 0 < sum(verdicts) < 500


def test_ten_thousand_verdicts_are_quick() -> None:
    for language in LANGUAGES.values():
        indices = language.encode(language.draw(10_000, torch.Generator().manual_seed(0)))
        seconds = []
        for _ in range(3):
            start = time.process_time()
            language.validity(indices)
            seconds.append(time.process_time() - start)
        assert min(seconds) < 0.3


def test_bad_strings_are_told() -> None:
    with pytest.raises(InputError, match=r"'x\+z' has 'z'; give symbols of 'xy\+\*\(\)_'"):
        EXPRESSIONS.encode(["x", "x+z"])
    with pytest.raises(InputError, match="has 17 symbols; give at most 16"):
        EXPRESSIONS.encode(["x" * 17])
    with pytest.raises(InputError, match=r"indices go from 0 to 7; give 0 to 6"):
        EXPRESSIONS.decode(torch.arange(8).repeat(1, 2))
    with pytest.raises(InputError, match=r"strings of shape \(2, 8\) are given; give \[M, 16\]"):
        EXPRESSIONS.validity(torch.zeros(2, 8, dtype=torch.int64))
