"""Molecules of carbon, oxygen, fluorine and hydrogen, as a subset of SMILES (Weininger, 1988).

    chain -> atom | atom bond chain                 bond -> "" | "=" | "#"      single, double, triple
    atom  -> element ring branches                  ring -> "" | "1"
    element -> "C" | "O" | "F"                      branches -> "" | "(" bond chain ")" branches

The bonds of an atom sum to its valence (C 4, O 2, F 1) at the most; hydrogens, which are not written, fill it up. The
two atoms marked 1, if there are any, have a single bond between them. They are two different atoms without another bond
between them, so a ring has at least three atoms.
"""

from __future__ import annotations

from collections.abc import Iterator

from discrete_vae.data.language import Language

VALENCE = {"C": 4, "O": 2, "F": 1}
ORDER = {"": 1, "=": 2, "#": 3}

# What may follow each symbol; "" is the start, and "$" stands for the end.
_AFTER_ATOM = frozenset("COF=#()$")
_FOLLOW = {
    "": frozenset("COF"),
    **dict.fromkeys("COF", _AFTER_ATOM | {"1"}),
    **dict.fromkeys("=#", frozenset("COF")),
    "1": _AFTER_ATOM,
    "(": frozenset("COF=#"),
    ")": _AFTER_ATOM,
}


def grammatical(string: str) -> bool:
    """Whether ``string`` is a chain whose valences and ring are right."""
    free: list[int] = []  # of each atom: valence that is left
    parent: list[int] = []  # the atom it hangs on
    branching: list[int] = []  # atoms whose branches are open
    marked: list[int] = []  # atoms of the ring's bond
    here, order, before = -1, 1, ""
    for symbol in string:
        if symbol not in _FOLLOW[before]:
            return False
        if symbol in VALENCE:
            free.append(VALENCE[symbol])
            parent.append(here)
            if here >= 0:
                free[here] -= order
                free[-1] -= order
            here, order = len(free) - 1, 1
        elif symbol == "1":
            free[here] -= 1
            marked.append(here)
        elif symbol == "(":
            branching.append(here)
        elif symbol == ")":
            if not branching:
                return False
            here = branching.pop()
        else:
            order = ORDER[symbol]
        before = symbol
    if "$" not in _FOLLOW[before] or branching or min(free) < 0:
        return False
    return not marked or (len(marked) == 2 and marked[0] not in (marked[1], parent[marked[1]]))


def grow(numbers: Iterator[float]) -> str:
    """A random tree of 5 to 9 atoms, mostly carbon, often with a ring, written from a random atom.

    Each further atom hangs on a random one that has valence left; the ring's bond is between random atoms with valence
    left that have none. Branches come in the order in which they grew, the last without brackets.
    """
    count = 5 + int(5 * next(numbers))
    elements, free = ["C"], [4]
    bonds: list[dict[int, str]] = [{}]  # of each atom: neighbour -> mark of the bond
    while len(elements) < count:
        open_atoms = [atom for atom, left in enumerate(free) if left]
        if not open_atoms:
            break
        anchor, new = _choose(open_atoms, numbers), len(elements)
        element = "C" if (u := next(numbers)) < 0.7 else "O" if u < 0.9 else "F"
        most = min(free[anchor], VALENCE[element])
        mark = "" if (u := next(numbers)) < 0.75 or most < 2 else "=" if u < 0.95 or most < 3 else "#"
        elements.append(element)
        free.append(VALENCE[element] - ORDER[mark])
        free[anchor] -= ORDER[mark]
        bonds.append({anchor: mark})
        bonds[anchor][new] = mark
    ring = _ring(free, bonds, numbers) if next(numbers) < 0.6 else ()
    return _write(int(len(elements) * next(numbers)), -1, elements, bonds, ring)


def _ring(free: list[int], bonds: list[dict[int, str]], numbers: Iterator[float]) -> tuple[int, ...]:
    first = [atom for atom, left in enumerate(free) if left]
    if not first:
        return ()
    one = _choose(first, numbers)
    second = [atom for atom in first if atom != one and atom not in bonds[one]]
    return (one, _choose(second, numbers)) if second else ()


def _write(atom: int, origin: int, elements: list[str], bonds: list[dict[int, str]], ring: tuple[int, ...]) -> str:
    """The chain that starts at ``atom``, coming from ``origin``."""
    head = elements[atom] + ("1" if atom in ring else "")
    tails = [
        mark + _write(next_atom, atom, elements, bonds, ring)
        for next_atom, mark in bonds[atom].items()
        if next_atom != origin
    ]
    return head + "".join(f"({tail})" for tail in tails[:-1]) + "".join(tails[-1:])


def _choose(items: list[int], numbers: Iterator[float]) -> int:
    return items[int(len(items) * next(numbers))]


MOLECULES = Language(symbols="COF=#()1_", length=16, grammatical=grammatical, grow=grow)
