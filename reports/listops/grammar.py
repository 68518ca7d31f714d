"""ListOps: nested prefix expressions of digits, whose value depends on their tree.

The operators, the digits, the chance of an operator in place of a digit and the number of its arguments are those of
Nangia and Bowman (2018). Depth and length are cut to what a laptop trains, and no expression is flat.

- N. Nangia, S. R. Bowman: ListOps: A Diagnostic Dataset for Latent Tree Learning. NAACL student workshop 2018.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from discrete_vae.errors import InputError

OPERATORS: dict[str, Callable[[Sequence[int]], int]] = {
    "[MAX": max,
    "[MIN": min,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}
"""Minimum, maximum, median (rounded down) and sum modulo 10 of digits."""
VOCABULARY = (*map(str, range(10)), *OPERATORS, "]", "")
"""Symbols by their number; the last one fills up what is shorter than the longest."""
DIGITS, END, PAD = 10, len(VOCABULARY) - 2, len(VOCABULARY) - 1
MOST_DRAWS = 1000
"""Draws of one expression after which its limits are an error."""


@dataclass(frozen=True)
class Grammar:
    """Which expressions are drawn."""

    depth: int = 3
    """Operators inside each other at most. The paper's generator has 20."""
    least_depth: int = 2
    """Expressions that are flatter are drawn again, because a bag of symbols decides their value. The paper's has 1."""
    arguments: int = 4
    """Largest number of an operator's arguments; at least 2. The paper's generator has 5."""
    length: int = 20
    """Symbols at most, brackets included; longer ones are drawn again."""
    nested: float = 0.25
    """The chance that an argument is an operator's result, above the greatest depth; the paper's generator's."""

    @property
    def operators(self) -> int:
        """Operators that fit into an expression: the first takes 4 symbols, each other puts 4 in the place of one."""
        return (self.length - 1) // 3

    def __post_init__(self) -> None:
        if not 1 <= self.least_depth <= self.depth:
            raise InputError(f"least_depth is {self.least_depth}; give 1 to depth, {self.depth}")
        if self.arguments < 2:
            raise InputError(f"arguments is {self.arguments}; give 2 or more")
        if not 0 < self.nested < 1:
            raise InputError(f"nested is {self.nested}; give a chance between 0 and 1")


@dataclass(frozen=True)
class Expression:
    """Symbols in their order, with the tree and the value."""

    symbols: tuple[str, ...]
    heads: tuple[int, ...]
    """Of each symbol the place of the operator that it belongs to; of the first symbol its own place, 0."""
    value: int
    depth: int


@dataclass(frozen=True)
class Examples:
    """Expressions as tensors of whole numbers."""

    symbols: Tensor
    """Numbers in ``VOCABULARY``, ``[M, T]``."""
    operators: Tensor
    """Places of the operators in their order, ``[M, K]``; -1 behind the last one."""
    heads: Tensor
    """Which of the operators each symbol belongs to, ``[M, T]``; 0 for the first symbol and where there is none."""
    values: Tensor
    """``[M]``"""

    def __len__(self) -> int:
        return len(self.values)

    def batch(self, places: Tensor) -> Examples:
        """The expressions at these places ``[B]``."""
        return Examples(self.symbols[places], self.operators[places], self.heads[places], self.values[places])


def parsed(symbols: Sequence[str]) -> Expression:
    """An expression with its tree and value. Raises ``InputError`` for symbols that are none."""
    heads, depth = list[int](), 0
    open_ = list[tuple[int, str, list[int]]]()
    text = " ".join(symbols)
    for place, symbol in enumerate(symbols):
        if (place and not open_) or symbol not in VOCABULARY[:PAD]:
            raise InputError(f"{symbol!r} does not continue the expression {text!r}; give one of ListOps")
        heads.append(open_[-1][0] if open_ else 0)
        if symbol in OPERATORS:
            open_.append((place, symbol, []))
            depth = max(depth, len(open_))
            continue
        value = int(symbol) if symbol != VOCABULARY[END] else -1
        if value < 0 and open_ and open_[-1][2]:
            _, operator, values = open_.pop()
            value = OPERATORS[operator](values)
        if value < 0 or (not open_ and place + 1 < len(symbols)) or (not open_ and not place):
            raise InputError(f"{symbol!r} does not continue the expression {text!r}; give one of ListOps")
        if open_:
            open_[-1][2].append(value)
    if open_ or not symbols:
        raise InputError(f"the expression {text!r} has no end; give one of ListOps")
    return Expression(tuple(symbols), tuple(heads), value, depth)


def drawn(grammar: Grammar, source: random.Random) -> Expression:
    """One expression. Raises ``InputError`` where the limits leave none that is found."""

    def symbols(depth: int) -> list[str]:
        if depth and (depth == grammar.depth or source.random() >= grammar.nested):
            return [str(source.randrange(DIGITS))]
        operator = source.choice(list(OPERATORS))
        inside = [each for _ in range(source.randint(2, grammar.arguments)) for each in symbols(depth + 1)]
        return [operator, *inside, VOCABULARY[END]]

    for _ in range(MOST_DRAWS):
        found = symbols(0)
        if len(found) <= grammar.length and (expression := parsed(found)).depth >= grammar.least_depth:
            return expression
    raise InputError(f"no expression of at most {grammar.length} symbols was found; give a greater length")


def examples(grammar: Grammar, counts: Sequence[int], seed: int) -> list[Examples]:
    """Splits of so many expressions each; no expression is in two of them, or twice in one.

    Raises ``InputError`` where the grammar has too few.
    """
    source, seen, splits = random.Random(seed), set[tuple[str, ...]](), list[Examples]()
    for count in counts:
        split = list[Expression]()
        for _ in range(MOST_DRAWS * count):
            if len(split) == count:
                break
            if (found := drawn(grammar, source)).symbols not in seen:
                seen.add(found.symbols)
                split.append(found)
        else:
            raise InputError(f"the grammar has less than {sum(counts)} expressions; give a greater length")
        splits.append(tensors(split, grammar))
    return splits


def tensors(expressions: Sequence[Expression], grammar: Grammar) -> Examples:
    """Expressions of the grammar's length, filled up."""
    numbers = {symbol: i for i, symbol in enumerate(VOCABULARY)}
    rows: dict[str, list[list[int]]] = {"symbols": [], "operators": [], "heads": []}
    for each in expressions:
        places = [place for place, symbol in enumerate(each.symbols) if symbol in OPERATORS]
        more = grammar.length - len(each.symbols)
        rows["symbols"].append([*map(numbers.__getitem__, each.symbols), *[PAD] * more])
        rows["operators"].append([*places, *[-1] * (grammar.operators - len(places))])
        rows["heads"].append([*map(places.index, each.heads), *[0] * more])
    return Examples(
        values=torch.tensor([each.value for each in expressions]), **{k: torch.tensor(v) for k, v in rows.items()}
    )
