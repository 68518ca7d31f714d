"""Objects of users' modules: by ``module:name``, or from a Python file anywhere."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from discrete_vae.errors import InputError


def imported(name: str, what: str, example: str) -> tuple[ModuleType, str]:
    """The module of ``module:name``, and the name in it.

    ``what`` it is, such as strategy, and an ``example`` are for the messages. Raises ``InputError`` for a name of
    another form, and for a module that is not there or cannot be imported.
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
        return importlib.import_module(module_name), own_name
    except ModuleNotFoundError as error:
        if error.name != module_name.partition(".")[0]:
            raise InputError(f"{module_name} imports {error.name}, which is not there; install it") from error
        raise InputError(
            f"there is no module {module_name}; run the command in the folder of {module_name}.py"
        ) from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{module_name} cannot be imported ({type(error).__name__}: {error}); fix it first") from error


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
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where dataclasses of the file look for their types
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's own file raises
        del sys.modules[module_name]
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: {type(error).__name__}: {reason}; correct it") from error
    return getattr(module, attribute, None)
