"""Numbers on the command line, checked as they are parsed; every command uses these parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from cyclopts import Parameter, Token

from discrete_vae.errors import InputError
from discrete_vae.schedules import Schedule

LARGEST = 10**12
"""Upper limit of any count; ``capacity`` checks the memory that it takes."""


def whole(least: int | None = None, most: int = LARGEST) -> Parameter:
    """The parameter of a whole number, in a range if one is given; a word that is none is an ``InputError``."""

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,40}", text) else None
        if number is None or (least is not None and not least <= number <= most):
            raise InputError(f"{_short(text)}; give a whole number{_range(least, most, LARGEST)}")
        return number

    return _parameter(read)


def real(least: float | None = None, most: float = math.inf, above: float | None = None) -> Parameter:
    """The parameter of a finite number, in a range or ``above`` a number; a word that is none is an ``InputError``."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        low = -math.inf if least is None else least
        if not math.isfinite(number) or not low <= number <= most or (above is not None and number <= above):
            limits = _range(least, most, math.inf) if above is None else _range(above, most, math.inf, "above")
            raise InputError(f"{_short(text)}; give a number{limits}")
        return number

    return _parameter(read)


def typed_schedule(text: str) -> Schedule:
    """The schedule of a word. Raises ``InputError`` if it cannot be read or has a part without effect."""
    schedule = Schedule.parse(text)
    if idle := schedule.without_effect():
        raise InputError(f"schedule {text!r}: {idle[0]} has no effect beside its other values; leave it off")
    return schedule


SCHEDULE = Parameter(
    converter=lambda kind, tokens: typed_schedule(tokens[0].value), n_tokens=1, accepts_keys=False, show_default=str
)
"""A schedule is one word on the command line, not a group of options."""


def _parameter(read: Callable[[str], Any]) -> Parameter:
    def convert(kind: type, tokens: Sequence[Token]) -> Any:
        found = [read(token.value.strip()) for token in tokens]
        return tuple(found) if getattr(kind, "__origin__", kind) is tuple else found[0]

    def shown(value: Any) -> str:
        return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

    return Parameter(converter=convert, consume_multiple=True, show_default=shown)


def _range(least: float | None, most: float, unbounded: float, word: str = "of at least") -> str:
    low = "" if least is None else f" {word} {least:,}"
    return low + ("" if most == unbounded else f"{',' if low else ''} up to {most:,}")


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")


Count = Annotated[int, whole(1)]
Natural = Annotated[int, whole(0)]
Optional = Parameter(show_default=False)
"""Shows no default beside the range: for numbers that may be left out."""
