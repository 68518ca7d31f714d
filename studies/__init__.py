"""Optuna studies, one file each: ``python -m studies list``.

A file that defines ``STUDY`` is a study; nothing else has to be changed for a new one.
"""

from __future__ import annotations

import importlib
import pkgutil

from discrete_vae.tuning import Study


def studies() -> dict[str, Study]:
    """All studies of this folder by name."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return {module.STUDY.name: module.STUDY for module in modules if hasattr(module, "STUDY")}
