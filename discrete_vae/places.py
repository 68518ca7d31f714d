"""The folders and files that a command line names. Every option of every command that is a path is one of these.

What cannot be such a place is refused before any work: nothing at all (an unset variable), a name that is not text, a
file where a folder is wanted, a way through a file or a loop of links.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, Token

from discrete_vae.errors import InputError


def as_folder(text: str) -> Path:
    """The folder of that name, which need not be there. Raises ``InputError`` for what cannot be one."""
    path = _named(text, "folder")
    mode = _mode(path, "folder")
    if mode is None and path.is_symlink():
        raise InputError(f"{shown(text)} is a link to nothing; name a folder")
    if mode is not None and not stat.S_ISDIR(mode):
        raise InputError(f"{shown(text)} is a file; name a folder")
    return path


def as_place(text: str) -> Path:
    """The folder or file of that name, which need not be there. Raises ``InputError`` for what cannot be one."""
    path = _named(text, "file or folder")
    mode = _mode(path, "file or folder")
    if mode is None and path.is_symlink():
        raise InputError(f"{shown(text)} is a link to nothing; name a file or folder")
    if mode is not None and not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise InputError(f"{shown(text)} is no regular file; name a file or folder")
    return path


def as_file(text: str) -> Path:
    """The file of that name, which need not be there. Raises ``InputError`` for what cannot be one."""
    path = _named(text, "file")
    mode = _mode(path, "file")
    if text.endswith(os.sep) or path.name in ("", "..") or (mode is not None and stat.S_ISDIR(mode)):
        raise InputError(f"{shown(text)} is a folder; name a file in it")
    return path


def shown(text: str) -> str:
    """A text in quotes as it goes into a message: its beginning, where it is long."""
    return repr(text) if len(text) <= 200 else f"{text[:60]!r}... ({len(text)} characters)"


def _named(text: str, kind: str) -> Path:
    if not text.strip():
        raise InputError(f"{text!r} is no name; name a {kind} (is a variable unset?)")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{shown(text)} is not UTF-8; name a {kind} by text") from None
    if not text.isprintable():
        raise InputError(f"{shown(text)} has a character that cannot be shown; name a {kind} without")
    return Path(text)


def _mode(path: Path, kind: str) -> int | None:
    """The mode of what is at a path, following links; None if nothing is there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{shown(str(path))} cannot be reached ({error.strerror}); name another {kind}") from error


def _folder(kind: type, tokens: Sequence[Token]) -> Path:
    return as_folder(tokens[0].value)


def _place(kind: type, tokens: Sequence[Token]) -> Path:
    return as_place(tokens[0].value)


def _file(kind: type, tokens: Sequence[Token]) -> Path:
    return as_file(tokens[0].value)


Folder = Annotated[Path, Parameter(converter=_folder, n_tokens=1, accepts_keys=False)]
"""An option that names a folder."""
Place = Annotated[Path, Parameter(converter=_place, n_tokens=1, accepts_keys=False)]
"""An option that names a folder or file to read."""
File = Annotated[Path, Parameter(converter=_file, n_tokens=1, accepts_keys=False)]
"""An option that names a file to write."""
