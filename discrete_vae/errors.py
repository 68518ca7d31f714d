"""The one exception that stands for bad input, and the checks that configurations share."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from typing import Any

import numpy as np


class InputError(ValueError):
    """Bad input: a single line that names the value and the remedy.

    The command line prints it and exits with code 2; a library user catches it as a ``ValueError``.
    """


LARGEST = float(np.finfo(np.float32).max)
"""The largest finite number of a float32 tensor."""


class InUse(InputError):
    """Another process holds a run's folder."""


def check_types(instance: Any) -> None:
    """Raise ``InputError`` for a field of a dataclass whose value is not of the kind of the field's default, or is a
    float that tensors do not have."""
    for field in dataclasses.fields(instance):
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        value = getattr(instance, field.name)
        name, kind = field.name.replace("_", " "), type(default)
        if default is None or default is dataclasses.MISSING:
            continue
        if type(value) is kind:
            if isinstance(value, float) and not abs(value) <= LARGEST:
                raise InputError(f"{name} is {value}; give a finite number, up to {LARGEST:g}")
            continue
        raise InputError(f"{name} is {value!r}; give {_KINDS.get(kind, f'a {kind.__name__}')}")


def check_range(name: str, value: int, least: int = 1, most: int | None = None) -> None:
    """Raise ``InputError`` for what is no whole number, or is outside a range."""
    check_whole(name, value)
    if value < least:
        raise InputError(f"{name} is {value}; give at least {least}")
    if most is not None and value > most:
        raise InputError(f"{name} is {value}; give at most {most}")


def check_whole(name: str, value: int) -> None:
    """Raise ``InputError`` for what is no whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} is {value!r}; give a whole number")


_KINDS: dict[type, str] = {int: "a whole number", str: "a text", tuple: "a tuple of whole numbers"}


def nearest(name: str, known: Iterable[str], what: str) -> InputError:
    """The error for a name that is not known: it offers the nearest one, or else all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    choice = f"choose from {', '.join(known)}" if known else "there is none"
    remedy = f"did you mean {close[0]!r}?" if close else choice
    return InputError(f"unknown {what} {name!r}; {remedy}")
