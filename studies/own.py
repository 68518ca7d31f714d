"""A study of one's own, in any file that defines ``STUDY``."""

from __future__ import annotations

from discrete_vae.errors import InputError
from discrete_vae.foreign import out_of_file
from discrete_vae.tuning import Study


def from_file(name: str) -> Study:
    """The study that a file defines. Raises ``InputError`` for one that is not there, fails, or defines none."""
    study = out_of_file(name, "study", "STUDY")
    if not isinstance(study, Study):
        raise InputError(f"{name} defines no study; write STUDY = Study(...), as the files in studies/ do")
    return study
