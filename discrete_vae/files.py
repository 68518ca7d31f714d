"""Files that are never half-written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from discrete_vae.errors import InputError


@contextlib.contextmanager
def writable(folder: Path) -> Iterator[Path]:
    """Make the folder and turn an operating-system error while writing into it into an ``InputError``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        path = error.filename or folder
        raise InputError(
            f"cannot write {path}: {error.strerror or error}; name a folder with free space that you may write to"
        ) from error


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside the file, flush to disk, then rename: a reader sees the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writable(path.parent):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what processes that were killed while writing left; only for who has the folder alone."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)
