"""Optuna studies, one file each: ``python -m studies list``.

A file that defines ``STUDY`` is a study; nothing else has to be changed for a new one.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from discrete_vae.errors import InputError
from discrete_vae.tuning import Study


def studies() -> dict[str, Study]:
    """All studies of this folder by name. Raises ``InputError`` for a file that cannot be imported."""
    modules = [_imported(found.name) for found in pkgutil.iter_modules(__path__)]
    return {module.STUDY.name: module.STUDY for module in modules if hasattr(module, "STUDY")}


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except Exception as error:  # whatever a user's own file raises
        reason = " ".join(str(error).split())
        raise InputError(f"studies/{name}.py: {type(error).__name__}: {reason}; correct it, or take it away") from error
