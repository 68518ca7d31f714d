"""Files that are never half-written, and are read only if they are files."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import select
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from filelock import FileLock, Timeout

from discrete_vae.errors import InputError, InUse

PART = ".discrete-vae-"
"""How the names of unfinished files begin; they end in ``.part``."""
PATIENCE = 10.0
"""Seconds that the reader of a full pipe has to take something."""


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


@contextlib.contextmanager
def held(lock: Path, what: str, remedy: str = "wait for it") -> Iterator[None]:
    """Hold a lock file for this process alone; ``what`` it stands for is in the error.

    Raises ``InUse`` if another process holds it, and ``InputError`` where the folder cannot be written to.
    """
    own = FileLock(lock, timeout=0)
    with writable(lock.parent):
        try:
            own.acquire()
        except Timeout:  # an OSError too, but not one of the disk
            raise InUse(f"{what} is in use by another process; {remedy}") from None
    try:
        yield
    finally:
        own.release()


def check_room(folder: Path) -> None:
    """Make the folder, and write a file to it that is gone at once. Raises ``InputError`` where that is refused."""
    with writable(folder), tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"room for a file")


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside the file, flush to disk, then rename: a reader sees the old content or the new, never a part.

    A link stays one, and the file that it leads to is written. A pipe or a device, such as ``/dev/stdout``, is written
    to as it is. Raises ``InputError`` for a folder, a disk, a pipe that nobody reads, and where the system refuses.
    """
    data = content.encode() if isinstance(content, str) else content
    mode = _mode(path)
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"cannot write {path}: it is a folder; name a file")
    if mode is not None and not stat.S_ISREG(mode):
        _write_through(path, data, mode)
        return
    target = Path(os.path.realpath(path))
    if target.is_relative_to("/proc") or (path.is_symlink() and path.absolute().is_relative_to("/dev")):
        raise InputError(f"cannot write {path}: it is a part of the system or stands for an open file; name a file")
    if mode is not None and not (mode & 0o222 and os.access(target, os.W_OK)):
        raise InputError(f"cannot write {path}: it is read-only; name another file, or let it be written (chmod u+w)")
    with writable(target.parent):
        temporary = target.with_name(f"{PART}{secrets.token_hex(8)}.part")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:  # not under the name of the part
            raise OSError(error.errno, error.strerror, str(path)) from error
        finally:
            temporary.unlink(missing_ok=True)


def write_output(path: Path, content: bytes | str, begins: bytes = b"") -> None:
    """Write a file that a user named, in place of an older one of the same kind only.

    An older one is of the same kind if it begins with ``begins`` or, where that is empty, if its name ends in ``.txt``.
    Raises ``InputError`` for another file, which is the user's or a run's.
    """
    if path.is_file() and path.stat().st_size:
        with path.open("rb") as file:
            head = file.read(len(begins) + 1).removeprefix(b'"')  # of a table, whose names may be in quotes
            alike = head.startswith(begins) if begins else path.suffix == ".txt"
        if not alike:
            raise InputError(f"{path} is there and is another kind of file; name a new one")
    write_atomically(path, content)


def remove_parts(folder: Path) -> None:
    """Remove what processes that were killed while writing left; only for the process that holds the folder."""
    for part in folder.glob(f"{PART}*.part"):
        part.unlink(missing_ok=True)


def read_text(path: Path) -> str:
    """A file's text, in UTF-8. Raises ``OSError`` for what is not a file, and ``ValueError`` for other bytes."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # to open a pipe would wait for its writer
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    with open(descriptor, "rb") as file:
        return file.read().decode()


def parse_json(text: str) -> Any:
    """Strict JSON. Raises ``ValueError`` also for a name twice, numbers that are not finite, and too deep nesting."""

    def number(text: str) -> float:
        if not math.isfinite(value := float(text)):
            raise ValueError(f"{text} is not a finite number")
        return value

    def refuse(text: str) -> NoReturn:
        raise ValueError(f"{text} is not a finite number")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name stands in it twice")
        return found

    try:
        return json.loads(text, parse_float=number, parse_constant=refuse, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _mode(path: Path) -> int | None:
    """The mode of what is at a path, following links; None if nothing is there."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; name a folder that you may write to") from error


def _write_through(path: Path, data: bytes, mode: int) -> None:
    """Write to a pipe or a device; never to a disk, nor to a pipe that nobody reads, which would wait for ever.

    A reader may be slow: only when it takes nothing for ``PATIENCE`` seconds is there none.
    """
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise InputError(f"cannot write {path}: it is a disk or a socket; name a file")
    try:
        with open(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb", buffering=0) as file:
            left = memoryview(data)
            while left:
                select.select([], [file], [], PATIENCE)
                left = left[os.write(file.fileno(), left) :]
    except OSError as error:
        nobody = error.errno in (errno.ENXIO, errno.EPIPE, errno.EAGAIN)
        reason = "nobody reads that pipe" if nobody else error.strerror
        raise InputError(f"cannot write {path}: {reason}; name a file with free space") from error
