"""The one exception that stands for bad input, and the checks that configurations share."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """Bad input: a single line that names the value and the remedy.

    The command line prints it and exits with code 2; a library user catches it as a ``ValueError``.
    """


class InUse(InputError):
    """Another process has what was asked for, a run's folder."""


def check_types(instance: Any) -> None:
    """Raise ``InputError`` for a field of a dataclass whose value is not of the kind of the field's default."""
    for field in dataclasses.fields(instance):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        value = getattr(instance, field.name)
        if default is None or default is dataclasses.MISSING or type(value) is type(default):
            continue
        name, kind = field.name.replace("_", " "), type(default)
        raise InputError(f"{name} is {value!r}; give {_KINDS.get(kind, f'a {kind.__name__}')}")


_KINDS: dict[type, str] = {int: "a whole number", str: "a text", tuple: "a tuple of whole numbers"}


def nearest(name: str, known: Iterable[str], what: str) -> InputError:
    """The error for a name that is not known: it offers the nearest one, or else all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    remedy = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
    return InputError(f"unknown {what} {name!r}; {remedy}")
