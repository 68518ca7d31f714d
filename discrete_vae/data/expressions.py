"""Arithmetic expressions in two variables: what may stand at a place depends on brackets far away.

    expression -> operand | operation               operation -> operand operator expression
    operand    -> "x" | "y" | "(" operation ")"     operator  -> "+" | "*"

Brackets around a single operand, as in ``(x)`` or ``((x+y))``, are thus not allowed. The two operators differ in
precedence only, which does not affect a string's validity.
"""

from __future__ import annotations

from collections.abc import Iterator

from discrete_vae.data.language import Language

OPERANDS = 8
"""Variables of an expression at the most: without brackets, eight fill the length."""
BRACKETS = 0.5
"""Probability that an operand is an operation in brackets, where variables enough are left for one."""


def grow(numbers: Iterator[float]) -> str:
    """A random expression of 1 to 8 variables, many likelier than few."""
    return _expression(1 + int(OPERANDS * max(next(numbers), next(numbers))), numbers)


def _expression(variables: int, numbers: Iterator[float]) -> str:
    """A random expression of ``variables`` variables; of more than one operand if it has more than one."""
    parts: list[str] = []
    while variables:
        most = variables if parts else variables - 1
        taken = 2 + int((most - 1) * next(numbers)) if most > 1 and next(numbers) < BRACKETS else 1
        if taken > 1:
            parts.append(f"({_expression(taken, numbers)})")
        else:
            parts.append("x" if next(numbers) < 0.5 else "y")
        variables -= taken
        if variables:
            parts.append("+" if next(numbers) < 0.5 else "*")
    return "".join(parts)


def grammatical(string: str) -> bool:
    """Whether ``string`` is an expression: by recursive descent, one symbol at a time."""
    return _end_of_expression(string, 0)[0] == len(string)


def _end_of_expression(string: str, start: int) -> tuple[int, int]:
    """Where the expression that starts at ``start`` ends, -1 if there is none, and its number of operators."""
    end, operators = _end_of_operand(string, start), 0
    while 0 <= end < len(string) and string[end] in "+*":
        end, operators = _end_of_operand(string, end + 1), operators + 1
    return end, operators


def _end_of_operand(string: str, start: int) -> int:
    if start >= len(string):
        return -1
    if string[start] in "xy":
        return start + 1
    if string[start] != "(":
        return -1
    end, operators = _end_of_expression(string, start + 1)
    return end + 1 if operators and 0 <= end < len(string) and string[end] == ")" else -1


EXPRESSIONS = Language(symbols="xy+*()_", length=16, grammatical=grammatical, grow=grow)
