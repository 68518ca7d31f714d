"""Objects of other people's modules by name: ``module:name``, of a module in the current folder or an installed one."""

from __future__ import annotations

import importlib
import os
import sys
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
        raise InputError(
            f"{module_name} cannot be imported ({type(error).__name__}: {error}); mend it first"
        ) from error
