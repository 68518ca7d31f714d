"""A study of one's own, in any file that defines ``STUDY``."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from pathlib import Path

from discrete_vae.errors import InputError
from discrete_vae.tuning import Study


def is_file(name: str) -> bool:
    """Whether a name is that of a file, rather than of a study."""
    return name.endswith(".py") or os.sep in name


def from_file(name: str) -> Study:
    """The study that a file defines. Raises ``InputError`` for one that is not there, fails, or defines none."""
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"there is no Python file {name}; give one that defines STUDY, or a study that `list` shows")
    module_name = f"study_{hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # where dataclasses of the file look for their types
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's own file raises
        del sys.modules[module_name]
        reason = " ".join(str(error).split())
        raise InputError(f"{name}: {type(error).__name__}: {reason}; correct it") from error
    if not isinstance(study := getattr(module, "STUDY", None), Study):
        raise InputError(f"{name} defines no study; write STUDY = Study(...), as the files in studies/ do")
    return study
