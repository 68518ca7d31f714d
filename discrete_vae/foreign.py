"""Objects of users' modules: by ``module:name``, or from a Python file anywhere."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from discrete_vae.errors import InputError

FILES: dict[str, str] = {}
"""Modules that stand for a Python file anywhere, by name; another process that has these can import them too."""


_SEEN = WeakKeyDictionary[ModuleType, str]()
"""Digests of the files of users' modules, as they were imported."""


class _Finder(MetaPathFinder):
    """Finds the modules of ``FILES``, so that what they define can be pickled."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, FILES[name]) if name in FILES else None


sys.meta_path.append(_Finder())


def imported(name: str, what: str, example: str) -> tuple[ModuleType, str]:
    """The module of ``module:name``, and the name in it.

    ``what`` it is, such as strategy, and an ``example`` are for the messages. Raises ``InputError`` for a name of
    another form, for a module that is not there or cannot be imported, and for one whose file has changed since.
    """
    module_name, _, own_name = name.partition(":")
    module_name = os.path.normpath(module_name.removesuffix(".py")).replace(os.sep, ".") if module_name else ""
    if module_name.startswith("."):
        raise InputError(f"{what} {name!r} is not in this folder; run the command in the module's own")
    if not module_name or not own_name:
        raise InputError(f"{what} {name!r}; give {example}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name.partition(".")[0]:
            raise InputError(f"{module_name} imports {error.name}, which is not there; install it") from error
        raise InputError(
            f"there is no module {module_name}; run the command in the folder of {module_name}.py"
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{module_name} cannot be imported ({type(error).__name__}: {error}); fix it first") from error
    if (now := source(module)) != _SEEN.setdefault(module, now):
        raise InputError(
            f"{module.__file__} has changed since Python imported it; start Python anew (restart a notebook's kernel)"
        )
    return module, own_name


def source(module: ModuleType) -> str:
    """Digest of a module's file; an empty text where there is none."""
    try:
        return hashlib.sha256(Path(module.__file__ or "").read_bytes()).hexdigest()
    except (AttributeError, OSError):
        return ""


def is_file(name: str) -> bool:
    """Whether a name is that of a Python file, rather than of something known."""
    return name.endswith(".py") or os.sep in name


def out_of_file(name: str, what: str, attribute: str) -> object:
    """The object that a Python file defines under a name, such as ``STUDY``; None if it defines none.

    ``what`` that is, such as study, is for the messages. Raises ``InputError`` for a file that is not there or fails.
    """
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        raise InputError(
            f"there is no Python file {name}; give one that defines {attribute}, or a {what} that `list` shows"
        )
    module_name = f"{what}_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]}"
    FILES[module_name] = str(path.absolute())
    sys.modules.pop(module_name, None)  # the file may have changed
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a user's own file raises
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: {type(error).__name__}: {reason}; correct it") from error
    return getattr(module, attribute, None)
