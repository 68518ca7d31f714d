"""Public names that were changed: the old one works for one version and warns.

A package gives its old names a module-level ``__getattr__``::

    __getattr__ = renamed(__name__, {"Networks": "NetworkFactory"})
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module: from each old name to its new one, in the same module.

    It raises ``AttributeError`` for any other name.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now called {names[name]}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(module), names[name])

    return find


def moved(old: str, new: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module that moved: whatever is taken from the old place comes from the new one.

    It raises ``AttributeError`` for a name that the new place does not have.
    """

    def find(name: str) -> Any:
        if name.startswith("__") or not hasattr(import_module(new), name):
            raise AttributeError(f"module {old!r} has no attribute {name!r}; it is now called {new}")
        warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(new), name)

    return find
